-- The stream of what happened, and what is needed to trust and to consume it.

-- A slot of the chain and who writes it.
CREATE TABLE writer (
    slot {int} NOT NULL PRIMARY KEY,
    holder {text} NOT NULL,
    lease_until {int} NOT NULL
) {strict};

-- The first slot, free. SQLite's only writer uses it without a lease, since the data directory is locked.
INSERT INTO writer (slot, holder, lease_until) VALUES (1, '', 0);

-- The entries of one commit group. `body` is what the hash covers; `details` lies beside it and can be erased.
CREATE TABLE event_block (
    slot {int} NOT NULL,
    n {int} NOT NULL,
    previous_hash {blob} NOT NULL,
    hash {blob} NOT NULL,
    entries {int} NOT NULL,
    first_at {int} NOT NULL,
    last_at {int} NOT NULL,
    body {blob} NOT NULL,
    details {blob} NOT NULL,
    PRIMARY KEY (slot, n)
) {strict};

-- Heads of all slots at a moment, signed.
CREATE TABLE event_checkpoint (
    n {int} NOT NULL PRIMARY KEY,
    at {int} NOT NULL,
    body {text} NOT NULL,
    signature {blob} NOT NULL,
    public_key {blob} NOT NULL
) {strict};

-- Whose key signs: that of the data directory that this store belongs to, after those it belonged to before.
CREATE TABLE signing_key (
    n {int} NOT NULL PRIMARY KEY,
    public_key {text} NOT NULL,
    since {int} NOT NULL
) {strict};

-- How far a consumer has read each slot.
CREATE TABLE event_cursor (
    consumer {text} NOT NULL,
    slot {int} NOT NULL,
    n {int} NOT NULL,
    PRIMARY KEY (consumer, slot)
) {keyed};

-- Work that spans a second system: the intent is here before the effect.
CREATE TABLE operation (
    id {text} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL,
    state {text} NOT NULL,
    intent {text} NOT NULL,
    principal_id {int} NOT NULL,
    started_at {int} NOT NULL,
    ended_at {int}
) {keyed};

CREATE INDEX operation_open ON operation (started_at) WHERE state = 'open';
CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL;

-- Work that one process at a time may do.
CREATE TABLE lease (
    name {text} NOT NULL PRIMARY KEY,
    holder {text} NOT NULL,
    until {int} NOT NULL
) {keyed};

-- All that a search by time looks at, so that blocks of other times are not read.
CREATE INDEX event_block_time ON event_block (last_at, slot, n, first_at);
