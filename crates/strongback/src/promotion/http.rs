//! Gate runs and gate reports by REST.

use ::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    declared,
    job::KIND,
    moves::{self, CHAMPION, version},
    subject::{self, Order},
};
use crate::{
    catalog::{
        Action, authorize,
        securable::{Paging, People},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    jobs::{self, Budget, JobId, NewJob},
    registry::{
        aliases,
        evidence::{self, Evidence},
        governance,
        models::Model,
        names::{self, Levels},
        versions::Version,
    },
    router::{Limits, Policy, Route, wire::Int64},
};

/// Longest file of gates, in bytes: it goes with the job.
const CONFIG_BYTES_MAX: usize = 48 << 10;
/// How long a gate run may take, milliseconds.
const WALL_MS_MAX: i64 = 6 * 3_600_000;

pub(super) fn routes() -> Vec<Route> {
    const REPORTS: &str = "/api/1.0/gate-reports";
    const REPORT: &str = "/api/1.0/gate-reports/{report_id}";
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    vec![
        Route::json(
            Method::POST,
            "/api/1.0/gate-runs",
            edit,
            Limits::JSON,
            "Queue a job that judges a candidate",
            start,
        ),
        Route::json(
            Method::GET,
            REPORTS,
            read,
            Limits::SMALL,
            "List the gate reports of a model, newest first",
            list,
        ),
        Route::json(Method::GET, REPORT, read, Limits::SMALL, "Get a gate report", get),
    ]
}

/// Who is judged, on what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct GateRunRequest {
    /// Name of the model.
    pub model: String,
    /// The candidate: the number of a version, or an alias that points to it.
    pub candidate: String,
    /// The alias that it is judged for, whose version is the champion; `champion` if absent.
    pub alias: Option<String>,
    /// The gates, as YAML.
    pub config: String,
    /// Whether the alias moves to the candidate when the gates pass.
    #[serde(rename = "move", default)]
    pub moves: bool,
    /// Asked again under this key, the same job is answered.
    pub idempotency_key: Option<String>,
}

/// The job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GateRunResponse {
    /// Its id, which is the report's too.
    pub job_id: String,
    /// Name of the model.
    pub model: String,
    /// Number of the candidate.
    pub candidate: i64,
    /// The alias.
    pub alias: String,
    /// Number of the champion; absent if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<i64>,
}

async fn start(ctx: Ctx, request: GateRunRequest) -> Result<GateRunResponse> {
    if request.config.len() > CONFIG_BYTES_MAX {
        return Err(Error::too_long("config", CONFIG_BYTES_MAX, request.config.len()));
    }
    let gates = governance::read_gates(&request.config)?;
    let alias =
        request.alias.clone().filter(|alias| !alias.is_empty()).unwrap_or_else(|| CHAMPION.to_owned());
    let (wanted, of) = (request.clone(), alias.clone());
    let asked = ctx
        .read(move |sql| {
            let model =
                names::load(sql, &wanted.model, Levels::Any).map_err(|error| error.in_field("model"))?;
            authorize(sql, Action::Edit, model.id)?;
            Asked::of(sql, model, &wanted, &of)
        })
        .await?;
    // What was queued under the key is answered, whatever became of its tables since.
    if asked.known.is_none() {
        declared::check(&ctx, &gates, &request.config, &asked).await?;
    }
    ctx.write(move |tx| {
        let model = names::lock(tx, &request.model, Levels::Any, Action::Edit)
            .map_err(|error| error.in_field("model"))?;
        let Asked { model, candidate, champion, key, .. } = Asked::of(tx, model, &request, &alias)?;
        let by = tx.caller().id;
        let order = Order {
            model_id: model.id,
            candidate: candidate.version,
            alias: alias.clone(),
            config: request.config.clone(),
            moves: request.moves,
        };
        let job = NewJob {
            asset: Some((model.id, Action::Edit)),
            budget: Budget { wall_ms: Some(WALL_MS_MAX), ..Budget::default() },
            idempotency_key: key,
            ..NewJob::new(KIND, serde_json::to_value(&order).map_err(Error::internal)?, by)
        };
        let queued = jobs::enqueue(tx, &job)?;
        if queued.event.is_none() {
            refuse_another(tx, queued.id, &order)?;
        }
        let answer = GateRunResponse {
            job_id: queued.id.to_string(),
            model: model.name(),
            candidate: candidate.version,
            alias: alias.clone(),
            champion: champion.map(|champion| champion.version),
        };
        Ok(match queued.event {
            Some(event) => Change::Made(answer, event),
            None => Change::Nothing(answer),
        })
    })
    .await
}

/// Who is asked about, as it is now.
pub(super) struct Asked {
    pub model: Model,
    pub candidate: Version,
    pub champion: Option<Version>,
    /// The key that was given, of this caller and model alone: others have theirs.
    key: Option<String>,
    /// The job that it stands for already.
    known: Option<JobId>,
}

impl Asked {
    fn of(sql: &mut Sql<'_>, model: Model, request: &GateRunRequest, alias: &str) -> Result<Self> {
        let candidate =
            version(sql, &model, &request.candidate).map_err(|error| error.in_field("candidate"))?;
        let champion = aliases::resolve(sql, &model, alias)?;
        let by = sql.caller().id;
        let key = request.idempotency_key.as_ref().map(|key| format!("{by}/{}/{key}", model.id));
        let known = key.as_deref().map(|key| jobs::under_key(sql, KIND, key)).transpose()?.flatten();
        // Asked again after the alias has moved, it is the champion by itself.
        if known.is_none() {
            subject::check(&model, &candidate, champion.as_ref(), alias)?;
        }
        Ok(Self { model, candidate, champion, key, known })
    }
}

/// Refuses a key under which something else was asked for: the job that it stands for judges that.
fn refuse_another(sql: &mut Sql<'_>, id: JobId, order: &Order) -> Result<()> {
    let known = jobs::get(sql, id)?;
    let before: Order = serde_json::from_value(known.payload).map_err(Error::internal)?;
    if before == *order {
        return Ok(());
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "The 'idempotency_key' stands for the gate run {id} already, which judges version {} for '{}' by other gates, or \
             another version. Ask with a new key.",
            before.candidate, before.alias
        ),
    ))
}

/// Whose reports.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the model.
    pub model: String,
    /// Only those of this version.
    pub version: Option<Int64>,
    /// At most so many; 0 or absent leaves it to the server.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A report in a list. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReportLine {
    /// Its id.
    pub report_id: String,
    /// Name of the model.
    pub model: String,
    /// Number of the candidate.
    pub candidate: i64,
    /// The alias that it was judged for.
    pub alias: String,
    /// Number of the champion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<i64>,
    /// `pass`, `fail` or `could_not_judge`.
    pub verdict: String,
    /// The evaluation run.
    pub run_id: String,
    /// Digest of the gates.
    pub config_digest: String,
    /// When it was made.
    pub made_at: i64,
    /// With whose rights.
    pub by: String,
    /// From when on it moves nothing.
    pub expires_at: i64,
}

impl ReportLine {
    fn new(sql: &mut Sql<'_>, people: &mut People, model: &str, found: &Evidence) -> Result<Self> {
        Ok(Self {
            report_id: found.id.to_string(),
            model: model.to_owned(),
            candidate: found.version,
            alias: found.alias.clone(),
            champion: found.champion,
            verdict: found.verdict.name().to_owned(),
            run_id: found.run_id.clone(),
            config_digest: found.config_digest.clone(),
            made_at: found.made_at,
            by: people.name(sql, found.by)?,
            expires_at: found.expires_at,
        })
    }
}

/// A page of reports.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    /// Newest first.
    pub reports: Vec<ReportLine>,
    /// There is more behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let limit = Paging::new(request.max_results, None).limit()?;
    let token = request.page_token.as_deref().filter(|token| !token.is_empty());
    let before = token.map(moves::report_id).transpose().map_err(|_| {
        Error::invalid("The 'page_token' is not one that this server gave. Begin the list again without it.")
    })?;
    let before = before.map_or_else(|| evidence::END.to_owned(), |id| id.to_string());
    ctx.read(move |sql| {
        let model = names::load(sql, &request.model, Levels::Any).map_err(|error| error.in_field("model"))?;
        let version = request.version.map(|version| version.0);
        let mut found = evidence::list(sql, model.id, version, &before, limit as i64 + 1)?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let people = &mut People::default();
        let name = model.name();
        let reports =
            found.iter().map(|one| ReportLine::new(sql, people, &name, one)).collect::<Result<Vec<_>>>()?;
        let next_page_token = reports.last().filter(|_| has_more).map(|last| last.report_id.clone());
        Ok(ListResponse { reports, next_page_token })
    })
    .await
}

/// Which report.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// Its id.
    pub report_id: String,
}

/// A report, whole.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReportView {
    /// As a list shows it.
    #[serde(flatten)]
    pub line: ReportLine,
    /// The report: what was judged on what, every check with figure, interval, rows, bound and sentence.
    pub report: Json,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<ReportView> {
    let id = moves::report_id(&request.report_id)?;
    ctx.read(move |sql| {
        let missing =
            || Error::missing(format!("There is no gate report '{id}'. strongback gate list --model NAME"));
        let found = evidence::get(sql, id)?.ok_or_else(missing)?;
        authorize(sql, Action::Read, found.model_id)?;
        let name = crate::catalog::asset::display_name(sql, found.model_id)?;
        let line = ReportLine::new(sql, &mut People::default(), &name, &found)?;
        Ok(ReportView { line, report: serde_json::from_str(&found.body).map_err(Error::internal)? })
    })
    .await
}
