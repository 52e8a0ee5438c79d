//! Figures as metric series: one run a monitor, in an experiment of the schema that the monitor lies in. The step is the number
//! of the window and the timestamp its end; each later revision of a window is a millisecond behind the one before it.

use serde_json::json;

use super::{figure::Figure, look::Look, store};
use crate::{
    bind,
    catalog::{Action, authorize},
    db::Change,
    error::{Error, Result},
    events::EventKind,
    jobs::JobCtx,
    router::wire::{Double, Int64},
    tables::managed,
    tracking::{
        experiment::{self, Kept, Tags},
        run::{self, Batch, NewRun},
        wire::{KeyValue, MetricIn},
    },
};

/// Points of one write.
const POINTS: usize = 1_000;

/// The key of a figure's series.
pub fn key(metric: &str, column: &str) -> String {
    if column.is_empty() {
        return metric.to_owned();
    }
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':');
    // What a key of a series cannot hold.
    let column: String = column.chars().map(|c| if is_taken(c) { c } else { '_' }).take(200).collect();
    format!("{metric}/{column}")
}

/// Adds the points of figures that have a value. Those that are there already are not added again.
pub(super) async fn log(job: &JobCtx, look: &Look, figures: &[Figure]) -> Result<()> {
    let run_id = run_of(job, look).await?;
    let window = look.monitor.definition.window;
    let points: Vec<MetricIn> = figures
        .iter()
        .filter_map(|one| {
            let timestamp = one.span.end.div_euclid(1_000) + one.span.revision - 1;
            Some(MetricIn {
                key: Some(key(&one.metric, &one.column)),
                value: Some(Double(one.value?)),
                timestamp: Some(Int64(timestamp)).filter(|_| timestamp >= 0),
                step: Some(Int64(window.index_of(one.span.start))),
                ..MetricIn::default()
            })
        })
        // Series do not know times before the epoch.
        .filter(|point| point.timestamp.is_some())
        .collect();
    for points in points.chunks(POINTS) {
        let mut batch = Batch::default();
        for point in points {
            batch.add_metric(point, String::new)?;
        }
        let run_id = run_id.clone();
        job.write(move |tx| batch.apply(tx, &run_id, EventKind::RunLog)).await?;
    }
    Ok(())
}

/// The run of a monitor, made with the first figures, and again where somebody deleted it.
async fn run_of(job: &JobCtx, look: &Look) -> Result<String> {
    let id = look.monitor.asset.id;
    let ctx = job.ctx().await?;
    let known = ctx.read(move |sql| {
        authorize(sql, Action::Read, id)?;
        let monitor = super::monitor::by_id(sql, id, Action::Read)?;
        let Some(run_id) = monitor.state.run_id else { return Ok(None) };
        Ok(run::find(sql, &run_id)?.filter(|run| !run.is_deleted()).map(|run| run.uuid))
    });
    if let Some(known) = known.await? {
        return Ok(known);
    }
    let watch = managed::show(&look.names.watched);
    let names = [format!("/Monitors/{watch}"), format!("/Monitors/{watch} {}", look.monitor.asset.uuid)];
    let schema =
        look.monitor.asset.parent_id.ok_or_else(|| Error::internal("a monitor lies in no schema"))?;
    let owner_id = look.monitor.asset.owner_id;
    let home = job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        let kept = Kept { names: &names, schema_id: schema, owner_id, tags: Tags::new() };
        experiment::keep(tx, &kept)
    });
    let home = home.await?;
    let about = managed::show(&look.watched.name);
    let tag = |key: &str, value: &str| KeyValue { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    let tags = [tag("strongback.monitor", &watch), tag("strongback.watched_table", &about)];
    let uuid = uuid::Uuid::new_v4().simple().to_string();
    job.write(move |tx| {
        let name = format!("monitor {watch}");
        let new = NewRun { uuid: &uuid, name: &name, tags: &tags, start_time: tx.now() };
        let Change::Made(run, event) = run::start(tx, &home, &new)? else {
            return Err(Error::internal("two runs were given the same id"));
        };
        tx.execute(&store::MONITOR_SET_RUN, bind![id, &run.uuid])?;
        let event = event.detail(json!({ "name": run.name(), "monitor": watch }));
        Ok(Change::Made(run.uuid, event))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_are_those_that_clients_may_ask_for() {
        assert_eq!(key("psi", "V1"), "psi/V1");
        assert_eq!(key("prediction_shift", ""), "prediction_shift");
        assert_eq!(key("psi", "größe/m²"), "psi/gr__e_m_");
    }
}
