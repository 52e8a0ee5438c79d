//! Statements about what is known of sources.

use crate::statements;

statements! {
    ITEMS_KNOWN = "SELECT item, target, digest FROM import_item
        WHERE source = $1 AND kind = $2 AND item IN {texts:$3}";
    ITEMS_AFTER = "SELECT item, target FROM import_item
        WHERE source = $1 AND kind = $2 AND item > $3 ORDER BY item LIMIT $4";
    ITEM_GET = "SELECT target, digest FROM import_item WHERE source = $1 AND kind = $2 AND item = $3";
    ITEM_PUT = "INSERT INTO import_item (source, kind, item, target, digest) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (source, kind, item) DO UPDATE SET digest = excluded.digest";
    /// Ids of runs, and of logged models, that are here.
    RUNS_HERE = "SELECT uuid FROM run WHERE uuid IN {texts:$1}";
    LOGGED_MODELS_HERE = "SELECT uuid FROM logged_model WHERE uuid IN {texts:$1}";
    /// How many runs and logged models there are.
    WHOLES_COUNT = "SELECT (SELECT COUNT(*) FROM run), (SELECT COUNT(*) FROM logged_model)";
    /// Runs, and logged models, of an experiment after an internal id.
    RUNS_AFTER = "SELECT id, uuid FROM run WHERE experiment_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    LOGGED_MODELS_AFTER = "SELECT id, uuid FROM logged_model WHERE experiment_id = $1 AND id > $2 ORDER BY id LIMIT $3";
}
