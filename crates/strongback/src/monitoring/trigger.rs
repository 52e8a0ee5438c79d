//! What an alert begins: the declared command, with the values that the monitor gives its parameters, and nothing else.

use std::collections::BTreeMap;

use serde_json::json;
use syntax::monitors::{Monitor, Trigger};

use super::{
    look::Look,
    monitor::{self, Far},
    span::moment,
    store,
    stored::Part,
};
use crate::{
    bind,
    catalog::{Action, asset, authorize},
    db::Change,
    error::{Code, Error, Result},
    events::{Event, EventKind},
    jobs::{Budget, JobCtx, commands},
    tables::managed::show,
};

/// Queues the command because of a window, unless one was queued for it, or within the cool-down; nor where the window is
/// history: one was queued for a later one, later ones are due still, event time is further than what may come late, or no alert
/// of it stands any more. Labels come out of order by their nature: a later window makes no history of theirs. What the command
/// refuses is logged: alerts stand all the same. Where too many jobs wait it is an error that passes, and the windows are judged
/// again.
pub(super) async fn pull(job: &JobCtx, look: &Look, start: i64, part: Part) -> Result<()> {
    let Some(trigger) = look.monitor.definition.trigger.clone() else { return Ok(()) };
    let (id, uuid) = (look.monitor.asset.id, look.monitor.asset.uuid.clone());
    let end = start + look.monitor.definition.window.length.micros();
    let params = parameters(&trigger, &show(&look.names.watched), (start, end));
    let command_id = look.monitor.command_id;
    let declared = look.monitor.definition.clone();
    let (run_as_id, n) = (look.monitor.declared_by, look.monitor.n);
    let cool_down = trigger.cool_down.micros() / 1_000;
    let told = job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        let far = monitor::lock(tx, id, n)?;
        let now = tx.now();
        let is_cool = far.triggered_at.is_none_or(|at| now.saturating_sub(at) >= cool_down);
        let is_new = part == Part::Labels || far.triggered_window.is_none_or(|window| window < start);
        if !is_cool || !is_new || is_history(&declared, &far, end, part, now) {
            return Ok(Change::Nothing(None));
        }
        if tx.first(&store::ALERT_OF_WINDOW, bind![id, start], |_| Ok(()))?.is_none() {
            return Ok(Change::Nothing(None));
        }
        // Another one that has its name since is not what the monitor was declared with.
        let command = command_id.map(|id| asset::get(tx, id)).transpose()?.flatten().ok_or_else(|| {
            Error::missing(format!(
                "The command '{}', which the monitor was declared with, was deleted. Declare one, and the monitor anew.",
                trigger.command
            ))
        })?;
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
        if queued.event.is_none() {
            return Ok(Change::Nothing(None));
        }
        tx.execute(&store::MONITOR_TRIGGERED, bind![id, now, far.triggered_window.max(Some(start))])?;
        tx.execute(&store::ALERT_SET_JOB, bind![id, start, &queued.id.to_string()])?;
        let event = Event::new(EventKind::MonitorTrigger).asset(id, 0).subject(queued.id.to_string()).detail(
            json!({ "command": trigger.command, "params": params, "window": moment(start), "job": queued.id }),
        );
        Ok(Change::Made(Some(queued.id), event))
    });
    match told.await {
        Ok(Some(queued)) => job.log(&format!("queued the job {queued} because of {}", moment(start))),
        Ok(None) => {}
        Err(error) if error.code() == Code::RequestLimitExceeded => {
            job.log(&format!("the trigger's command waits: {}", error.message()));
            return Err(Error::unavailable(error.message().to_owned()));
        }
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
    matches!(code, Code::InvalidParameterValue | Code::PermissionDenied | Code::ResourceDoesNotExist)
}

/// Whether a window that ends then says nothing any more of how things are: later ones are complete and not computed yet, or
/// the newest event is further from it than what the declaration lets come late.
fn is_history(declared: &Monitor, far: &Far, end: i64, part: Part, now: i64) -> bool {
    let (length, delay) = (declared.window.length.micros(), declared.window.delay.micros());
    let Some(newest) = far.newest_event else { return false };
    let is_next_due = far.computed_to.is_some_and(|to| {
        let complete_at = to.saturating_add(length).saturating_add(delay);
        newest >= to && complete_at <= now.saturating_mul(1_000)
    });
    // Labels come late by their nature, and are judged as soon as they do.
    let lateness = match (part, &declared.labels) {
        (Part::Labels, Some(labels)) => labels.lateness.micros().max(declared.lateness.micros()),
        _ => declared.lateness.micros(),
    };
    let is_over = newest.saturating_sub(end) > lateness.saturating_add(length);
    (part == Part::All && is_next_due) || is_over
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
    fn a_window_is_history_once_later_ones_are_known_of() {
        const HOUR: i64 = 3_600_000_000;
        let declared = syntax::monitors::from_yaml(
            "version: 1\nwatch: a.b.c\nbaseline: a.b.t@1\nwindow: { length: 1h }\nlateness: 2h\n\
             labels: { lateness: 1d, baseline: y }\n",
        )
        .unwrap();
        let far = |computed_to: i64, newest: i64| Far {
            triggered_at: None,
            triggered_window: None,
            computed_to: Some(computed_to * HOUR),
            newest_event: Some(newest * HOUR - 1),
        };
        let is = |far: Far, part| is_history(&declared, &far, 10 * HOUR, part, 100 * 3_600_000);
        assert!(!is(far(10, 10), Part::All), "it is the newest");
        assert!(is(far(10, 11), Part::All), "a later one is due");
        assert!(!is(far(13, 13), Part::All), "it may still change");
        assert!(is(far(14, 14), Part::All), "it may not any more");
        assert!(!is(far(20, 20), Part::Labels) && is(far(40, 40), Part::Labels));
    }

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
