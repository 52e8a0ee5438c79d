-- Who is told of what happens to models, and what was delivered.

-- A webhook. `topics` is a JSON list such as ["model_version.created"], `secret` what signs, sealed with a key that is not in this
-- store, `status` is ACTIVE or DISABLED. It is told of what happens from `since` on. Times are milliseconds since the epoch.
CREATE TABLE webhook (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    name {text} NOT NULL,
    url {text} NOT NULL,
    description {text} NOT NULL,
    topics {text} NOT NULL,
    secret {blob},
    status {text} NOT NULL,
    since {int} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    created_by {int} NOT NULL
) {strict};

-- What is told to one webhook. `state` is waiting, delivered or failed. `body` is what is sent, the same at every attempt. `next_at`
-- is when a waiting one is due; while `holder` sends it, when it counts as lost with him.
CREATE TABLE webhook_delivery (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    webhook_id {int} NOT NULL REFERENCES webhook (id),
    topic {text} NOT NULL,
    body {text} NOT NULL,
    state {text} NOT NULL,
    attempts {int} NOT NULL,
    next_at {int} NOT NULL,
    holder {text},
    response_status {int},
    error {text},
    created_at {int} NOT NULL,
    attempted_at {int},
    ended_at {int}
) {strict};

CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_of ON webhook_delivery (webhook_id, id);
CREATE INDEX webhook_delivery_held ON webhook_delivery (holder) WHERE holder IS NOT NULL;
CREATE INDEX webhook_delivery_ended ON webhook_delivery (ended_at, id) WHERE ended_at IS NOT NULL;
