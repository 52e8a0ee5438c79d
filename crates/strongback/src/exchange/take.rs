//! Taking items: one transaction a request, one event, and each item that cannot be kept by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::Method;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ID_CHARS, ItemKind, checked_source, store};
use crate::{
    bind,
    catalog::authorize_admin,
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    registry::{
        carried::{self as models, CarriedAliases, CarriedModel, CarriedVersion, MadeOf},
        signature::Told,
    },
    router::{Limits, Policy, Route},
    tracking::{
        experiment::carried::{self as experiments, CarriedExperiment},
        limits,
        model::carried::{self as logged_models, CarriedLoggedModel},
        run::carried::{self as runs, CarriedRun},
        wire::Taken,
    },
};

/// Items of one request.
const ITEMS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/exchange/take",
        Policy::Admin,
        Limits::LARGE,
        "Keep items of another store, with their ids and their past",
        take,
    )]
}

/// Items that come, in the order in which they are kept. At most 1,000 together. Those that cannot be kept are named; a request of which
/// nothing can be kept is refused with the first reason.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct TakeRequest {
    /// The label of the store that they come from.
    pub source: String,
    /// Experiments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<Entry<CarriedExperiment>>,
    /// Runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunEntry>,
    /// Logged models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logged_models: Vec<Entry<CarriedLoggedModel>>,
    /// Registered models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Entry<CarriedModel>>,
    /// Versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionEntry>,
    /// Aliases of models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<AliasesEntry>,
}

/// An item with its id in the other store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Entry<T> {
    /// Its id there.
    pub from: String,
    /// Its digest, by which it is known later.
    pub digest: String,
    /// The item, under its id here.
    pub item: T,
}

/// A run, or a part of one that has many points.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunEntry {
    /// Its id there.
    pub from: String,
    /// The digest of the whole run.
    pub digest: String,
    /// Whether more of it comes in further requests.
    #[serde(default)]
    pub more: bool,
    /// The run, under its id here.
    pub item: CarriedRun,
}

/// A version, and what it is made of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionEntry {
    /// `name/number` there.
    pub from: String,
    /// Its digest.
    pub digest: String,
    /// The version, under its name here.
    pub item: CarriedVersion,
    /// Where its files are in this server: `runs:/<run>/<path>` or `models:/m-<id>`; none where they are elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// Whether its files are those that were put into its own place.
    #[serde(default)]
    pub own: bool,
}

impl VersionEntry {
    fn made_of(&self) -> MadeOf {
        match &self.files {
            _ if self.own => MadeOf::Own,
            Some(address) => MadeOf::Address(address.clone()),
            None => MadeOf::Nothing,
        }
    }
}

/// Aliases of one model.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct AliasesEntry {
    /// The model's name.
    pub name: String,
    /// Numbers of versions, by name.
    pub aliases: BTreeMap<String, i64>,
    /// Whether these are all that the model has there: others that came from this store, and were not moved here since, are then
    /// taken away.
    #[serde(default)]
    pub all: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct TakeResponse {
    /// How many were made, changed, and the same.
    pub counts: Counts,
    /// Those that could not be kept.
    pub refused: Vec<Refused>,
}

/// How many items were kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// That were not here before.
    pub made: usize,
    /// That were here and have changed.
    pub changed: usize,
    /// That were here as they came.
    pub same: usize,
}

/// An item that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// What it is; none for aliases.
    pub kind: Option<ItemKind>,
    /// Its id there; of aliases the model's name.
    pub id: String,
    /// Why.
    pub why: String,
}

/// One thing to keep.
#[derive(Clone)]
enum Item {
    Experiment(Entry<CarriedExperiment>),
    Run(RunEntry),
    LoggedModel(Entry<CarriedLoggedModel>),
    Model(Entry<CarriedModel>),
    Version(VersionEntry, Told),
    Aliases(CarriedAliases, bool),
}

/// An item that could not be kept, and where it stands among those of its request.
struct Unkept {
    at: usize,
    error: Error,
}

async fn take(ctx: Ctx, request: TakeRequest) -> Result<TakeResponse> {
    let source = checked_source(&request.source)?.to_owned();
    let items = Arc::new(listed(&ctx, request).await?);
    if items.len() > ITEMS_MAX {
        return Err(Error::invalid(format!(
            "A request brings at most {ITEMS_MAX} items; it has {}. Send the others in further requests.",
            items.len()
        )));
    }
    let (mut refused, mut left_out, mut first) = (Vec::new(), BTreeSet::new(), None);
    loop {
        let (source, items_again, without) = (source.clone(), Arc::clone(&items), left_out.clone());
        let unkept = Arc::new(Mutex::new(None));
        let told = Arc::clone(&unkept);
        let kept = ctx
            .write(move |tx| {
                authorize_admin(tx, "take what another store holds")?;
                keep(tx, &source, &items_again, &without).map_err(|Unkept { at, error }| {
                    // What is ours, or only busy, says nothing of the item.
                    if !error.is_ours() {
                        *told.lock() = Some((at, error.message().to_owned()));
                    }
                    error
                })
            })
            .await;
        match kept {
            Ok(counts) => match first {
                Some(error) if left_out.len() == items.len() => return Err(error),
                _ => return Ok(TakeResponse { counts, refused }),
            },
            Err(error) => match unkept.lock().take() {
                Some((at, why)) => {
                    let (kind, id) = items[at].name();
                    refused.push(Refused { kind, id, why });
                    left_out.insert(at);
                    first.get_or_insert(error);
                }
                None => return Err(error),
            },
        }
    }
}

/// The items of a request in the order in which they are kept, with what the files of versions tell.
async fn listed(ctx: &Ctx, request: TakeRequest) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    items.extend(request.experiments.into_iter().map(Item::Experiment));
    items.extend(request.runs.into_iter().map(Item::Run));
    items.extend(request.logged_models.into_iter().map(Item::LoggedModel));
    items.extend(request.models.into_iter().map(Item::Model));
    for version in request.versions {
        let told = models::told(ctx, &version.item, &version.made_of()).await?;
        items.push(Item::Version(version, told));
    }
    let aliases = |AliasesEntry { name, aliases, all }| Item::Aliases(CarriedAliases { name, aliases }, all);
    items.extend(request.aliases.into_iter().map(aliases));
    Ok(items)
}

fn keep(
    tx: &mut Sql<'_>,
    source: &str,
    items: &[Item],
    left_out: &BTreeSet<usize>,
) -> std::result::Result<Change<Counts>, Unkept> {
    let mut counts = Counts::default();
    let mut kept = Vec::new();
    let mut is_news = false;
    for (at, item) in items.iter().enumerate().filter(|(at, _)| !left_out.contains(at)) {
        let unkept = |error| Unkept { at, error };
        let known = item.known(tx, source).map_err(unkept)?;
        item.refuse_others(tx, source, known.as_ref()).map_err(unkept)?;
        let taken = item.keep(tx, source).map_err(unkept)?;
        is_news |= taken != Taken::Same;
        is_news |= item.note(tx, source, known.as_ref()).map_err(unkept)?;
        match taken {
            Taken::Made => counts.made += 1,
            Taken::Changed => counts.changed += 1,
            Taken::Same => counts.same += 1,
        }
        if taken != Taken::Same {
            let (kind, id) = item.name();
            kept.push(json!([kind.map_or("aliases", ItemKind::name), id]));
        }
    }
    if !is_news {
        return Ok(Change::Nothing(counts));
    }
    let event = Event::new(EventKind::ImportTake).detail(json!({
        "source": source, "made": counts.made, "changed": counts.changed, "items": kept,
    }));
    Ok(Change::Made(counts, event))
}

impl Item {
    fn name(&self) -> (Option<ItemKind>, String) {
        let (kind, id) = match self {
            Self::Experiment(entry) => (ItemKind::Experiment, &entry.from),
            Self::Run(entry) => (ItemKind::Run, &entry.from),
            Self::LoggedModel(entry) => (ItemKind::LoggedModel, &entry.from),
            Self::Model(entry) => (ItemKind::Model, &entry.from),
            Self::Version(entry, _) => (ItemKind::Version, &entry.from),
            Self::Aliases(aliases, _) => return (None, aliases.name.clone()),
        };
        (Some(kind), id.clone())
    }

    /// Its id here, and the digest by which it is known later; none for what is not known by itself.
    fn known_by(&self) -> Option<(String, &str)> {
        match self {
            Self::Experiment(entry) => Some((entry.item.experiment_id.clone(), &entry.digest)),
            // Of a run that is not all here, nothing is said yet.
            Self::Run(entry) => {
                Some((entry.item.run_id.clone(), if entry.more { "" } else { &entry.digest }))
            }
            Self::LoggedModel(entry) => Some((entry.item.model_id.clone(), &entry.digest)),
            Self::Model(entry) => Some((entry.item.name.clone(), &entry.digest)),
            Self::Version(entry, _) => {
                Some((format!("{}/{}", entry.item.name, entry.item.version), &entry.digest))
            }
            Self::Aliases(..) => None,
        }
    }

    fn keep(&self, tx: &mut Sql<'_>, source: &str) -> Result<Taken> {
        match self {
            Self::Experiment(entry) => experiments::take(tx, &entry.item),
            Self::Run(entry) => runs::take(tx, &entry.item),
            Self::LoggedModel(entry) => logged_models::take(tx, &entry.item),
            Self::Model(entry) => models::take_model(tx, &entry.item),
            Self::Version(entry, told) => models::take_version(tx, &entry.item, &entry.made_of(), told),
            Self::Aliases(aliases, all) => models::take_aliases(tx, aliases, *all, source),
        }
    }

    /// What is known of it: its id here, and the digest of what came last.
    fn known(&self, tx: &mut Sql<'_>, source: &str) -> Result<Option<(String, String)>> {
        let (Some(kind), from) = self.name() else { return Ok(None) };
        limits::text("from", &from, ID_CHARS)?;
        tx.first(&store::ITEM_GET, bind![source, kind.name(), &from], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Refuses an item whose id here is of something that did not come from this source, or that had another id here before.
    fn refuse_others(&self, tx: &mut Sql<'_>, source: &str, known: Option<&(String, String)>) -> Result<()> {
        let (Some((target, _)), (Some(kind), _)) = (self.known_by(), self.name()) else { return Ok(()) };
        limits::text(kind.id_field(), &target, ID_CHARS)?;
        match known {
            Some((known, _)) if *known == target => return Ok(()),
            Some((known, _)) => {
                return Err(conflict(format!("It came as {known} before, and comes as {target} now.")));
            }
            None => {}
        }
        // The one that every store begins with is everybody's.
        if kind == ItemKind::Experiment && target == experiments::DEFAULT.to_string() {
            return Ok(());
        }
        if self.is_here(tx)? {
            return Err(conflict(format!("{target} is here and did not come from '{source}'.")));
        }
        Ok(())
    }

    fn is_here(&self, tx: &mut Sql<'_>) -> Result<bool> {
        let listed = |id: &str| serde_json::to_string(&[id]).map_err(Error::internal);
        Ok(match self {
            Self::Experiment(entry) => {
                let id = limits::experiment_id(&entry.item.experiment_id)?;
                let [by_id, by_name] = experiments::present(tx, Some(id), &entry.item.name)?;
                by_id.is_some() || by_name.is_some()
            }
            Self::Run(entry) => {
                tx.first(&store::RUNS_HERE, bind![&listed(&entry.item.run_id)?], |_| Ok(()))?.is_some()
            }
            Self::LoggedModel(entry) => {
                let ids = listed(&entry.item.model_id)?;
                tx.first(&store::LOGGED_MODELS_HERE, bind![&ids], |_| Ok(()))?.is_some()
            }
            Self::Model(entry) => models::present(tx, &entry.item.name)?.is_some(),
            Self::Version(entry, _) => models::is_here(tx, &entry.item)?,
            Self::Aliases(..) => false,
        })
    }

    /// Notes what it is known by; whether that is news.
    fn note(&self, tx: &mut Sql<'_>, source: &str, known: Option<&(String, String)>) -> Result<bool> {
        let (Some((target, digest)), (Some(kind), from)) = (self.known_by(), self.name()) else {
            return Ok(false);
        };
        limits::text("digest", digest, 128)?;
        if known.is_some_and(|(_, before)| before == digest) {
            return Ok(false);
        }
        tx.execute(&store::ITEM_PUT, bind![source, kind.name(), &from, &target, digest])?;
        Ok(true)
    }
}

fn conflict(message: String) -> Error {
    Error::new(Code::ResourceConflict, message)
}
