//! Why a request got its answer: what was served, from which versions of which tables, by which version of a model, which run
//! had made that, what it was judged by, and who moved the alias.

use std::collections::HashMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use syntax::names::FullName;
use uuid::Uuid;

use super::{
    history::{self, Move},
    learned::{Learned, learned_from},
};
use crate::{
    catalog::{
        Action, Kind, asset,
        authorize::{is_allowed, visible},
        names,
    },
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    promotion::report::{Check, Report},
    registry::{evidence, models, versions},
    router::{Limits, Policy, Route},
    serving::{
        config,
        payload::{self, Found, FromTable, LoggedInput, PayloadRow},
        signature::Schema,
    },
    tracking::run::{self, Run},
};

/// Rows of a request that are shown.
const ROWS_MAX: usize = 100;
/// Reports that are looked through for the one of that time.
const REPORTS_READ: i64 = 200;
/// Tags of a run that say which code it was.
pub(super) const CODE_TAGS: [(&str, &str); 5] = [
    ("mlflow.source.git.commit", "commit"),
    ("mlflow.source.git.branch", "branch"),
    ("mlflow.source.git.repoURL", "repository"),
    ("mlflow.source.name", "entry point"),
    ("mlflow.project.entryPoint", "entry point of the project"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/requests/{request_id}/why",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "Why a request got its answer: inputs, table versions, model, run, gates, alias",
        why,
    )]
}

/// Which request.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WhyRequest {
    /// The id that its answer carried in the header `x-request-id`.
    pub request_id: String,
}

/// A request and what its answer rested on. Parts that the caller may not read are absent, and `hidden` says which.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// Our id.
    pub request_id: String,
    /// The caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// When it was served, microseconds since the epoch.
    pub served_at_micros: i64,
    /// When what it is about happened, microseconds since the epoch.
    pub event_time_micros: i64,
    /// What it took, microseconds.
    pub latency_us: i64,
    /// Whether it waits in the log still; else it is in the endpoint's payload table.
    pub is_waiting: bool,
    /// Who answered.
    pub endpoint: EndpointPart,
    /// The scored rows, in their order.
    pub rows: Vec<RowPart>,
    /// Whether there are more rows than are shown.
    #[serde(default)]
    pub is_cut: bool,
    /// What computed the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelPart>,
    /// The run that had made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunPart>,
    /// What the version was judged by, if it was judged before it served this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GatePart>,
    /// The move that had brought the version under the alias, if it was served by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_move: Option<Move>,
    /// Parts that the caller may not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// An endpoint, as it was configured then.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointPart {
    /// `catalog.schema.leaf`; of a deleted one, what is known still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of the configuration.
    pub config: i64,
    /// Since when it held, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The alias that it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// A scored row.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RowPart {
    /// Its place in the request, from 0.
    pub row: i64,
    /// The score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<f64>,
    /// The label that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction_label: Option<String>,
    /// What the model got.
    pub inputs: Vec<InputPart>,
}

/// An input as the model got it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct InputPart {
    /// Its name in the signature.
    pub name: String,
    /// Its value.
    pub value: Json,
    /// Where it was looked up; absent where the request brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FeaturePart>,
}

/// A feature table as it was published then.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FeaturePart {
    /// `catalog.schema.leaf`, as it is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Version of its definition.
    pub definition: i64,
    /// Version of its rows; absent where the table had the rows of a later definition by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Version of the table's source that they were computed from; absent where that was not logged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<i64>,
}

/// What stands for the name of a feature table that the caller may not read.
pub const HIDDEN_TABLE: &str = "a feature table that you may not read";

impl FeaturePart {
    /// Its name, or words for one that is hidden.
    pub fn shown(&self) -> &str {
        self.table.as_deref().unwrap_or(HIDDEN_TABLE)
    }

    /// Where it came from, in words.
    pub fn words(&self) -> String {
        let Self { definition, version, source_version, .. } = self;
        let table = self.shown();
        let source = source_version.map_or_else(String::new, |n| format!(", version {n} of its source"));
        match version {
            Some(version) => format!("{table}, definition {definition}, version {version}{source}"),
            None => format!("{table}, definition {definition}, superseded{source}"),
        }
    }
}

impl EndpointPart {
    /// Its name, or words for one that is hidden.
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or("an endpoint that you may not read")
    }
}

/// A version of a model.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ModelPart {
    /// The model.
    pub name: String,
    /// The version.
    pub version: i64,
    /// SHA-256 of its files, as they are pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was registered, milliseconds since the epoch.
    pub registered_at: i64,
    /// By whom.
    pub registered_by: String,
}

/// A run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunPart {
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Who started it.
    pub user: String,
    /// When, milliseconds since the epoch.
    pub started_at: i64,
    /// Its parameters.
    pub params: Vec<(String, String)>,
    /// Its newest metrics.
    pub metrics: Vec<(String, f64)>,
    /// Which code it was: commit, branch, repository, entry point.
    pub code: Vec<(String, String)>,
    /// What it was trained on: name, and digest or version.
    pub data: Vec<(String, String)>,
}

/// A gate report.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GatePart {
    /// Its id.
    pub report_id: String,
    /// pass, fail or could_not_judge.
    pub verdict: String,
    /// The alias that the version was judged for.
    pub alias: String,
    /// The champion that it was judged against; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<i64>,
    /// When, milliseconds since the epoch.
    pub made_at: i64,
    /// The evaluation run.
    pub run_id: String,
    /// Each check: its name, what it came to, and that in a sentence.
    pub checks: Vec<(String, String, String)>,
}

/// Answers it.
pub async fn why(ctx: Ctx, request: WhyRequest) -> Result<Why> {
    let id = Uuid::try_parse(&request.request_id).map_err(|_| {
        let given: String = request.request_id.chars().take(60).collect();
        Error::invalid(format!(
            "'{given}' is no request id. It is in the header x-request-id of the answer, such as \
             0198c9de-7c1d-7e2a-9a7e-3c0a52b7f1aa."
        ))
    })?;
    let Some(found) = payload::find(&ctx, id, ROWS_MAX + 1).await?.filter(|found| !found.rows.is_empty())
    else {
        return Err(Error::missing(format!(
            "No request {id} is known here, or you may not read it. Requests are found as long as their rows are in the \
             endpoint's payload table."
        )));
    };
    ctx.read(move |sql| explain(sql, found)).await
}

fn explain(sql: &mut Sql<'_>, found: Found) -> Result<Why> {
    // Reading the rows was authorised; each further part is asked for by itself.
    visible(sql);
    let Found { rows, columns } = found;
    let Some(first) = rows.first() else { return Err(Error::internal("a request without rows")) };
    let mut hidden = Hidden::default();
    let config = config::get(sql, first.endpoint, first.endpoint_config)?;
    let endpoint = endpoint_part(sql, first, config.as_ref(), &mut hidden)?;
    let (mut version, mut model, mut run, mut gate, mut alias_move) = (None, None, None, None, None);
    match &config {
        Some(config) if is_allowed(sql, Action::Read, config.model_id)? => {
            let id = config.model_id;
            version = versions::get(sql, id, first.model_version)?;
            if let Some(version) = &version {
                model = Some(model_part(sql, version)?);
                run = run_part(sql, &version.run_id, &mut hidden)?;
            }
            if let Some(alias) = &config.alias {
                alias_move = history::move_at(sql, (id, alias), first.model_version, config.created_at)?;
            }
            gate = gate_part(sql, id, first, alias_move.as_ref())?;
        }
        Some(_) => hidden.add("model"),
        None => {}
    }
    let is_cut = rows.len() > ROWS_MAX;
    let asked = version.as_ref().map(|version| Schema::of_signature(version.signature.as_ref()));
    let mut shown = Vec::new();
    let mut tables = HashMap::new();
    for row in rows.iter().take(ROWS_MAX) {
        let sources = sources(sql, &row.feature_versions, &mut tables, &mut hidden)?;
        shown.push(row_part(row, &columns, asked.as_ref(), &sources)?);
    }
    Ok(Why {
        request_id: first.request_id.clone(),
        client_request_id: first.client_request_id.clone(),
        served_at_micros: first.served_at_micros,
        event_time_micros: first.event_time_micros,
        latency_us: first.latency_us,
        is_waiting: first.is_waiting,
        endpoint,
        rows: shown,
        is_cut,
        model,
        run,
        gate,
        alias_move,
        hidden: hidden.0,
    })
}

/// Parts that the caller may not read, each once.
#[derive(Default)]
pub(super) struct Hidden(pub Vec<String>);

impl Hidden {
    pub(super) fn add(&mut self, part: &str) {
        if !self.0.iter().any(|known| known == part) {
            self.0.push(part.to_owned());
        }
    }
}

/// The endpoint. Whoever may read the rows alone gets the number that stands in them.
fn endpoint_part(
    sql: &mut Sql<'_>,
    row: &PayloadRow,
    config: Option<&config::Config>,
    hidden: &mut Hidden,
) -> Result<EndpointPart> {
    if !is_allowed(sql, Action::Read, row.endpoint)? {
        hidden.add("endpoint");
        return Ok(EndpointPart { name: None, config: row.endpoint_config, since: None, alias: None });
    }
    Ok(EndpointPart {
        name: Some(asset::display_name(sql, row.endpoint)?),
        config: row.endpoint_config,
        since: config.map(|config| config.created_at),
        alias: config.and_then(|config| config.alias.clone()),
    })
}

/// Which inputs of a row came from which feature table, as it was logged with the row. `tables` has the names that were looked up
/// before: none of those that are hidden.
fn sources(
    sql: &mut Sql<'_>,
    logged: &Json,
    tables: &mut HashMap<String, Option<String>>,
    hidden: &mut Hidden,
) -> Result<HashMap<String, FeaturePart>> {
    let Json::Object(read) = logged else { return Ok(HashMap::new()) };
    let mut sources = HashMap::new();
    for (key, read) in read {
        let FromTable { definition, version, source_version, inputs } =
            FromTable::deserialize(read).map_err(Error::internal)?;
        let table = match tables.get(key) {
            Some(known) => known.clone(),
            None => {
                let found = table_name(sql, key, hidden)?;
                tables.insert(key.clone(), found.clone());
                found
            }
        };
        let part = FeaturePart { table, definition, version, source_version };
        sources.extend(inputs.into_iter().map(|input| (input, part.clone())));
    }
    Ok(sources)
}

/// What a feature table is called now that a row has under its UUID, or under its name of that time; none if the caller may not read it.
fn table_name(sql: &mut Sql<'_>, key: &str, hidden: &mut Hidden) -> Result<Option<String>> {
    let found = match (Uuid::try_parse(key), FullName::parse(key)) {
        (Ok(_), _) => asset::id_of(sql, key)?,
        (_, Ok(full)) => names::leaf(sql, &full, Kind::Table)?.map(|table| table.id),
        _ => None,
    };
    // Of what is not there any more, the row has all that is known.
    let Some(id) = found else { return Ok(Some(key.to_owned())) };
    if is_allowed(sql, Action::Read, id)? {
        return asset::display_name(sql, id).map(Some);
    }
    hidden.add("feature tables");
    Ok(None)
}

/// A row with the inputs of the model that answered, in the order of its signature: the table has columns of other versions too.
/// Where the signature is not known, those that have a value.
fn row_part(
    row: &PayloadRow,
    columns: &lake::arrow::datatypes::Schema,
    asked: Option<&Schema>,
    sources: &HashMap<String, FeaturePart>,
) -> Result<RowPart> {
    let inputs = match asked.filter(|schema| !schema.inputs.is_empty()) {
        Some(schema) => payload::values_of(schema.arrow(), columns, &row.features)?,
        None => {
            let there = row.features.iter().filter(|(_, value)| !value.is_null());
            let as_logged = |(name, value): (&String, &Json)| LoggedInput {
                name: name.clone(),
                logged_as: name.clone(),
                value: value.clone(),
            };
            there.map(as_logged).collect()
        }
    };
    let input = |LoggedInput { name, logged_as, value }| {
        let from = sources.get(&logged_as).cloned();
        InputPart { name, value, from }
    };
    Ok(RowPart {
        row: row.row,
        prediction: row.prediction,
        prediction_label: row.prediction_label.clone(),
        inputs: inputs.into_iter().map(input).collect(),
    })
}

fn model_part(sql: &mut Sql<'_>, version: &versions::Version) -> Result<ModelPart> {
    let model = models::get(sql, version.model_id)?;
    Ok(ModelPart {
        name: model.map(|model| model.name()).unwrap_or_default(),
        version: version.version,
        digest: version.pin.as_ref().map(|pin| pin.manifest.digest.clone()),
        registered_at: version.created_at,
        registered_by: version.created_by.clone(),
    })
}

/// The report that the move rested on; where it rested on none, or nothing was moved, the newest that was there by then.
fn gate_part(
    sql: &mut Sql<'_>,
    model_id: i64,
    row: &PayloadRow,
    step: Option<&Move>,
) -> Result<Option<GatePart>> {
    let rested_on = step.and_then(|step| step.evidence.as_ref()?.get("gate_report")?.as_str()?.parse().ok());
    let named = rested_on.map(|id| evidence::get(sql, id)).transpose()?.flatten();
    let of_version = named.filter(|found| found.model_id == model_id && found.version == row.model_version);
    let found = match of_version {
        Some(found) => Some(found),
        None => {
            let by = step.map_or(row.served_at_micros / 1_000, |step| step.at);
            let reports =
                evidence::list(sql, model_id, Some(row.model_version), evidence::END, REPORTS_READ)?;
            reports.into_iter().find(|report| report.made_at <= by)
        }
    };
    let Some(found) = found else { return Ok(None) };
    let report: Report = serde_json::from_str(&found.body).map_err(Error::internal)?;
    let check = |check: Check| (check.name, check.outcome.words().to_owned(), check.sentence);
    Ok(Some(GatePart {
        report_id: found.id.to_string(),
        verdict: found.verdict.name().to_owned(),
        alias: found.alias,
        champion: found.champion,
        made_at: found.made_at,
        run_id: found.run_id,
        checks: report.checks.into_iter().map(check).collect(),
    }))
}

fn run_part(sql: &mut Sql<'_>, run_id: &str, hidden: &mut Hidden) -> Result<Option<RunPart>> {
    if run_id.is_empty() {
        return Ok(None);
    }
    let Some(run) = run::find(sql, run_id)? else { return Ok(None) };
    if !is_allowed(sql, Action::Read, run.experiment_id)? {
        hidden.add("run");
        return Ok(None);
    }
    let document = &run.document;
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let code = CODE_TAGS.iter().filter_map(|(tag, shown)| {
        let value = document.tag(tag).filter(|value| !value.is_empty())?;
        Some(((*shown).to_owned(), value.to_owned()))
    });
    let training_set = training_set_shown(sql, &run, hidden)?.map(|name| (name, "training set".to_owned()));
    let datasets = document.datasets().iter().map(|set| (set.name.clone(), set.digest.clone()));
    Ok(Some(RunPart {
        run_id: run.uuid.clone(),
        name: run.name().to_owned(),
        user: run.user.clone(),
        started_at: run.start_time,
        params: document.params().map(owned).collect(),
        metrics: document
            .metrics()
            .map(|(key, metric)| (key.to_owned(), metric.latest.value.get()))
            .collect(),
        code: code.collect(),
        data: training_set.into_iter().chain(datasets).collect(),
    }))
}

/// The training set or the table that a run read, by the name that it has now, unless the caller may not read it; where there
/// is none, what the tag says.
fn training_set_shown(sql: &mut Sql<'_>, run: &Run, hidden: &mut Hidden) -> Result<Option<String>> {
    Ok(match learned_from(sql, run)? {
        None => None,
        Some(Learned::Said(said)) => Some(said),
        Some(Learned::Hidden(_)) => {
            hidden.add("training set");
            None
        }
        Some(Learned::Known(data)) => {
            let version = data.version.map(|version| format!("@{version}")).unwrap_or_default();
            Some(format!("{}{version}{}", data.name, if data.is_deleted { " (deleted)" } else { "" }))
        }
    })
}
