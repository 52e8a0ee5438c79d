-- What came from other stores, by the label of the store: the id that an item had there, the id that it has here, and the
-- digest of what came of it last.
CREATE TABLE import_item (
    source {text} NOT NULL,
    kind {text} NOT NULL,
    item {text} NOT NULL,
    target {text} NOT NULL,
    digest {text} NOT NULL,
    PRIMARY KEY (source, kind, item)
) {keyed};
