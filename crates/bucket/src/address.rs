//! Addresses such as `s3://bucket/prefix`, as settings name them.

use std::{fmt, str::FromStr};

use url::Url;

/// Schemes of the object stores that are known.
pub const SCHEMES: &[&str] = &["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];

/// A place in an object store. It is compared as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// The URL of a directory, with a slash at its end; or why the text is none.
pub fn directory_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|error| error.to_string())?;
    if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
        return Err("credentials and options belong into the environment, not into the address".to_owned());
    }
    Url::parse(&format!("{url}/")).map_err(|error| error.to_string())
}

impl Address {
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }
}

impl FromStr for Address {
    type Err = String;

    /// Nothing is looked at: whether there is such a bucket turns out when it is used.
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "write s3://bucket/prefix, gs://bucket/prefix, or az://container/prefix";
        if !text.contains("://") {
            return Err(format!("it has no scheme; {shape}"));
        }
        let url = directory_url(text)?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(format!("the scheme {:?} is not known; {shape}", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("it names no bucket; {shape}"));
        }
        if url.port().is_some() {
            return Err("it has a port; the address of a store that speaks S3 belongs into AWS_ENDPOINT_URL"
                .to_owned());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_a_slash_at_the_end() {
        for (text, shown) in [
            ("s3://bucket", "s3://bucket"),
            (" s3://bucket/a/b/ ", "s3://bucket/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("az://container/a", "az://container/a"),
            (
                "abfss://container@account.dfs.core.windows.net/a",
                "abfss://container@account.dfs.core.windows.net/a",
            ),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy() {
        for (text, why) in [
            ("/srv/artifacts", "no scheme"),
            ("ftp://host/x", "is not known"),
            ("file:///srv/x", "is not known"),
            ("s3://", "names no bucket"),
            ("s3:///x", "names no bucket"),
            ("s3://minio:9000/x", "AWS_ENDPOINT_URL"),
            ("s3://me:pw@bucket/x", "into the environment"),
            ("s3://bucket/x?key=1", "into the environment"),
            ("s3://bucket/x#y", "into the environment"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
