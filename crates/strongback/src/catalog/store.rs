//! Statements of the catalog.

use crate::statements;

statements! {
    ASSET_INSERT = "INSERT INTO asset (uuid, parent_id, kind, leaf, leaf_key, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10, $11, 1)
        RETURNING id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision";
    ASSET_BACKDATE = "UPDATE asset SET created_at = $2, updated_at = $3 WHERE id = $1";
    ASSET_BY_LEAF = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE parent_id = $1 AND kind = $2 AND leaf_key = $3 AND deleted_at IS NULL";
    ASSET_ROOT = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE kind = $1 AND parent_id IS NULL AND deleted_at IS NULL";
    ASSET_BY_WIRE = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE kind = $1 AND wire_name = $2 AND deleted_at IS NULL";
    ASSET_BY_ID = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset WHERE id = $1 AND deleted_at IS NULL";
    /// Also a deleted one.
    ASSET_EVER = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset WHERE uuid = $1";
    ASSET_BY_UUID = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset WHERE uuid = $1 AND deleted_at IS NULL";
    /// Also of a deleted one.
    ASSET_UUID = "SELECT uuid FROM asset WHERE id = $1";
    /// Also of a deleted one.
    ASSET_ID = "SELECT id FROM asset WHERE uuid = $1";
    ASSET_LOCK = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE id = $1 AND deleted_at IS NULL {lock}";
    ASSET_LIST = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE parent_id = $1 AND kind = $2 AND deleted_at IS NULL ORDER BY leaf_key";
    ASSET_PAGE = "SELECT id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision FROM asset
        WHERE parent_id = $1 AND kind = $2 AND leaf_key > $3 AND deleted_at IS NULL ORDER BY leaf_key LIMIT $4";
    ASSET_CHILD_KINDS = "SELECT kind, COUNT(*) FROM asset WHERE parent_id = $1 AND deleted_at IS NULL
        GROUP BY kind ORDER BY kind";
    ASSET_CHILDREN_LOCK = "SELECT id FROM asset WHERE parent_id = $1 AND deleted_at IS NULL ORDER BY id {lock}";
    /// Everything down to two levels below one.
    ASSET_DELETE_BELOW = "UPDATE asset SET deleted_at = $2, deleted_with = $1, updated_at = $2, updated_by = $3,
            revision = revision + 1
        WHERE deleted_at IS NULL
            AND (parent_id = $1 OR parent_id IN (SELECT id FROM asset WHERE parent_id = $1 AND deleted_at IS NULL))
        RETURNING id, kind, revision";
    /// What went with another and may have been called so: by its leaf or by its wire name.
    ASSET_DELETED_WITH = "SELECT id, deleted_with FROM asset
        WHERE deleted_with IS NOT NULL AND (leaf = $1 OR wire_name = $2)";
    ASSET_SET_OWNER = "UPDATE asset SET owner_id = $2, updated_at = $3, updated_by = $4, revision = revision + 1
        WHERE id = $1 AND deleted_at IS NULL RETURNING revision";
    ASSET_CHILDREN = "SELECT COUNT(*) FROM asset WHERE parent_id = $1 AND deleted_at IS NULL";
    ASSET_UPDATE = "UPDATE asset SET parent_id = $2, leaf = $3, leaf_key = $4, wire_name = $5, owner_id = $6, comment = $7,
            properties = $8, updated_at = $9, updated_by = $10, revision = revision + 1
        WHERE id = $1 AND deleted_at IS NULL
        RETURNING id, uuid, parent_id, kind, leaf, wire_name, owner_id, comment, properties,
            created_at, created_by, updated_at, updated_by, revision";
    ASSET_TOUCH = "UPDATE asset SET updated_at = $2, updated_by = $3, revision = revision + 1
        WHERE id = $1 AND deleted_at IS NULL RETURNING revision";
    ASSET_DELETE = "UPDATE asset SET deleted_at = $2, updated_at = $2, updated_by = $3, revision = revision + 1
        WHERE id = $1 AND deleted_at IS NULL RETURNING revision";
    ASSET_NAME = "SELECT a.kind, a.leaf, a.wire_name, p.leaf, g.leaf FROM asset a
        LEFT JOIN asset p ON p.id = a.parent_id LEFT JOIN asset g ON g.id = p.parent_id WHERE a.id = $1";
    /// Owners from the asset upward, then kind and leaf, and the leaf keys of parent and grandparent.
    ASSET_CHAIN = "SELECT a.owner_id, p.owner_id, g.owner_id, m.owner_id, a.kind, a.leaf_key, p.leaf_key, g.leaf_key
        FROM asset a LEFT JOIN asset p ON p.id = a.parent_id LEFT JOIN asset g ON g.id = p.parent_id
        LEFT JOIN asset m ON m.id = g.parent_id WHERE a.id = $1";

    PRINCIPAL_ID = "SELECT id FROM principal WHERE name = $1";
    PRINCIPAL_NAME = "SELECT name FROM principal WHERE id = $1";
    /// Ids of people begin at 1000; below are the built-in ones. None is given twice, whoever was erased meanwhile.
    PRINCIPAL_NEXT = "UPDATE principal_next SET id = id + 1 RETURNING id - 1";
    PRINCIPAL_INSERT = "INSERT INTO principal (id, kind, name, created_at) VALUES ($1, $2, $3, $4)";
    PRINCIPAL_GET = "SELECT id, kind, name, created_at FROM principal WHERE name = $1";
    PRINCIPAL_PAGE = "SELECT id, kind, name, created_at FROM principal WHERE name > $1 ORDER BY name LIMIT $2";
    MEMBERSHIP_INSERT = "INSERT INTO membership (group_id, member_id) VALUES ($1, $2)";
    MEMBERSHIP_DELETE = "DELETE FROM membership WHERE group_id = $1 AND member_id = $2";
    MEMBERSHIP_GET = "SELECT group_id FROM membership WHERE group_id = $1 AND member_id = $2";
    MEMBERSHIP_MEMBERS = "SELECT p.name FROM membership m JOIN principal p ON p.id = m.member_id
        WHERE m.group_id = $1 ORDER BY p.name";
    /// All groups of a principal, directly and through other groups. Circles end, since no row is found twice.
    MEMBERSHIP_CLOSURE = "WITH RECURSIVE closure (id) AS (
            SELECT group_id FROM membership WHERE member_id = $1
            UNION SELECT m.group_id FROM membership m JOIN closure c ON m.member_id = c.id)
        SELECT id FROM closure";
    CREDENTIAL_PRINCIPAL = "SELECT p.id, p.name FROM credential c JOIN principal p ON p.id = c.principal_id
        WHERE c.token_hash = $1 AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > $2)";
    /// Whoever has a valid token.
    CREDENTIAL_ANY = "SELECT p.id, p.name FROM credential c JOIN principal p ON p.id = c.principal_id
        WHERE c.principal_id = $1 AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > $2) LIMIT 1";
    CREDENTIAL_INSERT = "INSERT INTO credential (token_hash, id, principal_id, comment, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    CREDENTIAL_COUNT = "SELECT COUNT(*) FROM credential
        WHERE principal_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
    CREDENTIAL_LIST = "SELECT c.id, p.name, c.comment, c.created_at, c.expires_at FROM credential c
        JOIN principal p ON p.id = c.principal_id
        WHERE c.principal_id = $1 AND c.revoked_at IS NULL ORDER BY c.created_at, c.id";
    CREDENTIAL_LIST_ALL = "SELECT c.id, p.name, c.comment, c.created_at, c.expires_at FROM credential c
        JOIN principal p ON p.id = c.principal_id
        WHERE c.revoked_at IS NULL ORDER BY p.name, c.created_at, c.id";
    CREDENTIAL_OWNER = "SELECT principal_id FROM credential WHERE id = $1 AND revoked_at IS NULL {lock}";
    CREDENTIAL_REMOVE = "DELETE FROM credential WHERE id = $1";
    CREDENTIAL_REVOKE = "UPDATE credential SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
}
