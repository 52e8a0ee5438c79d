//! Statements about webhooks and what is delivered to them.

use crate::statements;

/// A webhook as [`super::webhook::read`] reads it.
macro_rules! select_webhooks {
    ($rest:literal) => {
        concat!(
            "SELECT id, uuid, name, url, description, topics, secret, status, since, created_at, updated_at FROM webhook",
            $rest
        )
    };
}

statements! {
    /// Whoever makes a webhook is alone with that, so that the first one is known to be the first.
    WEBHOOK_KEEP = "SELECT {keep:$1}";
    WEBHOOK_ANY = "SELECT id FROM webhook LIMIT 1";
    WEBHOOK_INSERT = "INSERT INTO webhook (uuid, name, url, description, topics, secret, status, since, created_at, updated_at,
            created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $9)";
    WEBHOOK_GET = select_webhooks!(" WHERE uuid = $1");
    WEBHOOK_LOCK = select_webhooks!(" WHERE uuid = $1 {lock}");
    WEBHOOK_BY_ID = select_webhooks!(" WHERE id = $1");
    WEBHOOK_PAGE = select_webhooks!(" WHERE id < $1 ORDER BY id DESC LIMIT $2");
    /// Those that are told of things, kept from changes until the transaction ends.
    WEBHOOK_ACTIVE = select_webhooks!(" WHERE status = 'ACTIVE' ORDER BY id {lock}");
    WEBHOOK_UPDATE = "UPDATE webhook SET name = $2, url = $3, description = $4, topics = $5, secret = $6, status = $7,
            since = $8, updated_at = $9 WHERE id = $1";
    WEBHOOK_DELETE = "DELETE FROM webhook WHERE id = $1";

    DELIVERY_INSERT = "INSERT INTO webhook_delivery (uuid, webhook_id, topic, body, state, attempts, next_at, error, created_at,
            ended_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $6, $8)";
    DELIVERY_COUNT = "SELECT COUNT(*) FROM webhook_delivery WHERE webhook_id = $1 AND state = 'waiting'";
    /// When the next delivery of each webhook is due.
    DELIVERY_NEXT = "SELECT w.id, (SELECT MIN(d.next_at) FROM webhook_delivery d
            WHERE d.webhook_id = w.id AND d.state = 'waiting') FROM webhook w ORDER BY w.id";
    /// Takes what is due, until a moment ($3): whoever took it tells before that what became of it. Counts attempts, by which
    /// somebody whose time ran out is known.
    DELIVERY_TAKE = "UPDATE webhook_delivery SET attempts = attempts + 1, next_at = $3, holder = $4, attempted_at = $2
        WHERE id IN (SELECT id FROM webhook_delivery WHERE webhook_id = $1 AND state = 'waiting' AND next_at <= $2
            ORDER BY next_at, id LIMIT $5) AND state = 'waiting' AND next_at <= $2
        RETURNING id, uuid, webhook_id, topic, body, attempts";
    DELIVERY_SETTLE = "UPDATE webhook_delivery SET state = $3, next_at = $4, holder = NULL, response_status = $5, error = $6,
            ended_at = $7 WHERE id = $1 AND attempts = $2 AND state = 'waiting'";
    /// What a process before this one had taken.
    DELIVERY_LET_GO = "UPDATE webhook_delivery SET next_at = $2, holder = NULL WHERE holder = $1";
    /// Of a webhook before an id ($2), newest first; of one state where one is named.
    DELIVERY_PAGE = "SELECT id, uuid, topic, state, attempts, next_at, response_status, error, created_at, attempted_at, ended_at
        FROM webhook_delivery WHERE webhook_id = $1 AND id < $2 AND (state = $3 OR $3 = '') ORDER BY id DESC LIMIT $4";
    /// Some of those that ended before a moment.
    DELIVERY_FORGET = "DELETE FROM webhook_delivery WHERE id IN
        (SELECT id FROM webhook_delivery WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2)";
    /// Some of those that ended, behind the newest so many of a webhook.
    DELIVERY_FORGET_SURPLUS = "DELETE FROM webhook_delivery WHERE id IN
        (SELECT id FROM webhook_delivery WHERE webhook_id = $1 AND ended_at IS NOT NULL ORDER BY id DESC LIMIT $3 OFFSET $2)";
    DELIVERY_DELETE_ALL = "DELETE FROM webhook_delivery WHERE webhook_id = $1";
}
