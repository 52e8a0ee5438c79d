//! Statements of files.

use crate::statements;

statements! {
    FILE_GET = "SELECT path, object, size, sha256, created_at, carried FROM file WHERE area = $1 AND path = $2";
    FILE_LOCK = "SELECT path, object, size, sha256, created_at, carried FROM file WHERE area = $1 AND path = $2 {lock}";
    FILE_PUT = "INSERT INTO file (area, path, object, size, sha256, created_at, created_by, carried)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (area, path) DO UPDATE SET object = excluded.object, size = excluded.size, sha256 = excluded.sha256,
            created_at = excluded.created_at, created_by = excluded.created_by, carried = excluded.carried";
    /// Whether there is any.
    FILE_ANY = "SELECT 1 FROM file LIMIT 1";
    /// Which of some paths are files.
    FILES_AMONG = "SELECT path FROM file WHERE area = $1 AND path IN {texts:$2}";
    /// Files from a path on and before another.
    FILES_BELOW = "SELECT path, object, size, sha256, created_at, carried FROM file
        WHERE area = $1 AND path >= $2 AND path < $3 ORDER BY path LIMIT $4";
    /// A file, or the files below a directory.
    TREE_LOCK = "SELECT path, object, size, sha256, created_at, carried FROM file
        WHERE area = $1 AND (path = $2 OR (path >= $3 AND path < $4)) ORDER BY path {lock}";
    /// The files below a directory.
    BELOW_LOCK = "SELECT path, object, size, sha256, created_at, carried FROM file
        WHERE area = $1 AND path >= $2 AND path < $3 ORDER BY path LIMIT $4 {lock}";
    TREE_DELETE = "DELETE FROM file WHERE area = $1 AND (path = $2 OR (path >= $3 AND path < $4))";
    /// Files below a directory, once more at the root of another area. $5: the character at which their paths below
    /// the directory begin.
    TREE_COPY = "INSERT INTO file (area, path, object, size, sha256, created_at, created_by)
        SELECT $4, substr(path, CAST($5 AS INTEGER)), object, size, sha256, CAST($6 AS BIGINT), CAST($7 AS BIGINT) FROM file
        WHERE area = $1 AND path >= $2 AND path < $3
        ON CONFLICT (area, path) DO NOTHING";
    /// Keeps what a key stands for from others until the transaction ends; the first leaves it to others who do the same.
    PATH_SHARE = "SELECT {share:$1}";
    PATH_KEEP = "SELECT {keep:$1}";
    /// Files by the objects that they name.
    FILES_BY_OBJECT = "SELECT area, path, object, size, sha256 FROM file WHERE object > $1
        ORDER BY object, area, path LIMIT $2";
    OBJECTS_NAMED = "SELECT object FROM file WHERE object IN {texts:$1}
        UNION SELECT object FROM upload_part WHERE object IN {texts:$1}";

    /// An upload without locking it, for readers.
    UPLOAD_GET = "SELECT kind, state, intent FROM operation WHERE id = $1";
    PART_PUT = "INSERT INTO upload_part (operation_id, part, object, size, sha256) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (operation_id, part) DO UPDATE SET object = excluded.object, size = excluded.size,
            sha256 = excluded.sha256";
    PART_GET = "SELECT part, object, size, sha256 FROM upload_part WHERE operation_id = $1 AND part = $2";
    PARTS = "SELECT part, object, size, sha256 FROM upload_part WHERE operation_id = $1 ORDER BY part";
    PARTS_DELETE = "DELETE FROM upload_part WHERE operation_id = $1";
}
