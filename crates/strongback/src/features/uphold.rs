//! Superseded definitions that something served stands on.
//!
//! A model is served with the features that it was trained on, also after somebody has declared its feature table anew. So the
//! panes of its definition stay in the online store, and what the source gains goes into them as well: each job that computes the
//! table computes these behind the newest definition. The table itself has the rows of the newest alone; what was looked up of
//! another one is told by its number and the version of the source.
//!
//! What serves says what it stands on ([`hold`]). What nothing stands on any more goes with the next sweep.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value as Json, json};

use super::{
    definition,
    materialize::{compute, release},
    online::FeatureRef,
    store,
    work::{self, Payload},
};
use crate::{
    bind,
    catalog::{Action, asset, authorize::visible},
    context::{App, Ctx},
    db::{Origin, Sql},
    error::{Error, Result},
    jobs::JobCtx,
    tables::managed,
};

/// Between two looks whether something is online.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Brings every superseded definition of a table that something served stands on as far as its source is. What fails for one is
/// told and noted, and holds up no other.
pub(super) async fn all(job: &JobCtx, table: i64) -> Result<Vec<Json>> {
    let superseded = job
        .ctx()
        .await?
        .read(move |sql| {
            managed::by_asset(sql, table, Action::Edit)?;
            let newest = definition::state(sql, table)?.map_or(0, |state| state.newest);
            let used = definition::used(sql, table)?;
            Ok(used.into_iter().filter(|n| *n != newest).collect::<Vec<i64>>())
        })
        .await?;
    let mut told = Vec::with_capacity(superseded.len());
    for n in superseded {
        if job.is_to_end() {
            break;
        }
        match one(job, table, n, false).await {
            Ok(done) => told.push(done),
            Err(error) => told.push(json!({ "definition": n, "problem": error.message() })),
        }
    }
    Ok(told)
}

/// Brings a superseded definition as far as its source is, or, to restore it, as far as it was.
pub(super) async fn one(job: &JobCtx, table: i64, n: i64, is_restore: bool) -> Result<Json> {
    let payload = Payload { restore: is_restore, ..Payload::upholding(table, n) };
    let done = bring(job, payload).await;
    if let Err(error) = &done
        && !job.is_to_end()
    {
        tracing::warn!(
            table,
            definition = n,
            ?error,
            "a superseded definition that is served is not up to date"
        );
        let problem = error.message().to_owned();
        let note = move |tx: &mut Sql<'_>| {
            let now = tx.now();
            tx.execute(&store::UPHELD_FAILED, bind![table, n, &problem, now]).map(drop)
        };
        job.ctx().await?.app.db.derive(note).await?;
    }
    done
}

async fn bring(job: &JobCtx, payload: Payload) -> Result<Json> {
    let ctx = job.ctx().await?;
    let asked = payload.clone();
    let (found, known) = ctx
        .read(move |sql| {
            let found = work::load(sql, &asked)?;
            let known = definition::upheld(sql, asked.table, found.definition.n)?;
            Ok((found, known))
        })
        .await?;
    let online = ctx.app.online.meta(found.which()).await?;
    let online = online.filter(|meta| meta.table == found.table.asset.uuid);
    let is_there = online.is_some_and(|meta| meta.source_version == found.source_version);
    let known = known.filter(|known| known.problem.is_none()).and_then(|known| known.source_version);
    if is_there && known == Some(found.source_version) {
        return Ok(json!({ "definition": found.definition.n, "source_version": known, "how": "nothing" }));
    }
    let work = work::begin(job, payload).await?;
    match compute(job, &work).await {
        Ok(done) => work::end_upheld(job, &work, &done).await,
        Err(error) => {
            release(job, &work).await;
            Err(error)
        }
    }
}

/// Says which definitions what is served stands on, in the place of all that the holder said before. Derived from what it is
/// configured to serve; nothing is written where nothing changed.
pub async fn hold(ctx: &Ctx, holder: i64, uses: &[FeatureRef]) -> Result<()> {
    let mut wanted: Vec<(i64, i64)> = uses.iter().map(|one| (one.table, one.definition)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let app = &ctx.app;
    let had = app.db.read(&Origin::system(), move |sql| of_holder(sql, holder)).await?;
    if had == wanted {
        return Ok(());
    }
    app.db
        .derive(move |tx| {
            tx.execute(&store::USE_DELETE, bind![holder])?;
            for (table, definition) in &wanted {
                tx.execute(&store::USE_INSERT, bind![holder, *table, *definition])?;
            }
            tx.ring();
            Ok(())
        })
        .await
}

fn of_holder(sql: &mut Sql<'_>, holder: i64) -> Result<Vec<(i64, i64)>> {
    visible(sql);
    sql.all(&store::USES_OF_HOLDER, bind![holder], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Waits a while until a definition is online: it may be on its way.
pub async fn when_online(ctx: &Ctx, feature_ref: FeatureRef, most: Duration) -> Result<()> {
    let which = (feature_ref.table, feature_ref.definition);
    let looking = async {
        while ctx.app.online.meta(which).await?.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    // Whoever opens it then says what is missing.
    tokio::time::timeout(most, looking).await.unwrap_or(Ok(()))
}

/// Lets go what neither is published, nor the newest, nor stood on by anything served.
pub(super) async fn sweep(app: &App) -> Result<()> {
    let online = app.online.all().await?;
    if online.is_empty() {
        return Ok(());
    }
    // Decided in one transaction, so that nothing is let go that somebody stood on by then.
    let stale = app
        .db
        .derive(move |sql| {
            sql.execute(&store::UPHELD_SWEEP, bind![])?;
            visible(sql);
            let (mut kept, mut stale) = (HashMap::new(), Vec::new());
            for ((table, n), meta) in &online {
                if !kept.contains_key(table) {
                    kept.insert(*table, kept_of(sql, *table)?);
                }
                let is_kept =
                    kept.get(table).is_some_and(|(uuid, numbers)| *uuid == meta.table && numbers.contains(n));
                if !is_kept {
                    stale.push((*table, *n));
                }
            }
            Ok(stale)
        })
        .await?;
    if stale.is_empty() {
        return Ok(());
    }
    app.online.forget(stale.clone()).await?;
    // Whoever began to stand on one of them meanwhile finds no row of it, and it is computed again.
    app.db
        .derive(move |tx| {
            for (table, n) in &stale {
                tx.execute(&store::UPHELD_DELETE, bind![*table, *n])?;
            }
            tx.ring();
            Ok(())
        })
        .await
}

/// UUID of a living table, and the definitions of it that are kept online.
fn kept_of(sql: &mut Sql<'_>, table: i64) -> Result<(String, Vec<i64>)> {
    let (Some(found), Some(state)) = (asset::get(sql, table)?, definition::state(sql, table)?) else {
        return Ok((String::new(), Vec::new()));
    };
    let mut numbers = definition::used(sql, table)?;
    numbers.push(state.newest);
    numbers.extend(state.published.map(|published| published.definition));
    Ok((found.uuid, numbers))
}

/// How a definition that is looked up stands to what is declared and published now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Name of the table.
    pub table: String,
    /// Number of the newest definition.
    pub newest: i64,
    /// The version of the source that is looked up; none while nothing of it was computed.
    pub source_version: Option<u64>,
    /// Versions of the source since.
    pub versions_behind: u64,
    /// Why it cannot be brought further, if it cannot.
    pub problem: Option<String>,
}

/// How a definition stands. It authorises nothing.
pub fn standing(sql: &mut Sql<'_>, feature_ref: FeatureRef) -> Result<Standing> {
    let FeatureRef { table, definition: n } = feature_ref;
    let state = definition::state(sql, table)?
        .ok_or_else(|| Error::internal("what is looked up is no feature table"))?;
    let published = state.published.filter(|published| published.definition == n);
    let upheld = definition::upheld(sql, table, n)?;
    let source = definition::get(sql, table, n)?.source_id;
    let newest_version = match asset::get(sql, source)? {
        Some(_) => managed::newest(sql, source)?.map(|newest| newest.version),
        None => None,
    };
    let known = upheld.as_ref().and_then(|upheld| upheld.source_version);
    let source_version = known.max(published.map(|published| published.source_version));
    Ok(Standing {
        table: asset::display_name(sql, table)?,
        newest: state.newest,
        source_version,
        versions_behind: newest_version
            .unwrap_or_default()
            .saturating_sub(source_version.unwrap_or_default()),
        problem: upheld.and_then(|upheld| upheld.problem),
    })
}
