//! Statements of metric histories.

use crate::statements;

statements! {
    CHUNKS_OF_KEY = "SELECT body FROM metric_chunk WHERE run_id = $1 AND key = $2 ORDER BY seq";
    CHUNKS_OF_RUN = "SELECT key, body FROM metric_chunk WHERE run_id = $1 ORDER BY key, seq";
    PIECES_OF_RUN = "SELECT seq, body FROM metric_piece WHERE run_id = $1 ORDER BY seq";
    /// Pieces and points of runs, and the points of the largest piece of each.
    PIECE_COUNTS = "SELECT run_id, COUNT(*), CAST(SUM(points) AS BIGINT), MAX(points) FROM metric_piece
        WHERE run_id IN {ints:$1} GROUP BY run_id";
    PIECE_SIZES = "SELECT seq, points FROM metric_piece WHERE run_id = $1 ORDER BY seq";
    PIECES_FROM = "SELECT seq, body FROM metric_piece WHERE run_id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq";
    PIECES_PRESENT = "SELECT COUNT(*) FROM metric_piece WHERE run_id = $1 AND seq IN {ints:$2}";
    PIECES_DELETE = "DELETE FROM metric_piece WHERE run_id = $1 AND seq IN {ints:$2}";
    CHUNK_SIZES = "SELECT key, seq, points FROM metric_chunk WHERE run_id = $1 AND key IN {texts:$2} ORDER BY key, seq";
    CHUNKS_FROM = "SELECT body FROM metric_chunk WHERE run_id = $1 AND key = $2 AND seq >= $3 ORDER BY seq";
    CHUNK_DELETE = "DELETE FROM metric_chunk WHERE run_id = $1 AND key = $2 AND seq = $3";
    CHUNK_INSERT = "INSERT INTO metric_chunk (run_id, key, seq, points, body) VALUES ($1, $2, $3, $4, $5)";
    DOCUMENT_GET = "SELECT document FROM run WHERE id = $1";
    DOCUMENT_LOCK = "SELECT document FROM run WHERE id = $1 {lock}";
    DOCUMENT_PUT = "UPDATE run SET document = $2 WHERE id = $1";
    RUN_HOLD = "SELECT id FROM run WHERE id = $1 {lock}";
}
