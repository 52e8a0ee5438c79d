//! Bringing what this process serves in step with what the store says: endpoints that are new or gone, configurations that
//! are not loaded yet, aliases that moved.
//!
//! What must stay true: a version is loaded before it is served, and the configuration that a followed alias makes is stored
//! before requests meet it; where the store cannot be read, what is served goes on.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;

use super::{
    endpoints::endpoint_follow,
    live::{Deployed, Live},
    log,
    lookup::Lookup,
    provenance, runtime, store,
};
use crate::{
    bind,
    catalog::authorize_admin,
    context::{App, Ctx},
    error::{Error, Result},
    registry::versions,
};

/// Between two looks at the store.
const EVERY: Duration = Duration::from_secs(1);

/// Between two looks for files that nobody needs.
const SWEEP: Duration = Duration::from_hours(24);

/// What the store says of an endpoint.
struct Row {
    id: i64,
    name: String,
    n: i64,
    model_id: i64,
    version: i64,
    follows: bool,
    /// Where the alias points now; none if it is not set.
    target: Option<i64>,
}

/// Goes on until it is told to stop.
pub async fn follow(app: Arc<App>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    let mut swept_at: Option<Instant> = None;
    loop {
        if let Err(error) = look(&app).await {
            tracing::warn!(?error, "endpoints were not brought in step");
        }
        if swept_at.is_none_or(|at| at.elapsed() > SWEEP) {
            swept_at = Some(Instant::now());
            if let Err(error) = runtime::sweep(&app).await {
                tracing::warn!(?error, "files of models that nobody needs were not removed");
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = app.serving.wake.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Looks once, and begins to load what is not loaded. Answers what it began.
pub async fn look(app: &Arc<App>) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let rows = rows(&Ctx::system(app)).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    app.serving.retain(&ids);
    let mut begun = Vec::new();
    for row in rows {
        let live = app.serving.adopt(row.id, &row.name);
        let wanted = if row.follows { row.target.unwrap_or(row.version) } else { row.version };
        let is_there = live.deployed().is_some_and(|deployed| {
            let version = deployed.scorer.version();
            deployed.config == row.n && (version.model_id, version.version) == (row.model_id, wanted)
        });
        // Loaded anew, it opens what answers for that now.
        if is_there && is_whole(&live) {
            live.settle();
            if let Some(deployed) = live.deployed() {
                deployed.lookup.renew(&Ctx::system(app), row.id).await?;
            }
            continue;
        }
        if !live.begin(row.n, (row.model_id, wanted)) {
            continue;
        }
        let app = Arc::clone(app);
        begun.push(tokio::spawn(async move { bring(&app, &live, &row, wanted).await }));
    }
    Ok(begun)
}

/// Whether all that an endpoint looks up can be looked up still.
fn is_whole(live: &Live) -> bool {
    let Some(deployed) = live.deployed() else { return true };
    deployed.lookup.is_whole().unwrap_or_else(|error| {
        tracing::warn!(endpoint = live.name, ?error, "the online features cannot be read");
        true
    })
}

async fn rows(ctx: &Ctx) -> Result<Vec<Row>> {
    ctx.read(|sql| {
        authorize_admin(sql, "see what is served")?;
        let mut rows = sql.all(&store::ENDPOINT_LIVING, bind![], |row| {
            let alias: Option<String> = row.get(6)?;
            let found = Row {
                id: row.get(0)?,
                name: row.get::<Option<String>>(1)?.unwrap_or_default(),
                n: row.get(2)?,
                model_id: row.get(3)?,
                version: row.get(4)?,
                follows: alias.is_some(),
                target: row.get(7)?,
            };
            Ok((found, alias))
        })?;
        for (row, alias) in &mut rows {
            // `latest` is no alias of the store's, but the highest version.
            if alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case("latest")) {
                row.target = versions::newest(sql, row.model_id)?.map(|version| version.version);
            }
        }
        Ok(rows.into_iter().map(|(row, _)| row).collect())
    })
    .await
}

async fn bring(app: &Arc<App>, live: &Live, row: &Row, wanted: i64) {
    let ctx = Ctx::system(app);
    match caught(load(&ctx, row, wanted)).await {
        Ok(Some(deployed)) => {
            let version = deployed.scorer.version();
            tracing::info!(
                endpoint = live.name, config = deployed.config, model = version.name, version = version.version,
                runtime = ?deployed.scorer.runtime(), "an endpoint serves a version"
            );
            live.deploy(deployed);
        }
        // Something changed meanwhile: the next look sees it.
        Ok(None) => live.pass(),
        Err(error) => {
            tracing::warn!(
                endpoint = live.name,
                version = wanted,
                ?error,
                "an endpoint cannot serve a version"
            );
            live.fail(row.n, (row.model_id, wanted), &error);
        }
    }
}

/// A panic is a failure like others: whoever has the turn of loading gives it back.
async fn caught<T>(loading: impl Future<Output = Result<T>>) -> Result<T> {
    let panicked = |_| Err(Error::internal("loading a version ended with a panic"));
    AssertUnwindSafe(loading).catch_unwind().await.unwrap_or_else(panicked)
}

async fn load(ctx: &Ctx, row: &Row, wanted: i64) -> Result<Option<Deployed>> {
    let scorer = runtime::load_version(ctx, row.model_id, wanted).await?;
    let lookup = Lookup::open(ctx, row.id, scorer.version(), scorer.schema()).await?;
    let recorder = log::recorder(ctx, row.id, scorer.schema()).await?;
    provenance::complete(ctx, row.id).await?;
    let config =
        if wanted == row.version { Some(row.n) } else { endpoint_follow(ctx, row.id, row.n, wanted).await? };
    let schema = Arc::new(scorer.schema().clone());
    Ok(config.map(|config| Deployed { config, scorer, schema, lookup, recorder }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_loading_is_a_failure() {
        let error = caught(async { if true { panic!("on purpose") } else { Ok(()) } }).await.unwrap_err();
        assert_eq!(error.status(), 500);
        assert_eq!(caught(async { Ok(7) }).await.unwrap(), 7);
    }
}
