//! Statements of the payload log.

use journal::Segment;

use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
    statements,
};

statements! {
    ENDPOINT_PUT = "INSERT INTO payload_endpoint (endpoint_id, schema_id, leaf, owner_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (endpoint_id) DO UPDATE SET schema_id = excluded.schema_id, leaf = excluded.leaf,
            owner_id = excluded.owner_id";
    ENDPOINT_GET = "SELECT schema_id, leaf, owner_id, table_id FROM payload_endpoint WHERE endpoint_id = $1";
    ENDPOINT_SET_TABLE = "UPDATE payload_endpoint SET table_id = $2 WHERE endpoint_id = $1";

    SCHEMA_PUT = "INSERT INTO payload_schema (columns) VALUES ($1) ON CONFLICT (columns) DO NOTHING";
    SCHEMA_FIND = "SELECT id FROM payload_schema WHERE columns = $1";
    SCHEMA_GET = "SELECT columns FROM payload_schema WHERE id = $1";

    BATCH_PUT = "INSERT INTO payload_batch (endpoint_id, node, first, last, version, records, row_count, from_ms, to_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    BATCH_EXISTS = "SELECT last FROM payload_batch WHERE endpoint_id = $1 AND node = $2 AND first = $3";
    /// Endpoints with a batch that spans a moment and begins after another.
    BATCH_AT = "SELECT DISTINCT endpoint_id FROM payload_batch WHERE from_ms <= $1 AND from_ms >= $2 AND to_ms >= $1";

    TOTAL_ADD = "INSERT INTO payload_total (endpoint_id, node, drained, row_count, given_up, unanswered)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (endpoint_id, node) DO UPDATE SET drained = payload_total.drained + excluded.drained,
            row_count = payload_total.row_count + excluded.row_count,
            given_up = payload_total.given_up + excluded.given_up,
            unanswered = payload_total.unanswered + excluded.unanswered";
    /// Requests served by endpoint, of those that a node brought away.
    TOTAL_OF_NODE = "SELECT endpoint_id, drained + given_up - unanswered FROM payload_total WHERE node = $1";
    TOTAL_LIST = "SELECT node, drained, row_count, given_up, unanswered FROM payload_total WHERE endpoint_id = $1";
}

/// Whether the records of an endpoint in a segment were brought away. Other records under the same numbers were not, and are
/// kept: it is an error.
pub fn is_noted(sql: &mut Sql<'_>, endpoint: i64, node: &str, segment: Segment) -> Result<bool> {
    let (first, last) = (segment.base as i64, segment.next as i64 - 1);
    match sql.first(&BATCH_EXISTS, bind![endpoint, node, first], |row| row.get::<i64>(0))? {
        None => Ok(false),
        Some(noted) if noted == last => Ok(true),
        Some(noted) => Err(Error::internal(format!(
            "the payload log of node {node} has the records {first} to {last} of endpoint {endpoint}, and {first} to {noted} were brought away before: was its directory restored from a copy?"
        ))),
    }
}
