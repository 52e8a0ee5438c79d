//! Opening a store: its address, and what the environment says of it.
//!
//! The same variables count as for tables: `AWS_*`, `GOOGLE_*` and `AZURE_*`, by the names that `object_store` has for them.

use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    list::PaginatedListStore,
    memory::InMemory,
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};

use crate::{Address, Bucket, Error, Result, store::Abilities};

/// Limits of a request. The environment may say others (`AWS_TIMEOUT`, …).
const TIMEOUT: &str = "120 s";
const CONNECT_TIMEOUT: &str = "5 s";

/// Tries again what a busy store refuses, and gives up before a client does.
fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 4, retry_timeout: Duration::from_secs(15) }
}

/// The builders are alike and have no trait in common: limits first, then what the environment says, then the address.
macro_rules! build {
    ($builder:ident, $key:ident, $prefix:literal, $url:expr, $environment:expr) => {{
        let mut builder = $builder::new()
            .with_retry(retry())
            .with_config($key::Client(ClientConfigKey::Timeout), TIMEOUT)
            .with_config($key::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT);
        for (name, value) in $environment.filter(|(name, _)| name.starts_with($prefix)) {
            if let Ok(key) = name.to_ascii_lowercase().parse::<$key>() {
                builder = builder.with_config(key, value);
            }
        }
        builder.with_url($url.as_str()).build()
    }};
}

fn abilities<S>(store: Arc<S>) -> Abilities
where
    S: ObjectStore + MultipartStore + Signer + PaginatedListStore,
{
    let (signer, pages) = (Some(store.clone() as _), Some(store.clone() as _));
    Abilities { store: store.clone(), parts: store, signer, pages }
}

impl Bucket {
    /// Opens the store at an address with what the environment says. Nothing is asked of it yet.
    pub fn open(address: &Address) -> Result<Self> {
        Self::open_with(
            address,
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    fn open_with(address: &Address, environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let shown = address.to_string();
        let unopened = |error| Error::unopened(&shown, error);
        let url = address.url();
        let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|error| unopened(error.into()))?;
        Ok(match scheme {
            ObjectStoreScheme::GoogleCloudStorage => {
                let built = build!(GoogleCloudStorageBuilder, GoogleConfigKey, "GOOGLE_", url, environment);
                let store = Arc::new(built.map_err(unopened)?);
                Self::of(abilities(store), prefix, shown.clone())
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let built = build!(MicrosoftAzureBuilder, AzureConfigKey, "AZURE_", url, environment);
                let store = Arc::new(built.map_err(unopened)?);
                Self::of(abilities(store), prefix, shown.clone())
            }
            // An address has one of our schemes, and the others are S3's.
            _ => {
                let built = build!(AmazonS3Builder, AmazonS3ConfigKey, "AWS_", url, environment);
                let store = Arc::new(built.map_err(unopened)?);
                Self::of(abilities(store), prefix, shown.clone())
            }
        })
    }

    /// A store in the memory of this process, for tests. It signs no addresses.
    pub fn in_memory() -> Self {
        let store = Arc::new(InMemory::new());
        let abilities = Abilities { store: store.clone(), parts: store, signer: None, pages: None };
        Self::of(abilities, Path::from("prefix"), "memory://test".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// The address that a store signs for an object, without asking anybody.
    fn signed(address: &str, environment: &[(&str, &str)]) -> String {
        let address: Address = address.parse().unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let bucket = Bucket::open_with(&address, environment).unwrap();
        let url = bucket.signed_get("ab/0123", Duration::from_mins(1)).now_or_never();
        url.expect("it waits for nobody").unwrap().unwrap().to_string()
    }

    #[test]
    fn s3_and_what_speaks_it() {
        let keys =
            [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("AWS_REGION", "eu-west-1")];
        let url = signed("s3://bucket/a/b", &keys);
        assert!(url.starts_with("https://s3.eu-west-1.amazonaws.com/bucket/a/b/ab/0123?"), "{url}");
        assert!(
            url.contains("X-Amz-Expires=60") && url.contains("X-Amz-Signature=") && !url.contains("hush"),
            "{url}"
        );
        let other =
            [keys.as_slice(), &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"), ("AWS_ALLOW_HTTP", "true")]];
        let url = signed("s3a://bucket/a", &other.concat());
        assert!(url.starts_with("http://127.0.0.1:9000/bucket/a/ab/0123?"), "{url}");
    }

    #[test]
    fn azure_by_its_account() {
        let keys = [("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA==")];
        let url = signed("az://container/a", &keys);
        assert!(url.starts_with("https://me.blob.core.windows.net/container/a/ab/0123?"), "{url}");
        assert!(url.contains("sig=") && url.contains("sp=r") && !url.contains("aHVzaA"), "{url}");
        let url = signed("abfss://container@me.dfs.core.windows.net/a", &keys[1..]);
        assert!(url.contains("me.blob.core.windows.net/container/a/ab/0123?"), "{url}");
        let unnamed: Address = "az://container/a".parse().unwrap();
        let error = Bucket::open_with(&unnamed, std::iter::empty()).err().unwrap();
        assert!(error.to_string().contains("az://container/a cannot be opened"), "{error}");
    }

    #[test]
    fn google_by_its_service_account() {
        // No key is in it that signs: that the account is read and the bucket is taken from the address is what shows here.
        let account = r#"{"gcs_base_url":"http://127.0.0.1:4443","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
        let address: Address = "gs://bucket/a".parse().unwrap();
        let named = [("GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(), account.to_owned())];
        assert!(Bucket::open_with(&address, named.into_iter()).is_ok());
        let broken = [("GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(), "{".to_owned())];
        let error = Bucket::open_with(&address, broken.into_iter()).err().unwrap();
        assert!(error.to_string().contains("gs://bucket/a cannot be opened"), "{error}");
    }
}
