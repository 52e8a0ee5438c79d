-- Whether an import stored a file: the next one may store it anew, and leaves what came here in another way.
ALTER TABLE file ADD COLUMN carried {int} NOT NULL DEFAULT 0;
