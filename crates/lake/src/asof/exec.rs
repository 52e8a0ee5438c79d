//! The operator of the join.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalSortRequirement,
};
use datafusion::physical_plan::execution_plan::{Boundedness, CardinalityEffect, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    ExecutionPlanProperties, InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
    StatisticsArgs, apply_expression_roots,
};

use super::Bound;
use super::keyed::{Encoder, Keying, steps};
use super::merge::{Merge, Shape};
use super::scatter::{held_max, scattered};
use super::stream::{Joining, Measures};

/// What is joined by what; expressions of a pair have one type.
#[derive(Debug, Clone)]
pub struct On {
    /// Pairs (left, right) of keys.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// The times (left, right).
    pub time: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
    /// Ranks of right rows of equal keys and time.
    pub tie_break: Vec<Arc<dyn PhysicalExpr>>,
    /// Which right rows come into question.
    pub bound: Bound,
}

/// How the two sides come into one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sorting {
    /// As `Scatter`, unless an input has the order (keys, time) already, or there are no keys: then as `Engine`.
    #[default]
    Choose,
    /// The operator asks for the order (keys, time). Where an input does not have it, the engine sorts.
    Engine,
    /// The operator takes rows as they come and scatters them itself ([`scattered`]).
    Scatter,
}

/// Merges two inputs. It asks for equal keys in equal partitions, and the engine repartitions where they are not; for the order
/// see [`Sorting`].
#[derive(Debug, Clone)]
pub struct AsofExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    on: On,
    /// In steps of the time's type.
    age_max: Option<i64>,
    is_scattered: bool,
    encoder: Arc<Encoder>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsofExec {
    /// The output is the left columns and then the right columns, these nullable.
    pub fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        on: On,
        sorting: Sorting,
    ) -> Result<Self> {
        let schema = left.schema();
        let kinds = on.keys.iter().map(|(key, _)| key.data_type(&schema)).collect::<Result<_>>()?;
        let age_max = steps(on.bound.max_age, &on.time.0.data_type(&schema)?)?;
        let encoder = Arc::new(Encoder::new(kinds)?);
        let metrics = ExecutionPlanMetricsSet::new();
        let properties = Arc::new(properties(&left, &right, true));
        let mut exec = Self { left, right, on, age_max, is_scattered: false, encoder, properties, metrics };
        exec.is_scattered = !exec.on.keys.is_empty()
            && match sorting {
                Sorting::Choose => !exec.is_sorted(true) && !exec.is_sorted(false),
                Sorting::Engine => false,
                Sorting::Scatter => true,
            };
        exec.properties = Arc::new(self::properties(&exec.left, &exec.right, !exec.is_scattered));
        Ok(exec)
    }

    fn input(&self, is_left: bool) -> &Arc<dyn ExecutionPlan> {
        if is_left { &self.left } else { &self.right }
    }

    /// The order (keys, time), with nulls at one end.
    fn order(&self, is_left: bool, nulls_first: bool) -> Vec<PhysicalSortRequirement> {
        let keying = self.keying(is_left);
        let ascending = SortOptions { descending: false, nulls_first };
        let columns = keying.keys.into_iter().chain([keying.time]);
        columns.map(|expr| PhysicalSortRequirement::new(expr, Some(ascending))).collect()
    }

    /// Whether an input has that order.
    fn has_order(&self, is_left: bool, nulls_first: bool) -> bool {
        let order = self.order(is_left, nulls_first);
        let equivalences = self.input(is_left).equivalence_properties();
        equivalences.ordering_satisfy_requirement(order).unwrap_or(false)
    }

    fn is_sorted(&self, is_left: bool) -> bool {
        self.has_order(is_left, true) || self.has_order(is_left, false)
    }

    fn keying(&self, is_left: bool) -> Keying {
        let of = |pair: &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
            Arc::clone(if is_left { &pair.0 } else { &pair.1 })
        };
        Keying {
            keys: self.on.keys.iter().map(of).collect(),
            time: of(&self.on.time),
            ranks: if is_left { vec![] } else { self.on.tie_break.clone() },
            encoder: Arc::clone(&self.encoder),
            is_scattered: self.is_scattered,
        }
    }

    /// Rows with a null match nothing, so nulls may stand at either end: where an input has them last, it is taken as it is.
    fn required(&self, is_left: bool) -> Option<OrderingRequirements> {
        if self.is_scattered {
            return None;
        }
        let order = self.order(is_left, !self.has_order(is_left, false));
        LexRequirement::new(order).map(OrderingRequirements::new)
    }

    fn distribution(&self, is_left: bool) -> Distribution {
        if self.on.keys.is_empty() {
            return Distribution::SinglePartition;
        }
        Distribution::KeyPartitioned(self.keying(is_left).keys)
    }
}

fn properties(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    keeps_order: bool,
) -> PlanProperties {
    let mut equivalences = EquivalenceProperties::new(output(&left.schema(), &right.schema()));
    if keeps_order {
        // Left rows come out in their order, and left columns stand where they stood.
        equivalences.add_orderings(left.equivalence_properties().oeq_class().iter().cloned());
    }
    let is_unbounded = [left, right].iter().any(|input| input.boundedness().is_unbounded());
    let boundedness = if is_unbounded {
        Boundedness::Unbounded { requires_infinite_memory: false }
    } else {
        Boundedness::Bounded
    };
    let partitioning = left.output_partitioning().clone();
    PlanProperties::new(equivalences, partitioning, EmissionType::Incremental, boundedness)
}

fn nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Schema::new(fields.collect::<Vec<_>>())
}

fn output(left: &Schema, right: &Schema) -> SchemaRef {
    let right = nullable(right);
    let fields = left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>();
    Arc::new(Schema::new_with_metadata(fields, left.metadata().clone()))
}

impl DisplayAs for AsofExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.on.bound.strict { ">" } else { ">=" };
        write!(f, "AsofExec: {} {sign} {}", self.on.time.0, self.on.time.1)?;
        for (left, right) in &self.on.keys {
            write!(f, ", {left} = {right}")?;
        }
        if let Some(age) = self.age_max {
            write!(f, ", age_max={age}")?;
        }
        for expr in &self.on.tie_break {
            write!(f, ", tie_break={expr}")?;
        }
        if self.is_scattered {
            f.write_str(", scattered")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for AsofExec {
    fn name(&self) -> &'static str {
        "AsofExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::co_partitioned(vec![self.distribution(true), self.distribution(false)])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.required(true), self.required(false)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![!self.is_scattered, false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let pairs = self.on.keys.iter().chain([&self.on.time]);
        let exprs = pairs.flat_map(|(left, right)| [left, right]).chain(&self.on.tie_break);
        apply_expression_roots(exprs, f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("an AsofExec has two inputs");
        };
        let properties = match options.children_properties {
            ChildrenPropertiesMode::Keep => Arc::clone(&self.properties),
            ChildrenPropertiesMode::Recompute => Arc::new(properties(&left, &right, !self.is_scattered)),
        };
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Arc::new(Self { left, right, properties, metrics, ..Self::clone(&self) }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let counts = [&self.left, &self.right].map(|input| input.output_partitioning().partition_count());
        if counts[0] != counts[1] {
            return internal_err!("an AsofExec has inputs of {} and {} partitions", counts[0], counts[1]);
        }
        let side = |is_left: bool| -> Result<SendableRecordBatchStream> {
            let input = self.input(is_left).execute(partition, Arc::clone(&context))?;
            if !self.is_scattered {
                return Ok(input);
            }
            let counted = (&self.metrics, partition);
            // Every left row comes out, also one that cannot match.
            let held_max = held_max(&context, is_left, counts[0]);
            Ok(scattered(input, self.keying(is_left), is_left, held_max, Arc::clone(&context), counted))
        };
        let (left, right) = (side(true)?, side(false)?);
        let merge = Merge::new(Shape {
            output: self.schema(),
            right: Arc::new(nullable(&self.right.schema())),
            strict: self.on.bound.strict,
            age_max: self.age_max,
        })?;
        let measures = Measures::new(&self.metrics, partition);
        let joining = Joining::new((left, self.keying(true)), (right, self.keying(false)), merge, measures);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), joining.into_batches())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition), ChildStats::Skip]
    }

    /// As many rows as the left side has; nothing is known of what matches.
    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let Some(left) = inputs.first() else {
            return internal_err!("an AsofExec has two inputs");
        };
        let mut columns = left.column_statistics.clone();
        columns.resize(self.schema().fields().len(), ColumnStatistics::new_unknown());
        Ok(Arc::new(Statistics {
            num_rows: left.num_rows,
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        }))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
