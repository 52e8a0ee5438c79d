-- Files: logical paths over immutable objects.

-- A file that somebody may see: its logical place, and the object that holds its bytes. The row exists only once the
-- bytes are durable. `area` is the root that the path is relative to, e.g. `exp/<experiment>/run/<run>`. Several rows
-- may name one object.
CREATE TABLE file (
    area {text} NOT NULL,
    path {text} NOT NULL,
    object {text} NOT NULL,
    size {int} NOT NULL,
    sha256 {blob} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    PRIMARY KEY (area, path)
) {keyed};

CREATE INDEX file_object ON file (object);

-- Parts of uploads that are not complete.
CREATE TABLE upload_part (
    operation_id {text} NOT NULL,
    part {int} NOT NULL,
    object {text} NOT NULL,
    size {int} NOT NULL,
    sha256 {blob} NOT NULL,
    PRIMARY KEY (operation_id, part)
) {keyed};

CREATE INDEX upload_part_object ON upload_part (object);
