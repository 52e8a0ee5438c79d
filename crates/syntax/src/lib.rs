//! Pure parsers of what outsiders send: search grammar, names, artifact paths. No IO, no async.
