//! A running server of MLflow, of the versions 2.9 to 3.17: asked by its REST interface, as its own client asks.
//!
//! What must stay true: it is only read; what an older version lacks is empty; what it answers is within bounds, and no path that it
//! names leads out of a root. Deleted runs come without the time of their deletion and deleted logged models not at all, because
//! the interface does not give them.

mod api;
mod files;
#[cfg(test)]
mod tests;
#[expect(clippy::struct_field_names, reason = "the fields have the names of MLflow's messages")]
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::{
    api::{Api, CALLS_MAX, Call},
    wire::{
        DownloadUri, Experiments, LoggedModel, LoggedModels, Metric, Metrics, Models, OneLoggedModel, OneRun,
        Page, RunIds, Runs, Versions,
    },
};
use super::{
    numbers::Numbers,
    source::{Found, FoundVersion, Held, Outline, Source, Unread},
};
use crate::{
    cli::client::segment,
    config::read_variable,
    error::{Code, Error, Result},
    registry::carried::{CarriedAliases, CarriedVersion},
    tracking::{model::carried::CarriedLoggedModel, run::carried::CarriedRun},
};

/// Results of a page of experiments, runs or models.
const PAGE: usize = 1_000;
/// The same of logged models, of which some servers give no more.
const LOGGED_MODELS_PAGE: usize = 50;
/// Experiments that one search asks for.
const EXPERIMENTS_A_SEARCH: usize = 50;
/// Runs that one search asks for by their ids.
const RUNS_A_SEARCH: usize = 100;
/// Runs that one call gets a metric of; MLflow 2.9 takes no more.
const RUNS_A_HISTORY: usize = 20;
/// Points that one call gets; MLflow gives no more.
const POINTS_A_CALL: usize = 25_000;
/// Points that a run is taken to have before any was read.
const POINTS_AT_FIRST: usize = 5_000;
/// Pages of one list, so that a server that never ends is left.
const PAGES_MAX: usize = 1_000_000;
/// The tag by which MLflow tells prompts from models, which it searches apart.
const PROMPTS: &str = "tags.`mlflow.prompt.is_prompt` = 'true'";

/// A server that is asked.
pub(super) struct Server {
    asked: Asked,
    runtime: tokio::runtime::Runtime,
    /// Points of a run, by the runs that came last: a server does not tell beforehand.
    points_a_run: usize,
}

/// What the calls share.
struct Asked {
    api: Api,
    /// The experiment of each run, as a place in a list: a search by ids needs it.
    experiment_of: HashMap<String, usize>,
    experiments: Vec<String>,
    /// Experiments that an export gave another number there.
    numbers: Numbers,
    /// Whether it has logged models.
    has_logged_models: bool,
    /// Whether the call for the history of many runs is there.
    has_bulk: AtomicBool,
    /// What it does not give, and should.
    unread: Mutex<Vec<String>>,
}

impl Server {
    /// The server at an address, with the login of MLflow's own variables.
    pub(super) fn new(url: &str) -> Result<Self> {
        Self::with(url, read_variable)
    }

    /// Its address, without credentials.
    pub(super) fn address(&self) -> &str {
        self.asked.api.address()
    }

    fn with(url: &str, variable: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let api = Api::new(url, variable)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
        let has_bulk = AtomicBool::new(true);
        let (experiment_of, experiments) = (HashMap::new(), Vec::new());
        let numbers = Numbers::default();
        let unread = Mutex::default();
        let asked =
            Asked { api, experiment_of, experiments, numbers, has_logged_models: false, has_bulk, unread };
        Ok(Self { asked, runtime, points_a_run: POINTS_AT_FIRST })
    }
}

/// Waits for several things, so many at once.
async fn together<T>(work: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    stream::iter(work).buffer_unordered(CALLS_MAX).try_collect().await
}

impl Asked {
    /// All pages of something, each handed out; `call` is given the token of the page. False where there is no such route.
    async fn pages<P: Page + DeserializeOwned>(
        &self,
        call: impl Fn(&str) -> Call,
        mut take: impl FnMut(Vec<P::Item>),
    ) -> Result<bool> {
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let call = call(&token);
            let Some(page) = self.api.ask::<P>(&call).await? else {
                return if token.is_empty() { Ok(false) } else { Err(self.endless()) };
            };
            let (items, next) = page.split();
            let is_empty = items.is_empty();
            take(items);
            if next.is_empty() || (is_empty && next == token) {
                return Ok(true);
            }
            if next == token {
                return Err(self.endless());
            }
            token = next;
        }
        Err(self.endless())
    }

    fn endless(&self) -> Error {
        Error::unavailable(format!("{} does not come to the end of a list.", self.api.address()))
    }

    /// The pages of a search by POST.
    async fn search<P: Page + DeserializeOwned>(
        &self,
        path: &str,
        body: serde_json::Value,
    ) -> Result<Option<Vec<P::Item>>> {
        let call = |token: &str| {
            let mut body = body.clone();
            if !token.is_empty() {
                body["page_token"] = token.into();
            }
            Call::post(path, body)
        };
        let mut found = Vec::new();
        let is_there = self.pages::<P>(call, |items| found.extend(items)).await?;
        Ok(is_there.then_some(found))
    }

    /// The pages of a list by GET.
    async fn list<P: Page + DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> Result<Option<Vec<P::Item>>> {
        let call = |token: &str| {
            let mut query = query.to_vec();
            if !token.is_empty() {
                query.push(("page_token", token.to_owned()));
            }
            Call::get(path, query)
        };
        let mut found = Vec::new();
        let is_there = self.pages::<P>(call, |items| found.extend(items)).await?;
        Ok(is_there.then_some(found))
    }

    fn no_route(&self, path: &str) -> Error {
        Error::unavailable(format!("{} has no {path}. Is it a server of MLflow?", self.api.address()))
    }

    async fn outline(&mut self) -> Result<Outline> {
        let mut outline = Outline { version: self.version().await?, ..Outline::default() };
        let path = "/api/2.0/mlflow/experiments/search";
        let body = json!({ "max_results": PAGE, "view_type": "ALL" });
        let found = self.search::<Experiments>(path, body).await?.ok_or_else(|| self.no_route(path))?;
        outline.experiments = found.into_iter().map(Into::into).collect();
        outline.experiments.sort_by_cached_key(|found| {
            (found.item.experiment_id.parse().unwrap_or(u64::MAX), found.item.experiment_id.clone())
        });
        outline.experiments.dedup_by(|a, b| a.item.experiment_id == b.item.experiment_id);
        self.experiments = outline.experiments.iter().map(|found| found.item.experiment_id.clone()).collect();
        self.numbers.learn(&mut outline.experiments);
        self.experiment_of = self.run_ids().await?;
        outline.runs = self.experiment_of.keys().cloned().collect();
        // Those of one experiment are found by one search.
        outline.runs.sort_unstable_by_key(|id| (self.experiment_of.get(id), id.clone()));
        outline.logged_models = self.model_ids().await?;
        self.has_logged_models = !outline.logged_models.is_empty();
        self.registry(&mut outline).await?;
        Ok(outline)
    }

    /// What the server says that it is.
    async fn version(&self) -> Result<String> {
        let bytes = self.api.bytes(&Call::get("/version", Vec::new())).await?.unwrap_or_default();
        let is_version = bytes.len() <= 64 && bytes.first().is_some_and(u8::is_ascii_digit);
        Ok(if is_version { String::from_utf8_lossy(&bytes).trim().to_owned() } else { String::new() })
    }

    async fn run_ids(&self) -> Result<HashMap<String, usize>> {
        let places: HashMap<&str, usize> =
            self.experiments.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        let places = &places;
        let parts = self.experiments.chunks(EXPERIMENTS_A_SEARCH).map(|ids| async move {
            let path = "/api/2.0/mlflow/runs/search";
            // What is made meanwhile comes at the end, and moves no page.
            let body = json!({
                "experiment_ids": ids, "run_view_type": "ALL", "max_results": PAGE,
                "order_by": ["attributes.start_time ASC"],
            });
            let found = self.search::<RunIds>(path, body).await?.ok_or_else(|| self.no_route(path))?;
            let placed = found
                .into_iter()
                .filter_map(|run| Some((run.info.run_id, *places.get(run.info.experiment_id.as_str())?)));
            Ok(placed.collect::<Vec<_>>())
        });
        Ok(together(parts).await?.into_iter().flatten().filter(|(id, _)| !id.is_empty()).collect())
    }

    async fn model_ids(&self) -> Result<Vec<String>> {
        let parts = self.experiments.chunks(EXPERIMENTS_A_SEARCH).map(|ids| async move {
            let body = json!({ "experiment_ids": ids, "max_results": LOGGED_MODELS_PAGE });
            let found = self.search::<LoggedModels>("/api/2.0/mlflow/logged-models/search", body).await?;
            let ids = found.unwrap_or_default().into_iter().map(|model: LoggedModel| model.info.model_id);
            Ok(ids.collect::<Vec<_>>())
        });
        let ids: BTreeSet<String> = together(parts).await?.into_iter().flatten().collect();
        Ok(ids.into_iter().filter(|id| !id.is_empty()).collect())
    }

    async fn registry(&self, outline: &mut Outline) -> Result<()> {
        let (mut models, mut aliases, mut versions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for filter in [None, Some(PROMPTS)] {
            let mut query = vec![("max_results", PAGE.to_string())];
            query.extend(filter.map(|filter| ("filter", filter.to_owned())));
            for mut model in
                self.registered::<Models>("/api/2.0/mlflow/registered-models/search", &query).await?
            {
                let named = std::mem::take(&mut model.aliases);
                let model: crate::registry::carried::CarriedModel = model.into();
                if !named.is_empty() {
                    let named = named.into_iter().map(|alias| (alias.alias, alias.version.0)).collect();
                    aliases.insert(
                        model.name.clone(),
                        CarriedAliases { name: model.name.clone(), aliases: named },
                    );
                }
                models.insert(model.name.clone(), model);
            }
            for version in
                self.registered::<Versions>("/api/2.0/mlflow/model-versions/search", &query).await?
            {
                let version: CarriedVersion = version.into();
                versions.insert((version.name.clone(), version.version), version);
            }
        }
        outline.models = models.into_values().collect();
        outline.aliases = aliases.into_values().collect();
        let placed = versions.into_values().map(|item| async move {
            let storage_location = self.storage_location(&item).await?;
            Ok(FoundVersion { item, storage_location })
        });
        outline.versions = together(placed).await?;
        outline.versions.sort_by(|a, b| (&a.item.name, a.item.version).cmp(&(&b.item.name, b.item.version)));
        Ok(())
    }

    /// All pages of a list of the registry. Every server of MLflow has one: where it is not shown, that is noted, and the rest comes.
    async fn registered<P: Page + DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> Result<Vec<P::Item>> {
        let why = match self.list::<P>(path, query).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => format!("{path}: {} does not have it, or hides it", self.api.address()),
            Err(error) if error.code() == Code::PermissionDenied => format!("{path}: {}", error.message()),
            Err(error) => return Err(error),
        };
        let mut unread = self.unread.lock();
        if !unread.contains(&why) {
            unread.push(why);
        }
        Ok(Vec::new())
    }

    /// Where the files of a version are whose source names another thing.
    async fn storage_location(&self, version: &CarriedVersion) -> Result<String> {
        if !version.source.starts_with("models:/") {
            return Ok(String::new());
        }
        let query = vec![("name", version.name.clone()), ("version", version.version.to_string())];
        let call = Call::get("/api/2.0/mlflow/model-versions/get-download-uri", query);
        let found: Option<DownloadUri> = self.api.ask(&call).await?;
        Ok(found.map(|found| found.artifact_uri).filter(|uri| *uri != version.source).unwrap_or_default())
    }

    /// Runs of one search, with every point.
    async fn runs(&self, ids: &[String]) -> Result<Vec<Found<CarriedRun>>> {
        let experiments: BTreeSet<&String> =
            ids.iter().filter_map(|id| self.experiments.get(*self.experiment_of.get(id)?)).collect();
        let listed: Vec<String> = ids.iter().filter(|id| is_plain(id)).map(|id| format!("'{id}'")).collect();
        if experiments.is_empty() || listed.is_empty() {
            return Ok(Vec::new());
        }
        let path = "/api/2.0/mlflow/runs/search";
        let body = json!({
            "experiment_ids": experiments, "run_view_type": "ALL", "max_results": PAGE,
            "filter": format!("attributes.run_id IN ({})", listed.join(", ")),
        });
        let found = self.search::<Runs>(path, body).await?.ok_or_else(|| self.no_route(path))?;
        let mut runs: BTreeMap<String, Found<CarriedRun>> = BTreeMap::new();
        for run in found {
            let run: Found<CarriedRun> = run.into();
            if ids.contains(&run.item.run_id) {
                runs.insert(run.item.run_id.clone(), run);
            }
        }
        self.points(&mut runs).await?;
        self.models_read(&mut runs).await?;
        Ok(runs
            .into_values()
            .map(|mut run| {
                run.item.experiment_id = self.numbers.id_of(run.item.experiment_id);
                run.item.settle();
                run
            })
            .collect())
    }

    /// The logged models that runs read, which a search of MLflow's server leaves out.
    async fn models_read(&self, runs: &mut BTreeMap<String, Found<CarriedRun>>) -> Result<()> {
        if !self.has_logged_models {
            return Ok(());
        }
        let wholes = together(runs.keys().map(|id| {
            let call = Call::get("/api/2.0/mlflow/runs/get", vec![("run_id", id.clone())]);
            async move { self.api.ask::<OneRun>(&call).await }
        }));
        for whole in wholes.await?.into_iter().flatten() {
            let whole: Found<CarriedRun> = whole.run.into();
            if let Some(run) = runs.get_mut(&whole.item.run_id) {
                run.item.models_read = whole.item.models_read;
            }
        }
        Ok(())
    }

    /// The points of every metric of some runs.
    async fn points(&self, runs: &mut BTreeMap<String, Found<CarriedRun>>) -> Result<()> {
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, run) in &*runs {
            for key in run.item.metrics.keys() {
                by_key.entry(key.clone()).or_default().push(id.clone());
            }
        }
        let calls: Vec<(&String, &[String])> = by_key
            .iter()
            .flat_map(|(key, ids)| ids.chunks(RUNS_A_HISTORY).map(move |ids| (key, ids)))
            .collect();
        let histories = together(
            calls.into_iter().map(|(key, ids)| async move { Ok((key, self.histories(key, ids).await?)) }),
        )
        .await?;
        for (key, metrics) in histories {
            for metric in metrics {
                let run = runs.get_mut(&metric.run_id);
                if let Some(points) = run.and_then(|run| run.item.metrics.get_mut(key)) {
                    points.push(metric.point());
                }
            }
        }
        Ok(())
    }

    /// The points of one metric of some runs, each with its run: by one call, or where that has not all of them by one a run.
    async fn histories(&self, key: &str, ids: &[String]) -> Result<Vec<Metric>> {
        let mut found = Vec::new();
        if ids.len() > 1 && self.has_bulk.load(Ordering::Relaxed) {
            let mut query: Vec<_> = ids.iter().map(|id| ("run_id", id.clone())).collect();
            query.extend([("metric_key", key.to_owned()), ("max_results", POINTS_A_CALL.to_string())]);
            let call = Call::get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", query);
            // It is not of the interface that MLflow promises: where it fails, the other one tells why.
            match self.api.ask::<Metrics>(&call).await {
                Ok(Some(page)) => found = page.split().0,
                Ok(None) => self.has_bulk.store(false, Ordering::Relaxed),
                Err(_) => {}
            }
        }
        if found.len() >= POINTS_A_CALL {
            found.clear();
        }
        let whole: BTreeSet<String> = found.iter().map(|metric| metric.run_id.clone()).collect();
        for id in ids.iter().filter(|id| !whole.contains(*id)) {
            let query = [
                ("run_id", id.clone()),
                ("metric_key", key.to_owned()),
                ("max_results", POINTS_A_CALL.to_string()),
            ];
            let points = self.list::<Metrics>("/api/2.0/mlflow/metrics/get-history", &query).await?;
            found.extend(points.unwrap_or_default().into_iter().map(|mut metric| {
                metric.run_id.clone_from(id);
                metric
            }));
        }
        Ok(found)
    }

    async fn logged_model(&self, id: &str) -> Result<Option<Found<CarriedLoggedModel>>> {
        let call = Call::get(format!("/api/2.0/mlflow/logged-models/{}", segment(id)), Vec::new());
        let found: Option<OneLoggedModel> = self.api.ask(&call).await?;
        Ok(found
            .map(|found| found.model.into())
            .filter(|found: &Found<CarriedLoggedModel>| found.item.model_id == id)
            .map(|mut found| {
                found.item.experiment_id = self.numbers.id_of(found.item.experiment_id);
                found
            }))
    }
}

/// Whether an id can stand in a filter.
fn is_plain(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl Source for Server {
    fn outline(&mut self) -> Result<Outline> {
        self.runtime.block_on(self.asked.outline())
    }

    fn fitting(&mut self, ids: &[String], points_max: usize) -> Result<usize> {
        Ok((points_max / self.points_a_run.max(1)).clamp(1, ids.len().max(1)))
    }

    fn runs(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedRun>>> {
        let found = together(ids.chunks(RUNS_A_SEARCH).map(|ids| self.asked.runs(ids)));
        let found: Vec<_> = self.runtime.block_on(found)?.into_iter().flatten().collect();
        let points: usize = found.iter().map(|run| run.item.points()).sum();
        // Of runs with few points, not many more are asked for at once than before: the next may have more.
        self.points_a_run = (points / found.len().max(1)).max(self.points_a_run / 4);
        Ok(found)
    }

    fn logged_models(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedLoggedModel>>> {
        let found = together(ids.iter().map(|id| self.asked.logged_model(id)));
        Ok(self.runtime.block_on(found)?.into_iter().flatten().collect())
    }

    fn files(&mut self, owner: &Held<'_>) -> Result<Option<Vec<(String, u64)>>> {
        let Some(root) = self.asked.root(owner)? else { return Ok(None) };
        self.runtime.block_on(self.asked.files(&root)).map(Some)
    }

    fn fetch(&mut self, owner: &Held<'_>, path: &str, into: &mut std::fs::File) -> Result<()> {
        let Some(root) = self.asked.root(owner)? else {
            let (address, place) = (self.asked.api.address(), owner.artifact_uri);
            return Err(Error::invalid(format!("The files at {place} are not passed on by {address}.")));
        };
        self.runtime.block_on(self.asked.fetch(&root, path, into))
    }

    fn unread(&self) -> Unread {
        let named = self.asked.unread.lock().clone();
        Unread { count: named.len() as u64, named }
    }

    fn is_gone(&self) -> bool {
        self.asked.api.is_gone()
    }
}
