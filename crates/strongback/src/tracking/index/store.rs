//! Statements of the search index.

use crate::statements;

statements! {
    FRESH_EXPERIMENTS = "SELECT DISTINCT experiment_id FROM run_fresh ORDER BY experiment_id";
    FRESH_BATCH = "SELECT f.run_id, f.revision, CAST(COALESCE(OCTET_LENGTH(r.document), 0) AS BIGINT)
        FROM run_fresh f LEFT JOIN run r ON r.id = f.run_id WHERE f.experiment_id = $1
        ORDER BY f.run_id LIMIT $2";
    RUN_STATES = "SELECT id, status FROM run WHERE id IN {ints:$1}";
    /// A mark is its run and its revision as one text, because pairs cannot be bound as a list on both databases.
    FRESH_DELETE = "DELETE FROM run_fresh WHERE experiment_id = $1 AND run_id IN {ints:$2}
        AND CAST(run_id AS TEXT) || ':' || CAST(revision AS TEXT) IN {texts:$3}";
    /// Renews a lease that is still ours, or lets it go.
    LEASE_KEEP = "UPDATE lease SET until = $3 WHERE name = $1 AND holder = $2";
    SEGMENTS = "SELECT id, experiment_id, runs, first_run, last_run, revision FROM run_segment WHERE experiment_id IN {ints:$1}
        ORDER BY experiment_id, first_run, id";
    SEGMENT_SIZES = "SELECT id, bytes FROM run_segment WHERE experiment_id = $1";
    SEGMENT_INSERT = "INSERT INTO run_segment (experiment_id, first_run, last_run, runs, bytes, format)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
    SEGMENT_UPDATE = "UPDATE run_segment SET first_run = $2, last_run = $3, runs = $4, bytes = $5, revision = revision + 1
        WHERE id = $1";
    /// A segment of an older format, and its experiment.
    SEGMENT_OLD = "SELECT id, experiment_id FROM run_segment WHERE format < $1 ORDER BY id LIMIT 1";
    SEGMENTS_OLD = "SELECT id FROM run_segment WHERE experiment_id IN {ints:$1} AND format < $2 ORDER BY id";
    SEGMENT_RENEW = "UPDATE run_segment SET format = $2 WHERE id = $1";
    /// Marks runs that are not marked already, as they are now.
    FRESH_ALL = "INSERT INTO run_fresh (experiment_id, run_id, revision)
        SELECT experiment_id, id, revision FROM run WHERE experiment_id = $1 AND id IN {ints:$2}
        ON CONFLICT (experiment_id, run_id) DO NOTHING";
    COLUMN_GET = "SELECT body FROM run_column WHERE segment_id = $1 AND kind = $2 AND key = $3";
    COLUMN_IDS = "SELECT kind, key FROM run_column WHERE segment_id = $1 ORDER BY kind, key";
    COLUMN_PUT = "INSERT INTO run_column (segment_id, kind, key, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (segment_id, kind, key) DO UPDATE SET body = excluded.body";
    COLUMN_DELETE = "DELETE FROM run_column WHERE segment_id = $1 AND kind = $2 AND key = $3";
}
