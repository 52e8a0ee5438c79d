//! Places in which clients keep files themselves, as MLflow's clients write them.

use std::{fmt, str::FromStr};

use crate::Address;

/// Schemes that MLflow's clients and this server both know.
const SCHEMES: &[&str] = &["s3", "gs", "abfss", "wasbs"];

/// Such a place. It is shown to clients as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    text: String,
    address: Address,
}

impl Root {
    /// The store, and the place in it.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The key, below this place, of what a client's URI names. `wasbs:` leads where `abfss:` does with the same account. `None` for what
    /// lies elsewhere, and for what is no plain path.
    pub fn key_of(&self, uri: &str) -> Option<String> {
        let (ours, prefix) = taken_apart(&self.text)?;
        let (theirs, path) = taken_apart(uri)?;
        let mut parts = path.trim_end_matches('/').split('/').filter(|_| !path.is_empty());
        let is_below = ours == theirs
            && prefix.split('/').filter(|part| !part.is_empty()).all(|part| parts.next() == Some(part));
        let rest: Vec<&str> = parts.collect();
        let is_plain =
            |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains(|c: char| c.is_ascii_control());
        (is_below && rest.iter().all(is_plain)).then(|| rest.join("/"))
    }
}

impl FromStr for Root {
    type Err = String;

    /// Nothing is looked at. The text is not part of what is said of it: it may have a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches('/');
        let shape = "write s3://bucket/prefix, gs://bucket/prefix, abfss://container@account.dfs.core.windows.net/prefix or \
                     wasbs://container@account.blob.core.windows.net/prefix";
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !SCHEMES.contains(&scheme) {
            return Err(format!("MLflow's clients and this server have no such place in common; {shape}"));
        }
        // The same container, whose other name is the one that its client here knows.
        let known = match text.strip_prefix("wasbs://") {
            Some(rest) => format!("abfss://{}", rest.replacen(".blob.", ".dfs.", 1)),
            None => text.to_owned(),
        };
        let address: Address = known.parse()?;
        let named = taken_apart(text);
        if matches!(named, Some((Store::Azure(_, None), _))) {
            return Err(format!("it names no account; {shape}"));
        }
        // A client takes the letters as they are, and another client would escape them.
        if address.to_string() != known || text.contains('%') {
            return Err("it has letters that have to be escaped; name a place of plain letters, figures, `-`, `_`, `.` and `/`"
                .to_owned());
        }
        Ok(Self { text: text.to_owned(), address })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A bucket, however its address is written.
#[derive(Debug, PartialEq, Eq)]
enum Store<'a> {
    S3(&'a str),
    Google(&'a str),
    /// A container, and its account.
    Azure(&'a str, Option<&'a str>),
}

/// Which store a URI names, and the path there.
fn taken_apart(uri: &str) -> Option<(Store<'_>, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let store = match scheme {
        "s3" | "s3a" => Store::S3(authority),
        "gs" => Store::Google(authority),
        "abfs" | "abfss" | "wasb" | "wasbs" => match authority.split_once('@') {
            Some((container, host)) => Store::Azure(container, host.split('.').next()),
            None => Store::Azure(authority, None),
        },
        _ => return None,
    };
    Some((store, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: &str = "abfss://box@me.dfs.core.windows.net/a";

    #[test]
    fn what_lies_below_a_place_has_a_key_there() {
        for (place, uri, key) in [
            ("s3://bucket/a-b", "s3://bucket/a-b/5/run/artifacts", Some("5/run/artifacts")),
            ("s3://bucket", "s3a://bucket/5/run/artifacts/", Some("5/run/artifacts")),
            ("s3://bucket/a", "s3://bucket/a", Some("")),
            ("s3://bucket", "s3://bucket", Some("")),
            ("s3://bucket/a", "s3://bucket/ab/run", None),
            ("s3://bucket/a", "s3://other/a/run", None),
            ("s3://bucket/a", "gs://bucket/a/run", None),
            ("s3://bucket/a", "s3://bucket/a/../b", None),
            ("s3://bucket/a", "s3://bucket/a//b", None),
            ("s3://bucket/a", "s3://bucket/a/./b", None),
            ("s3://bucket/a", "s3://bucket/a/%2e%2e/b", Some("%2e%2e/b")),
            ("s3://bucket/a", "s3://bucket/a/b\0", None),
            ("s3://bucket/a", "s3://me@bucket/a/b", None),
            ("s3://bucket/a", "/a/b", None),
            (BOX, "wasbs://box@me.blob.core.windows.net/a/b", Some("b")),
            (BOX, "wasbs://box@you.blob.core.windows.net/a/b", None),
            ("wasbs://box@me.blob.core.windows.net/a", "abfss://box@me.dfs.core.windows.net/a/b", Some("b")),
        ] {
            let found = place.parse::<Root>().unwrap().key_of(uri);
            assert_eq!(found.as_deref(), key, "{place} {uri}");
        }
    }

    #[test]
    fn places_are_shown_as_they_were_written() {
        let root: Root = " wasbs://box@me.blob.core.windows.net/a/ ".parse().unwrap();
        assert_eq!(root.to_string(), "wasbs://box@me.blob.core.windows.net/a");
        assert_eq!(root.address().to_string(), BOX);
    }

    #[test]
    fn what_clients_could_not_use_is_refused() {
        for (text, why) in [
            ("/srv/mlruns", "in common"),
            ("az://box/a", "in common"),
            ("s3a://bucket/a", "in common"),
            ("hdfs://host/a", "in common"),
            ("abfss://box/a", "names no account"),
            ("s3://bucket/a b", "escaped"),
            ("s3://bucket/ü", "escaped"),
            ("s3://bucket/a%20b", "escaped"),
            ("s3://bucket/a/../b", "escaped"),
            ("s3://me:hush@bucket/a", "into the environment"),
        ] {
            let error = text.parse::<Root>().unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{text}: {error}");
        }
    }
}
