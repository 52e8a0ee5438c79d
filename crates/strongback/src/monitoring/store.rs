//! Statements of monitors, their windows and alerts.

use crate::statements;

statements! {
    MONITOR_INSERT = "INSERT INTO monitor (asset_id, watched_id, definition_n, looked_at) VALUES ($1, $2, $3, 0)";
    MONITOR_REDEFINE = "UPDATE monitor SET watched_id = $2, definition_n = $3 WHERE asset_id = $1";
    MONITOR_GET = "SELECT m.watched_id, m.definition_n, m.run_id, m.computed_to, m.newest_event, m.looked_version,
            m.looked_labels, m.looked_at, m.reference_start, m.triggered_at, m.triggered_window, d.definition, d.sha256,
            d.baseline_id, d.baseline_version, d.created_at, d.created_by, d.command_id
        FROM monitor m JOIN monitor_definition d ON d.asset_id = m.asset_id AND d.n = m.definition_n WHERE m.asset_id = $1";
    /// Keeps others from planning, judging, triggering and declaring until the transaction ends.
    MONITOR_LOCK = "SELECT triggered_at, triggered_window, computed_to, newest_event, definition_n FROM monitor WHERE asset_id = $1 {lock}";
    /// Whether a job of it waits or runs. The kind is made a value of its own so that the asset's index is taken.
    MONITOR_BUSY = "SELECT id FROM job WHERE asset_id = $1 AND (kind || '') = $2 AND state IN ('queued', 'running') LIMIT 1";
    /// Those that are there, by id, behind one.
    MONITOR_LIVING = "SELECT a.id FROM monitor m JOIN asset a ON a.id = m.asset_id
        WHERE a.deleted_at IS NULL AND a.id > $1 ORDER BY a.id LIMIT $2";
    MONITOR_SET_RUN = "UPDATE monitor SET run_id = $2 WHERE asset_id = $1";
    MONITOR_SET_REFERENCE = "UPDATE monitor SET reference_start = $2 WHERE asset_id = $1 AND reference_start IS NULL";
    MONITOR_LOOKED = "UPDATE monitor SET computed_to = $2, newest_event = $3, looked_version = $4, looked_labels = $5,
            looked_at = $6
        WHERE asset_id = $1 AND definition_n = $7";
    /// Begins where the first row is, as if nobody had looked.
    MONITOR_RESTART = "UPDATE monitor SET computed_to = NULL, looked_version = NULL, looked_labels = NULL WHERE asset_id = $1";
    /// Windows from a moment on are to be computed after all.
    MONITOR_SET_BACK = "UPDATE monitor SET computed_to = $2 WHERE asset_id = $1 AND computed_to > $2";
    /// Other predictions are compared with a window of their own.
    MONITOR_FORGET_REFERENCE = "UPDATE monitor SET reference_start = NULL WHERE asset_id = $1";
    MONITOR_TRIGGERED = "UPDATE monitor SET triggered_at = $2, triggered_window = $3 WHERE asset_id = $1";

    DEFINITION_INSERT = "INSERT INTO monitor_definition (asset_id, n, definition, sha256, baseline_id, baseline_version,
            created_at, created_by, command_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

    WINDOW_PLAN = "INSERT INTO monitor_window (asset_id, starts_at, revision, ends_at, plan, part, definition_n, state, outcome,
            row_count, labelled_count, table_version, labels_version, is_judged)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'planned', $8, $9, 0, $10, $11, 0)";
    /// The windows of plans that were not brought to an end, of one plan after the other.
    WINDOW_OPEN = "SELECT starts_at, revision, ends_at, plan, part, definition_n, state, outcome, row_count, labelled_count,
            labelled_to, table_version, labels_version, computed_at
        FROM monitor_window WHERE asset_id = $1 AND is_judged = 0 ORDER BY plan, starts_at";
    /// The newest revision of each window from one moment on and before another, the newest first.
    WINDOW_RANGE = "SELECT w.starts_at, w.revision, w.ends_at, w.plan, w.part, w.definition_n, w.state, w.outcome, w.row_count,
            w.labelled_count, w.labelled_to, w.table_version, w.labels_version, w.computed_at
        FROM monitor_window w WHERE w.asset_id = $1 AND w.starts_at >= $2 AND w.starts_at < $3 AND w.revision = (
            SELECT MAX(o.revision) FROM monitor_window o WHERE o.asset_id = w.asset_id AND o.starts_at = w.starts_at)
        ORDER BY w.starts_at DESC LIMIT $4";
    /// The same without a first moment.
    WINDOW_NEWEST = "SELECT w.starts_at, w.revision, w.ends_at, w.plan, w.part, w.definition_n, w.state, w.outcome, w.row_count,
            w.labelled_count, w.labelled_to, w.table_version, w.labels_version, w.computed_at
        FROM monitor_window w WHERE w.asset_id = $1 AND w.starts_at < $2 AND w.revision = (
            SELECT MAX(o.revision) FROM monitor_window o WHERE o.asset_id = w.asset_id AND o.starts_at = w.starts_at)
        ORDER BY w.starts_at DESC LIMIT $3";
    WINDOW_ANY = "SELECT starts_at FROM monitor_window WHERE asset_id = $1 LIMIT 1";
    /// The plans that computed a window with enough rows, the first one first.
    WINDOW_PLANS = "SELECT plan FROM monitor_window WHERE asset_id = $1 AND starts_at = $2 AND part = 'all'
            AND state = 'computed' AND outcome = 'ok'
        ORDER BY revision";
    /// Of a plan that cannot be brought to its end.
    WINDOW_DISCARD = "DELETE FROM monitor_window WHERE asset_id = $1 AND plan = $2 AND state = 'planned'";
    WINDOW_DONE = "UPDATE monitor_window SET state = 'computed', outcome = $4, row_count = $5, labelled_count = $6,
            labelled_to = $7, computed_at = $8
        WHERE asset_id = $1 AND starts_at = $2 AND revision = $3";
    /// What was looked at and had not changed.
    WINDOW_SEEN = "UPDATE monitor_window SET table_version = $4, labels_version = $5
        WHERE asset_id = $1 AND starts_at = $2 AND revision = $3";
    WINDOW_JUDGED = "UPDATE monitor_window SET is_judged = 1 WHERE asset_id = $1 AND plan = $2 AND state = 'computed'";

    ALERT_INSERT = "INSERT INTO alert (uuid, asset_id, metric, column_name, state, severity, owner_id, figure, first_window,
            last_window, judged_to, window_count, under, opened_at, updated_at, note, revision)
        VALUES ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $8, $8, 1, 0, $9, $9, '', 1)";
    ALERT_STANDING = "SELECT id, uuid, asset_id, metric, column_name, state, severity, owner_id, figure, first_window, last_window,
            judged_to, window_count, under, opened_at, updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by,
            note, job_id, revision
        FROM alert WHERE asset_id = $1 AND metric = $2 AND column_name = $3 AND state <> 'resolved' {lock}";
    ALERT_STANDS = "SELECT uuid FROM alert WHERE asset_id = $1 AND metric = $2 AND column_name = $3 AND state <> 'resolved'";
    /// Whether one stands whose newest window is this.
    ALERT_OF_WINDOW = "SELECT uuid FROM alert WHERE asset_id = $1 AND last_window = $2 AND state <> 'resolved' LIMIT 1";
    /// The newest window that was looked at for alerts that are over.
    ALERT_JUDGED_TO = "SELECT MAX(judged_to) FROM alert WHERE asset_id = $1 AND metric = $2 AND column_name = $3";
    ALERT_GET = "SELECT id, uuid, asset_id, metric, column_name, state, severity, owner_id, figure, first_window, last_window,
            judged_to, window_count, under, opened_at, updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by,
            note, job_id, revision
        FROM alert WHERE uuid = $1";
    ALERT_LOCK = "SELECT id, uuid, asset_id, metric, column_name, state, severity, owner_id, figure, first_window, last_window,
            judged_to, window_count, under, opened_at, updated_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by,
            note, job_id, revision
        FROM alert WHERE uuid = $1 {lock}";
    /// Newest first, before a row, of a state and a monitor where any is given.
    ALERT_PAGE = "SELECT a.id, a.uuid, a.asset_id, a.metric, a.column_name, a.state, a.severity, a.owner_id, a.figure,
            a.first_window, a.last_window, a.judged_to, a.window_count, a.under, a.opened_at, a.updated_at, a.acknowledged_at,
            a.acknowledged_by, a.resolved_at, a.resolved_by, a.note, a.job_id, a.revision
        FROM alert a JOIN asset m ON m.id = a.asset_id
        WHERE a.id < $1 AND ($2 = '' OR a.state = $2 OR ($2 = 'standing' AND a.state <> 'resolved'))
            AND (a.asset_id = $3 OR $3 = 0) AND m.deleted_at IS NULL
        ORDER BY a.id DESC LIMIT $4";
    ALERT_UPDATE = "UPDATE alert SET state = $2, severity = $3, figure = $4, last_window = $5, judged_to = $6, window_count = $7,
            under = $8, updated_at = $9, acknowledged_at = $10, acknowledged_by = $11, resolved_at = $12, resolved_by = $13,
            note = $14, revision = revision + 1
        WHERE id = $1 RETURNING revision";
    ALERT_SET_JOB = "UPDATE alert SET job_id = $3 WHERE asset_id = $1 AND last_window = $2 AND state <> 'resolved'";
}
