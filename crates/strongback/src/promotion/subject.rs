//! What a gate run is about, settled in one snapshot before anything is computed: versions, tables at their versions.

use serde::{Deserialize, Serialize};
use syntax::gates::{DataDrift, Gates};

use super::{
    baseline,
    rows::{self, Source},
    scoring::{self, Input},
};
use crate::{
    catalog::{Action, authorize},
    context::Ctx,
    db::Sql,
    error::{Code, Error, Result},
    jobs::JobCtx,
    registry::{
        aliases, governance,
        models::{self, Model},
        versions::{self, Status, Version},
    },
    serving::{endpoints, payload},
    tables::managed,
};

/// What a job is asked to do: its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Number of the candidate.
    pub candidate: i64,
    /// The alias that it is for.
    pub alias: String,
    /// The gates, as YAML.
    pub config: String,
    /// Whether the alias moves when they pass.
    pub moves: bool,
}

/// Why something cannot be judged, as a clause; or what it is.
pub type Known<T> = std::result::Result<T, String>;

/// What is judged, and on what.
pub struct Subject {
    /// The model.
    pub model: Model,
    /// The alias.
    pub alias: String,
    /// Who wants its place.
    pub candidate: Version,
    /// Who has it.
    pub champion: Option<Version>,
    /// The gates.
    pub gates: Gates,
    /// As they were written.
    pub config: String,
    /// The columns that the candidate takes.
    pub inputs: Known<Vec<Input>>,
    /// The evaluation rows.
    pub evaluation: Known<Source>,
    /// The rows that the candidate learned from, where drift is asked for.
    pub baseline: Option<Known<Source>>,
    /// Recorded requests, where an endpoint is named.
    pub recorded: Option<Known<Asked>>,
}

/// What an endpoint was asked.
pub enum Asked {
    /// The rows of its payload table.
    Rows(Source),
    /// It has served nothing yet.
    Nothing,
    /// It is not there, and there is no champion yet that it could serve: gates come before the first endpoint.
    NoEndpoint,
}

impl Subject {
    /// Settles it, for a caller who may change the model.
    pub fn settle(sql: &mut Sql<'_>, order: &Order) -> Result<Self> {
        authorize(sql, Action::Edit, order.model_id)?;
        let model = models::get(sql, order.model_id)?
            .ok_or_else(|| Error::missing("The model was deleted after its gates were asked for."))?;
        let candidate = versions::require(sql, &model, order.candidate)?;
        let champion = aliases::resolve(sql, &model, &order.alias)?;
        check(&model, &candidate, champion.as_ref(), &order.alias)?;
        let gates = governance::read_gates(&order.config)?;
        let baseline = match &gates.data_drift {
            None => None,
            Some(drift) => Some(told(learned_from(sql, drift, &candidate))?),
        };
        let evaluation = told(rows::resolve(sql, &gates.evaluation.table))?;
        let baseline = baseline.map(|found| baseline::apart(found, &evaluation));
        let endpoint = gates.compatibility.as_ref().and_then(|gate| gate.endpoint.clone());
        let recorded = endpoint
            .map(|endpoint| told(recorded(sql, &model, &endpoint, champion.is_none())))
            .transpose()?;
        Ok(Self {
            evaluation,
            inputs: scoring::inputs(&candidate),
            alias: order.alias.clone(),
            config: order.config.clone(),
            model,
            candidate,
            champion,
            gates,
            baseline,
            recorded,
        })
    }
}

/// The rows that drift is told against.
pub fn learned_from(sql: &mut Sql<'_>, drift: &DataDrift, candidate: &Version) -> Result<Source> {
    if let Some(named) = &drift.against {
        return baseline::resolve(sql, named);
    }
    baseline::find(sql, candidate)?.ok_or_else(|| {
        Error::invalid(format!(
            "nothing says what version {} learned from: set the tag {} of its run, or 'against' in the gates",
            candidate.version,
            baseline::TAG
        ))
    })
}

/// Refuses a candidate that is none.
pub fn check(model: &Model, candidate: &Version, champion: Option<&Version>, alias: &str) -> Result<()> {
    let (name, number) = (model.name(), candidate.version);
    if candidate.status != Status::Ready {
        return Err(Error::invalid(format!(
            "Version {number} of '{name}' is not ready to be judged. Finalize it first."
        )));
    }
    if champion.is_some_and(|champion| champion.version == number) {
        return Err(Error::invalid(format!(
            "Version {number} of '{name}' is what '{alias}' points to already."
        )));
    }
    Ok(())
}

/// Brings what the endpoint of the gates was asked of this server out of the payload log into its table. Answers why not all of it is
/// there, if it is not: what is judged by the rest would be judged too well.
pub async fn unseen(ctx: &Ctx, order: &Order) -> Result<Option<String>> {
    let gates = governance::read_gates(&order.config)?;
    let Some(endpoint) = gates.compatibility.and_then(|gate| gate.endpoint) else { return Ok(None) };
    let found = told(ctx.read(move |sql| endpoints::find(sql, &endpoint, Action::Read)).await)?;
    // Whether there is one is told where it is looked for.
    let Ok(found) = found else { return Ok(None) };
    let waiting = payload::flush_of(&Ctx::system(&ctx.app), found.asset.id).await?;
    Ok((waiting > 0).then(|| {
        format!(
            "Requests of '{}' wait in the payload log ({waiting}), and their table cannot be written to, which the server's log explains",
            found.full_name
        )
    }))
}

/// Makes a refusal a reason; what is a failure of ours stays an error, after which the job is tried again.
pub fn told<T>(result: Result<T>) -> Result<Known<T>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_ours() || error.code() == Code::RequestLimitExceeded => Err(error),
        Err(error) => Ok(Err(error.message().trim_end_matches('.').to_owned())),
    }
}

/// The same of what a job did. What was broken off because the job is to end says nothing about the models, and so is no
/// reason: the job ends.
pub fn told_by<T>(job: &JobCtx, result: Result<T>) -> Result<Known<T>> {
    job.check()?;
    told(result)
}

/// The table that holds what an endpoint of the model was asked, whatever it is called by now, for a caller who may read both.
pub fn recorded(sql: &mut Sql<'_>, model: &Model, endpoint: &str, first: bool) -> Result<Asked> {
    let endpoint = match endpoints::find(sql, endpoint, Action::Read) {
        Err(error) if first && error.code() == Code::ResourceDoesNotExist => return Ok(Asked::NoEndpoint),
        found => found?,
    };
    if endpoint.config.model_id != model.id {
        return Err(Error::invalid(format!(
            "The endpoint '{}' serves '{}', and its callers tell nothing about '{}'. Name an endpoint of this model.",
            endpoint.full_name,
            endpoint.model,
            model.name()
        )));
    }
    let table = match payload::recorded(sql, endpoint.asset.id)? {
        payload::Recorded::Table(table) => table,
        payload::Recorded::Deleted => {
            return Err(Error::missing(
                "The table with the endpoint's requests was deleted. Once it serves again, another one is made.",
            ));
        }
        payload::Recorded::Nothing => return Ok(Asked::Nothing),
    };
    let found = managed::by_asset(sql, table, Action::Read)?;
    Ok(Asked::Rows(Source {
        asset_id: found.asset.id,
        table: found.table,
        version: found.newest.version,
        name: found.name,
    }))
}
