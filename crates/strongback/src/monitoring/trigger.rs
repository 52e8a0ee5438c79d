//! What an alert begins: the declared command, with the values that the monitor gives its parameters, and nothing else.

use std::collections::BTreeMap;

use serde_json::json;
use syntax::monitors::Trigger;

use super::{look::Look, span::moment, store};
use crate::{
    bind,
    catalog::{Action, authorize},
    db::Change,
    error::{Code, Result},
    events::{Event, EventKind},
    jobs::{Budget, JobCtx, commands},
};

/// Queues the command because of a window, unless one was queued for it or a later one, or within the cool-down. What the
/// command refuses is logged: alerts stand all the same.
pub(super) async fn pull(job: &JobCtx, look: &Look, start: i64) -> Result<()> {
    let Some(trigger) = look.monitor.definition.trigger.clone() else { return Ok(()) };
    let (id, uuid) = (look.monitor.asset.id, look.monitor.asset.uuid.clone());
    let end = start + look.monitor.definition.window.length.micros();
    let params = parameters(&trigger, &look.monitor.definition.watch, (start, end));
    let run_as_id = look.monitor.declared_by;
    let cool_down = trigger.cool_down.micros() / 1_000;
    let told = job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        let before = tx.one(&store::MONITOR_LOCK, bind![id], |row| {
            Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?))
        })?;
        let now = tx.now();
        let is_cool = before.0.is_none_or(|at| now.saturating_sub(at) >= cool_down);
        let is_new = before.1.is_none_or(|window| window < start);
        if !is_cool || !is_new {
            return Ok(Change::Nothing(None));
        }
        let command = commands::find(tx, &trigger.command)?;
        let run = commands::Run {
            command_id: command.id,
            params: params.clone(),
            run_as_id,
            idempotency_key: Some(format!("{uuid}/{start}")),
            budget: Budget {
                processor_ms: trigger.processor.map(|length| length.micros() / 1_000),
                wall_ms: trigger.wall.map(|length| length.micros() / 1_000),
                bytes_read: None,
            },
            ..commands::Run::default()
        };
        let queued = commands::enqueue(tx, &run)?;
        tx.execute(&store::MONITOR_TRIGGERED, bind![id, now, start])?;
        tx.execute(&store::ALERT_SET_JOB, bind![id, start, &queued.id.to_string()])?;
        let event = Event::new(EventKind::MonitorTrigger).asset(id, 0).subject(queued.id.to_string()).detail(
            json!({ "command": trigger.command, "params": params, "window": moment(start), "job": queued.id }),
        );
        Ok(Change::Made(Some(queued.id), event))
    });
    match told.await {
        Ok(Some(queued)) => job.log(&format!("queued the job {queued} because of {}", moment(start))),
        Ok(None) => {}
        Err(error) if is_refusal(error.code()) => {
            job.log(&format!("the trigger's command was not queued: {}", error.message()));
            tracing::warn!(%error, "a trigger's command was refused");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the command, its parameters or the rights to it are what is wrong: the next window would meet the same.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidParameterValue
            | Code::PermissionDenied
            | Code::ResourceDoesNotExist
            | Code::RequestLimitExceeded
    )
}

/// Values of the command's parameters. A whole value that is a name in braces stands for what is known of the window.
fn parameters(trigger: &Trigger, watch: &str, (start, end): (i64, i64)) -> BTreeMap<String, String> {
    let value = |text: &String| match text.as_str() {
        "{window_start}" => moment(start),
        "{window_end}" => moment(end),
        "{watch}" => watch.to_owned(),
        _ => text.clone(),
    };
    trigger.parameters.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_in_braces_stand_for_the_window() {
        let given =
            [("a", "{window_start}"), ("b", "{window_end}"), ("c", "x{window_end}"), ("d", "{watch}")];
        let trigger = Trigger {
            command: "a.b.c".into(),
            parameters: given.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            wall: None,
            processor: None,
            cool_down: "1h".parse().unwrap(),
        };
        let values: Vec<String> = parameters(&trigger, "p.r.f", (0, 3_600_000_000)).into_values().collect();
        assert_eq!(values, ["1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z", "x{window_end}", "p.r.f"]);
    }
}
