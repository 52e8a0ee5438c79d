//! Inputs that a request does not bring and a feature table has.
//!
//! A version says by its run which training set it was made from, and that says which of its columns are features of which
//! table. Requests need not bring those: they are looked up as of the row's own moment, by the kernel that made the table.
//!
//! What must stay true: what is looked up was published before the request came, by the definition that the model was trained
//! on, and the answer says from which version of which table it was, so that the request can be explained.

use std::sync::Arc;

use super::{
    frame::{Column, Frame, Values},
    runtime::ScoredVersion,
    signature::{Form, Input, Schema, Type},
};
use crate::{
    catalog::{Action, asset},
    context::Ctx,
    error::{Code, Error, Result},
    features::{self, KeyKind, KeyValue, Online, training_set},
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
}

struct Source {
    online: Arc<Online>,
    /// Where the keys stand in a request, in the table's order.
    keys: Vec<usize>,
    /// Which feature of the table is which input.
    takes: Vec<(usize, usize)>,
}

/// The features of a version, as its training set names them.
struct Trained {
    table: String,
    definition: i64,
    columns: Vec<String>,
}

impl Lookup {
    /// What a version needs that its requests need not bring.
    pub async fn open(ctx: &Ctx, version: &ScoredVersion, schema: &Schema) -> Result<Self> {
        if schema.form != Form::Named || version.run_id.is_empty() {
            return Ok(Self::Nothing);
        }
        let run_id = version.run_id.clone();
        let trained = ctx.read(move |sql| trained(sql, &run_id)).await?;
        let (mut inputs, mut sources) = (schema.inputs.clone(), Vec::new());
        for Trained { table, definition, columns } in trained {
            let takes: Vec<(String, usize)> = columns
                .into_iter()
                .filter_map(|column| {
                    let at = schema.inputs.iter().position(|input| input.name == column)?;
                    Some((column, at))
                })
                .collect();
            if takes.is_empty() {
                continue;
            }
            let online = features::open(ctx, &table).await?;
            sources.push(source(online, definition, &table, &takes, &mut inputs)?);
        }
        if sources.is_empty() {
            return Ok(Self::Nothing);
        }
        let request = Schema::of(inputs, Form::Named);
        Ok(Self::Tables(Box::new(Tables { request, inputs: schema.inputs.len(), sources })))
    }

    /// What a request is read with: the model's inputs, of which those that are looked up may be absent, and the keys to look
    /// them up by. `None` where that is the model's own schema.
    pub fn request_schema(&self) -> Option<&Schema> {
        match self {
            Self::Nothing => None,
            Self::Tables(tables) => Some(&tables.request),
        }
    }

    /// Turns rows as they were sent into rows as the model takes them, as of these moments (microseconds since the epoch, one a
    /// row; none means now). Answers the tables that were read.
    pub fn fill(&self, frame: Frame, at_micros: &[i64]) -> Result<(Frame, Vec<Read>)> {
        match self {
            Self::Nothing => Ok((frame, Vec::new())),
            Self::Tables(tables) => tables.fill(frame, at_micros),
        }
    }
}

/// A publication of a feature table that a request read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The table's `asset.id`.
    pub table: i64,
    /// Number of its definition.
    pub definition: i64,
    /// Version of its rows.
    pub version: u64,
}

/// The feature tables of the training set that a run names, if it names one that is there.
fn trained(sql: &mut crate::db::Sql<'_>, run_id: &str) -> Result<Vec<Trained>> {
    crate::catalog::authorize::visible(sql);
    let Some(run) = run::find(sql, run_id)? else { return Ok(Vec::new()) };
    let Some(name) = run.document.tag(training_set::RUN_TAG) else { return Ok(Vec::new()) };
    let set = match training_set::get(sql, name, Action::Read) {
        Ok(set) => set,
        // The tag is the client's, and training sets may be deleted: then requests bring all inputs.
        Err(error) if !error.is_ours() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut tables: Vec<Trained> = Vec::new();
    for (column, source) in set.features {
        let table = match asset::get(sql, source.table)? {
            Some(_) => asset::display_name(sql, source.table)?,
            None => continue,
        };
        match tables.iter_mut().find(|known| known.table == table) {
            Some(known) => known.columns.push(column),
            None => tables.push(Trained { table, definition: source.definition, columns: vec![column] }),
        }
    }
    Ok(tables)
}

fn source(
    online: Arc<Online>,
    definition: i64,
    table: &str,
    takes: &[(String, usize)],
    inputs: &mut Vec<Input>,
) -> Result<Source> {
    let published = online.feature_ref().definition;
    if published != definition {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "The model was trained on definition {definition} of the feature table '{table}', and definition {published} is \
                 published: what it would be given now is something else. Train it on the new definition."
            ),
        ));
    }
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
                        "The input '{column}' is {}, and the feature of that name in '{table}' is a number.",
                        input.kind.name()
                    ),
                ));
            }
            input.required = false;
            Ok((feature, *at))
        })
        .collect::<Result<Vec<_>>>()?;
    let kinds = online.key_kinds()?;
    let keys = online.keys().iter().zip(kinds).map(|(key, kind)| {
        if let Some(at) = inputs.iter().position(|input| input.name == *key) {
            return at;
        }
        inputs.push(Input { name: key.clone(), kind: type_of(kind), required: true });
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
    fn fill(&self, mut frame: Frame, at_micros: &[i64]) -> Result<(Frame, Vec<Read>)> {
        let now = time::now_ms() * 1_000;
        let mut read: Vec<Read> = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let feature_ref = source.online.feature_ref();
            for row in 0..frame.rows {
                let is_lacking = |(_, at): &&(usize, usize)| frame.columns[*at].missing.contains(&row);
                let lacking: Vec<(usize, usize)> = source.takes.iter().filter(is_lacking).copied().collect();
                if lacking.is_empty() {
                    continue;
                }
                let keys: Vec<KeyValue> =
                    source.keys.iter().map(|at| key(&frame.columns[*at], row)).collect::<Result<_>>()?;
                let found = source.online.look_up(&keys, at_micros.get(row).copied().unwrap_or(now))?;
                for (feature, at) in lacking {
                    let value = found.values.get(feature).copied().flatten();
                    frame.columns[at].fill(&self.request.inputs[at], row, value)?;
                }
                let one = Read {
                    table: feature_ref.table,
                    definition: feature_ref.definition,
                    version: found.table_version,
                };
                if !read.contains(&one) {
                    read.push(one);
                }
            }
        }
        frame.columns.truncate(self.inputs);
        Ok((frame, read))
    }
}

fn key(column: &Column, row: usize) -> Result<KeyValue> {
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
