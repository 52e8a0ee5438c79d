//! Statements of jobs, their logs and commands.

use crate::statements;

statements! {
    JOB_INSERT = "INSERT INTO job (uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id,
            run_as_id, asset_id, action, processor_ms_max, wall_ms_max, bytes_read_max, not_before, attempts, attempts_max,
            fencing, progress_done, progress_of, progress_message, processor_ms_before, wall_ms_before, processor_ms,
            wall_ms, bytes_read, bytes_written, queued_at, revision)
        VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, 0, 0, 0, '', 0, 0, 0, 0, 0, 0,
            $16, 1)";
    JOB_BY_KEY = "SELECT id, uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id, run_as_id,
            asset_id, action, processor_ms_max, wall_ms_max, bytes_read_max, not_before, attempts, attempts_max, fencing,
            holder, lease_until, token_id, cancelled_by_id, progress_done, progress_of, progress_message, queued_at,
            started_at, result, error_code, error_message, processor_ms, wall_ms, bytes_read, bytes_written, ended_at,
            revision, processor_ms_before, wall_ms_before
        FROM job WHERE kind = $1 AND idempotency_key = $2";
    JOB_GET = "SELECT id, uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id, run_as_id,
            asset_id, action, processor_ms_max, wall_ms_max, bytes_read_max, not_before, attempts, attempts_max, fencing,
            holder, lease_until, token_id, cancelled_by_id, progress_done, progress_of, progress_message, queued_at,
            started_at, result, error_code, error_message, processor_ms, wall_ms, bytes_read, bytes_written, ended_at,
            revision, processor_ms_before, wall_ms_before
        FROM job WHERE uuid = $1";
    JOB_LOCK = "SELECT id, uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id, run_as_id,
            asset_id, action, processor_ms_max, wall_ms_max, bytes_read_max, not_before, attempts, attempts_max, fencing,
            holder, lease_until, token_id, cancelled_by_id, progress_done, progress_of, progress_message, queued_at,
            started_at, result, error_code, error_message, processor_ms, wall_ms, bytes_read, bytes_written, ended_at,
            revision, processor_ms_before, wall_ms_before
        FROM job WHERE uuid = $1 {lock}";
    /// Newest first, before a row ($1), of a state, a kind and an asset, where any is given.
    JOB_PAGE = "SELECT id, uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id, run_as_id,
            asset_id, action, processor_ms_max, wall_ms_max, bytes_read_max, not_before, attempts, attempts_max, fencing,
            holder, lease_until, token_id, cancelled_by_id, progress_done, progress_of, progress_message, queued_at,
            started_at, result, error_code, error_message, processor_ms, wall_ms, bytes_read, bytes_written, ended_at,
            revision, processor_ms_before, wall_ms_before
        FROM job WHERE id < $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR kind = $3) AND (asset_id = $4 OR $4 = 0)
        ORDER BY id DESC LIMIT $5";
    /// Whose time has come, of some kinds and labels, the longest due first, after a place ($4, $5). The kind is made a value
    /// of its own so that nobody looks for it in the index of kinds and keys, where all that have ended are too.
    JOB_DUE = "SELECT id, uuid, not_before, asset_id FROM job WHERE state = 'queued' AND not_before <= $1
            AND (kind || '') IN {texts:$2} AND label IN {texts:$3} AND (not_before, id) > ($4, $5)
        ORDER BY not_before, id LIMIT $6";
    /// Those of a lease that ran out.
    JOB_EXPIRED = "SELECT uuid FROM job WHERE state = 'running' AND lease_until < $1 ORDER BY lease_until LIMIT $2";
    /// When something is to be done next: a job of these kinds falls due, or a lease runs out.
    JOB_NEXT = "SELECT MIN(at) FROM (
            SELECT MIN(not_before) AS at FROM job WHERE state = 'queued' AND (kind || '') IN {texts:$1}
            UNION ALL SELECT MIN(lease_until) FROM job WHERE state = 'running') AS moments";
    JOB_LEASE = "UPDATE job SET state = 'running', attempts = attempts + 1, fencing = fencing + 1, holder = $2,
            lease_until = $3, token_id = $4, started_at = $5, progress_done = 0, progress_of = 0, progress_message = '',
            processor_ms_before = processor_ms, wall_ms_before = wall_ms, revision = revision + 1
        WHERE id = $1 RETURNING fencing, attempts, revision";
    /// Keeps a lease; what was used is of all attempts together.
    JOB_RENEW = "UPDATE job SET lease_until = $2, progress_done = $3, progress_of = $4, progress_message = $5,
            processor_ms = $6, wall_ms = $7, bytes_read = $8, bytes_written = $9
        WHERE id = $1";
    JOB_CANCEL_ASKED = "UPDATE job SET cancelled_by_id = $2, revision = revision + 1 WHERE id = $1 RETURNING revision";
    /// Puts it back: who had it has it no more.
    JOB_REQUEUE = "UPDATE job SET state = 'queued', holder = NULL, lease_until = NULL, token_id = NULL, not_before = $2,
            attempts = $3, error_code = $4, error_message = $5, processor_ms = $6, wall_ms = $7, bytes_read = $8,
            bytes_written = $9, revision = revision + 1
        WHERE id = $1 RETURNING revision";
    JOB_END = "UPDATE job SET state = $2, holder = NULL, lease_until = NULL, token_id = NULL, result = $3, error_code = $4,
            error_message = $5, processor_ms = $6, wall_ms = $7, bytes_read = $8, bytes_written = $9, ended_at = $10,
            revision = revision + 1
        WHERE id = $1 RETURNING revision";
    /// Leases of somebody who has begun anew, and so has none of them any more.
    JOB_LET_GO = "UPDATE job SET lease_until = 0 WHERE holder = $1 AND state = 'running'";
    /// The oldest that waits and could be begun by now ($5).
    JOB_WAITING = "SELECT uuid FROM job WHERE state = 'queued' AND kind = $1 AND asset_id = $2 AND run_as_id = $3
        AND payload = $4 AND not_before <= $5 ORDER BY id LIMIT 1";
    /// How many wait, counted up to a limit.
    JOB_QUEUED = "SELECT COUNT(*) FROM (SELECT id FROM job WHERE state = 'queued' LIMIT $1) AS waiting";
    JOB_QUEUED_OF = "SELECT COUNT(*) FROM (SELECT id FROM job WHERE state = 'queued' AND run_as_id = $1 LIMIT $2) AS waiting";
    /// Some of those that ended before a moment, and their logs before them.
    JOB_FORGET_LOGS = "DELETE FROM job_log WHERE job_id IN
        (SELECT id FROM job WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2)";
    JOB_FORGET = "DELETE FROM job WHERE id IN
        (SELECT id FROM job WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2)";

    LOG_APPEND = "INSERT INTO job_log (job_id, attempt, begins_at, text) VALUES ($1, $2, $3, $4)
        ON CONFLICT (job_id, attempt, begins_at) DO NOTHING";
    LOG_FORGET = "DELETE FROM job_log WHERE job_id = $1 AND attempt = $2";
    LOG_LAST = "SELECT begins_at, text FROM job_log WHERE job_id = $1 AND attempt = $2 ORDER BY begins_at DESC LIMIT 1";
    /// Pieces of an attempt from the one on that holds a byte.
    LOG_FROM = "SELECT begins_at, text FROM job_log WHERE job_id = $1 AND attempt = $2 AND begins_at >=
            COALESCE((SELECT MAX(begins_at) FROM job_log WHERE job_id = $1 AND attempt = $2 AND begins_at <= $3), 0)
        ORDER BY begins_at LIMIT $4";

    COMMAND_INSERT = "INSERT INTO command_version (asset_id, n, definition, sha256, created_at, created_by)
        VALUES ($1, $2, $3, $4, $5, $6)";
    COMMAND_NEWEST = "SELECT n, definition, sha256, created_at, created_by FROM command_version
        WHERE asset_id = $1 ORDER BY n DESC LIMIT 1";
    COMMAND_GET = "SELECT n, definition, sha256, created_at, created_by FROM command_version WHERE asset_id = $1 AND n = $2";
}
