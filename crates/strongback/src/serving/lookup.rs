//! Inputs that a request does not bring and a feature table has.
//!
//! A version says by its run which training set it was made from, and that says which of its columns are features of which
//! table. Requests need not bring those: they are looked up as of the row's own moment, by the kernel that made the table.
//!
//! What must stay true: what is looked up was published before the request came, by the definition that the model was trained
//! on or by one that computes these features alike, also after the table was declared anew; and the answer says by which
//! definition and from which version of which table it was, so that the request can be explained. Whoever logs a run
//! names the training set, so that the name gives nobody anything: an endpoint gives away what its owner may read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    config,
    frame::{Column, Frame, Values},
    payload::{FeatureVersion, LookedUp},
    runtime::ScoredVersion,
    signature::{Form, Input, Schema, Type},
};
use crate::{
    catalog::{
        Action, asset,
        authorize::{is_allowed_as, visible},
        principal,
    },
    context::Ctx,
    db::Sql,
    error::{Code, Error, Result},
    features::{self, FeatureRef, KeyKind, KeyValue, Online, training_set},
    registry::versions::{self, Version},
    time,
    tracking::run,
};

/// The tables that a version's inputs come from.
#[derive(Default)]
pub enum Lookup {
    /// All inputs are the request's.
    #[default]
    Nothing,
    /// Some are looked up.
    Tables(Box<Tables>),
}

/// Feature tables, and what of them goes where.
pub struct Tables {
    /// What requests are read with: the model's inputs, then keys that are none of them.
    request: Schema,
    /// How many inputs the model has.
    inputs: usize,
    sources: Vec<Source>,
    /// The assets that the owner of the endpoint must be allowed to read: the training set and its feature tables.
    stands_on: Vec<i64>,
    /// Whether he was, when it was asked last.
    is_allowed: AtomicBool,
}

struct Source {
    online: Arc<Online>,
    /// Where the keys stand in a request, in the table's order.
    keys: Vec<usize>,
    /// Which feature of the table is which input.
    takes: Vec<(usize, usize)>,
}

/// The features of a table that a version takes, as its training set names them.
struct Trained {
    feature_ref: FeatureRef,
    /// Each with the place of its input.
    takes: Vec<(String, usize)>,
}

impl Trained {
    fn names(&self) -> Vec<String> {
        self.takes.iter().map(|(column, _)| column.clone()).collect()
    }
}

/// How long a definition that is not online yet is waited for, when a version is loaded.
const ONLINE_WAIT: Duration = Duration::from_secs(15);

impl Lookup {
    /// What a version needs that its requests need not bring, of what the owner of the endpoint may read.
    pub async fn open(ctx: &Ctx, endpoint_id: i64, version: &ScoredVersion, schema: &Schema) -> Result<Self> {
        let (run_id, of_model) = (version.run_id.clone(), schema.clone());
        let (trained, stands_on) = ctx.read(move |sql| trained(sql, endpoint_id, &run_id, &of_model)).await?;
        let (mut inputs, mut sources) = (schema.inputs.clone(), Vec::new());
        let mut taken = Vec::new();
        for one in trained {
            taken.push((features::choose(ctx, one.feature_ref, one.names()).await?, one.takes));
        }
        let mut uses: Vec<FeatureRef> = taken.iter().map(|(feature_ref, _)| *feature_ref).collect();
        uses.extend(before(ctx, endpoint_id, (version.model_id, version.version)).await?);
        // From here on they stay online.
        features::hold(ctx, endpoint_id, &uses).await?;
        for (feature_ref, takes) in taken {
            features::when_online(ctx, feature_ref, ONLINE_WAIT).await?;
            let online = features::open(ctx, feature_ref).await?;
            sources.push(source(online, &takes, &mut inputs)?);
        }
        if sources.is_empty() {
            return Ok(Self::Nothing);
        }
        let request = Schema::of(inputs, Form::Named);
        let (inputs, is_allowed) = (schema.inputs.len(), AtomicBool::new(true));
        Ok(Self::Tables(Box::new(Tables { request, inputs, sources, stands_on, is_allowed })))
    }

    /// The definitions that are looked up.
    pub fn uses(&self) -> Vec<FeatureRef> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Tables(tables) => tables.sources.iter().map(|source| source.online.feature_ref()).collect(),
        }
    }

    /// Whether all of it can be looked up still.
    pub fn is_whole(&self) -> Result<bool> {
        let Self::Tables(tables) = self else { return Ok(true) };
        for source in &tables.sources {
            if !source.online.is_there()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks again whether the owner of the endpoint may read what is looked up. If not, requests bring all inputs from now on.
    pub async fn renew(&self, ctx: &Ctx, endpoint_id: i64) -> Result<()> {
        let Self::Tables(tables) = self else { return Ok(()) };
        let asked = tables.stands_on.clone();
        let is_allowed = ctx
            .read(move |sql| {
                visible(sql);
                may_be_given(sql, endpoint_id, &asked)
            })
            .await?;
        if tables.is_allowed.swap(is_allowed, Ordering::Relaxed) != is_allowed {
            tracing::warn!(endpoint_id, is_allowed, "what an endpoint may look up for its owner has changed");
        }
        Ok(())
    }

    /// What a request is read with: the model's inputs, of which those that are looked up may be absent, and the keys to look
    /// them up by. `None` where that is the model's own schema.
    pub fn request_schema(&self) -> Option<&Schema> {
        match self {
            Self::Tables(tables) if tables.is_allowed.load(Ordering::Relaxed) => Some(&tables.request),
            Self::Nothing | Self::Tables(_) => None,
        }
    }

    /// Turns rows as they were sent into rows as the model takes them, as of these moments (microseconds since the epoch, one a
    /// row; none means now). Answers the tables that were read.
    pub fn fill(&self, frame: Frame, at_micros: &[i64]) -> Result<(Frame, Vec<FeatureVersion>)> {
        match self {
            Self::Nothing => Ok((frame, Vec::new())),
            Self::Tables(tables) => tables.fill(frame, at_micros),
        }
    }
}

/// What inputs by name can be looked up of the training set that a run read, if the owner of the endpoint may read it or it was
/// deleted, with all that it stands on: the feature tables and the set.
fn trained(
    sql: &mut Sql<'_>,
    endpoint_id: i64,
    run_id: &str,
    schema: &Schema,
) -> Result<(Vec<Trained>, Vec<i64>)> {
    visible(sql);
    let nothing = || Ok((Vec::new(), Vec::new()));
    if schema.form != Form::Named || run_id.is_empty() {
        return nothing();
    }
    let Some(run) = run::find(sql, run_id)? else { return nothing() };
    // The tag is the client's, and may name nothing: then requests bring all inputs.
    let Some(set) = training_set::of_run(sql, &run)? else { return nothing() };
    let mut stands_on: Vec<i64> = set.features.iter().map(|(_, source)| source.table).collect();
    stands_on.push(set.asset.id);
    stands_on.sort_unstable();
    stands_on.dedup();
    if !may_be_given(sql, endpoint_id, &stands_on)? {
        tracing::warn!(
            endpoint_id,
            "the owner of an endpoint may not read what its model was trained on: nothing is looked up"
        );
        return nothing();
    }
    let mut tables: Vec<Trained> = Vec::new();
    for (column, source) in set.features {
        let Some(at) = schema.inputs.iter().position(|input| input.name == column) else { continue };
        // Of a table that is deleted, requests bring the inputs.
        if asset::get(sql, source.table)?.is_none() {
            continue;
        }
        let feature_ref = FeatureRef { table: source.table, definition: source.definition };
        match tables.iter_mut().find(|known| known.feature_ref.table == source.table) {
            Some(known) => known.takes.push((column, at)),
            None => tables.push(Trained { feature_ref, takes: vec![(column, at)] }),
        }
    }
    Ok((tables, stands_on))
}

/// The definitions of the version that the endpoint served before this one, to which it may be rolled back.
async fn before(ctx: &Ctx, endpoint_id: i64, served: (i64, i64)) -> Result<Vec<FeatureRef>> {
    let found = ctx
        .read(move |sql| {
            visible(sql);
            let Some((model_id, number)) = config::before(sql, endpoint_id, served)? else {
                return Ok(Vec::new());
            };
            let Some(version) = versions::get(sql, model_id, number)? else { return Ok(Vec::new()) };
            let schema = Schema::of_signature(version.signature.as_ref());
            Ok(trained(sql, endpoint_id, &version.run_id, &schema)?.0)
        })
        .await?;
    let mut uses = Vec::with_capacity(found.len());
    for one in found {
        uses.push(features::choose(ctx, one.feature_ref, one.names()).await?);
    }
    Ok(uses)
}

/// The feature tables that an endpoint looks inputs of a version up in.
pub(super) fn tables_of(sql: &mut Sql<'_>, endpoint_id: i64, version: &Version) -> Result<Vec<i64>> {
    let schema = Schema::of_signature(version.signature.as_ref());
    let (trained, _) = trained(sql, endpoint_id, &version.run_id, &schema)?;
    Ok(trained.iter().map(|one| one.feature_ref.table).collect())
}

/// Whether the owner of an endpoint may read each of these assets that is there: what is deleted gives nobody anything, and takes
/// nothing from whom it was given to.
fn may_be_given(sql: &mut Sql<'_>, endpoint_id: i64, asked: &[i64]) -> Result<bool> {
    let Some(endpoint) = asset::get(sql, endpoint_id)? else { return Ok(false) };
    let Some(owner) = principal::find_by_id(sql, endpoint.owner_id)? else { return Ok(false) };
    for id in asked {
        if asset::get(sql, *id)?.is_some() && !is_allowed_as(sql, &owner, Action::Read, *id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn source(online: Arc<Online>, takes: &[(String, usize)], inputs: &mut Vec<Input>) -> Result<Source> {
    let table = online.name();
    let takes = takes
        .iter()
        .map(|(column, at)| {
            let feature = online.features().iter().position(|feature| feature == column);
            let feature = feature.ok_or_else(|| {
                Error::internal(format!("the feature table '{table}' has no feature '{column}' any more"))
            })?;
            let input = &mut inputs[*at];
            if !input.kind.is_number() {
                return Err(Error::new(
                    Code::InvalidState,
                    format!(
                        "The input '{column}' is {}, and the feature of that name is a number.",
                        input.kind.name()
                    ),
                ));
            }
            input.required = false;
            Ok((feature, *at))
        })
        .collect::<Result<Vec<_>>>()?;
    let keys = online.keys().iter().zip(online.key_kinds()).map(|(key, kind)| {
        if let Some(at) = inputs.iter().position(|input| input.name == *key) {
            return at;
        }
        // Only rows that lack something are looked up by it.
        inputs.push(Input { name: key.clone(), kind: type_of(*kind), required: false });
        inputs.len() - 1
    });
    let keys = keys.collect();
    Ok(Source { online, keys, takes })
}

/// How a request brings a key.
fn type_of(kind: KeyKind) -> Type {
    match kind {
        KeyKind::Bool => Type::Boolean,
        KeyKind::Int => Type::Long,
        KeyKind::Micros => Type::Datetime,
        KeyKind::Bytes => Type::Binary,
        KeyKind::Text | KeyKind::Decimal | KeyKind::Days => Type::String,
    }
}

impl Tables {
    fn fill(&self, mut frame: Frame, at_micros: &[i64]) -> Result<(Frame, Vec<FeatureVersion>)> {
        // Without the keys it was read as the model takes it, when nothing was to be looked up.
        let has_keys = frame.columns.len() == self.request.inputs.len();
        if !has_keys || !self.is_allowed.load(Ordering::Relaxed) {
            frame.columns.truncate(self.inputs);
            return Ok((frame, Vec::new()));
        }
        let now = time::now_ms() * 1_000;
        let mut read = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            read.extend(source.fill(&mut frame, &self.request.inputs, at_micros, now)?);
        }
        frame.columns.truncate(self.inputs);
        Ok((frame, read))
    }
}

impl Source {
    /// Fills what rows lack of this table, all of it from one publication: none, if no row lacks anything.
    fn fill(
        &self,
        frame: &mut Frame,
        inputs: &[Input],
        at_micros: &[i64],
        now_micros: i64,
    ) -> Result<Option<FeatureVersion>> {
        let lacking = self.takes.iter().filter(|(_, at)| !frame.columns[*at].missing.is_empty());
        let looked_up = lacking.map(|(_, at)| looked_up(*at, &frame.columns[*at].missing, frame.rows));
        let looked_up = looked_up.collect::<Result<Vec<_>>>()?;
        let mut places = vec![0; self.takes.len()];
        let mut still_missing: Vec<Vec<usize>> = vec![Vec::new(); self.takes.len()];
        let mut publication = None;
        loop {
            // The rows that columns lack ascend, so that each is met once.
            let lacking = self.takes.iter().zip(&places);
            let next = lacking.filter_map(|((_, at), place)| frame.columns[*at].missing.get(*place)).min();
            let Some(row) = next.copied() else { break };
            let publication = match &mut publication {
                Some(publication) => publication,
                none => none.insert(self.online.publication()?),
            };
            let keys = self.keys.iter().map(|at| key(&frame.columns[*at], &inputs[*at], row));
            let keys: Vec<KeyValue> = keys.collect::<Result<_>>()?;
            let found = publication.look_up(&keys, at_micros.get(row).copied().unwrap_or(now_micros))?;
            for (n, (feature, at)) in self.takes.iter().enumerate() {
                if frame.columns[*at].missing.get(places[n]) != Some(&row) {
                    continue;
                }
                places[n] += 1;
                let value = found.get(*feature).copied().flatten();
                if !frame.columns[*at].put(&inputs[*at], row, value)? {
                    still_missing[n].push(row);
                }
            }
        }
        for ((_, at), missing) in self.takes.iter().zip(still_missing) {
            frame.columns[*at].missing = missing;
        }
        let feature_ref = self.online.feature_ref();
        Ok(publication.map(|publication| FeatureVersion {
            table: feature_ref.table,
            definition: feature_ref.definition,
            version: publication.table_version(),
            source_version: Some(publication.source_version()),
            inputs: looked_up,
        }))
    }
}

fn looked_up(at: usize, missing: &[usize], rows: usize) -> Result<LookedUp> {
    let number = |at: usize| u32::try_from(at).map_err(Error::internal);
    let which = missing.iter().map(|row| number(*row)).collect::<Result<Vec<u32>>>()?;
    Ok(LookedUp { input: number(at)?, rows: (missing.len() < rows).then_some(which) })
}

fn key(column: &Column, input: &Input, row: usize) -> Result<KeyValue> {
    if column.missing.binary_search(&row).is_ok() {
        return Err(Error::new(
            Code::BadRequest,
            format!(
                "Failed to enforce schema: column '{}', row {row}: expected {}, got no value, and features are looked up by \
                 it. Send it, or send the features themselves.",
                input.name,
                input.kind.name()
            ),
        ));
    }
    Ok(match &column.values {
        Values::Boolean(values) => KeyValue::Bool(values[row]),
        Values::Integer(values) => KeyValue::Int(values[row].into()),
        Values::Long(values) => KeyValue::Int(values[row]),
        Values::Datetime(values) => KeyValue::Micros(values[row]),
        Values::String(values) => KeyValue::Text(values[row].clone()),
        Values::Binary(values) => KeyValue::Bytes(values[row].clone()),
        Values::Float(_) | Values::Double(_) => {
            return Err(Error::invalid("A number with a fraction is no key of a feature table."));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_value_is_refused() {
        let input = |kind| Input { name: "card".into(), kind, required: false };
        for (values, kind) in [
            (Values::Long(vec![7, 0]), Type::Long),
            (Values::String(vec!["7".into(), String::new()]), Type::String),
        ] {
            let column = Column { values, missing: vec![1] };
            assert!(key(&column, &input(kind), 0).is_ok());
            let error = key(&column, &input(kind), 1).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.message().contains("column 'card', row 1"), "{error}");
        }
    }
}
