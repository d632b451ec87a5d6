//! Who keeps the objects. Keys, regions and endpoints are in the environment, by the names that each provider has for them.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use sampler::model::units::printable;
use url::Url;

/// The builders are alike and share no trait.
macro_rules! built {
    ($url:expr, $builder:ident, $key:ident) => {
        $builder::from_env()
            .with_url($url.as_str())
            // Of a whole object, however large; one that stands still is noticed by the time of a read.
            .with_config($key::Client(ClientConfigKey::Timeout), "1 day")
            .with_config($key::Client(ClientConfigKey::ReadTimeout), "30 seconds")
            .with_retry(RetryConfig {
                max_retries: 4,
                retry_timeout: Duration::from_secs(20),
                ..RetryConfig::default()
            })
            .build()
            .map(|store| Box::new(store) as Box<dyn ObjectStore>)
    };
}

/// The store of an address, and where in it.
pub fn open(url: &Url) -> anyhow::Result<(Box<dyn ObjectStore>, Path)> {
    // Refused from the second address on, when it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shown = || format!("open {}", printable(url.as_str()));
    let (scheme, root) =
        ObjectStoreScheme::parse(url).with_context(|| format!("{}; an address is like s3://bucket/folder", shown()))?;
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => built!(url, AmazonS3Builder, AmazonS3ConfigKey),
        ObjectStoreScheme::GoogleCloudStorage => built!(url, GoogleCloudStorageBuilder, GoogleConfigKey),
        ObjectStoreScheme::MicrosoftAzure => built!(url, MicrosoftAzureBuilder, AzureConfigKey),
        _ => bail!("{}: it is no address of object storage", shown()),
    };
    let store =
        store.map_err(|error| anyhow!("{}: {error}; the key is taken from {}", shown(), names(url.as_str()).key))?;
    Ok((store, root))
}

/// Variables of the environment.
pub struct Names {
    /// With the key.
    pub key: &'static str,
    /// With the server.
    pub server: &'static str,
}

const AMAZON: Names = Names {
    key: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SKIP_SIGNATURE=true for what is public)",
    server: "AWS_ENDPOINT (AWS_ALLOW_HTTP=true for one without TLS)",
};
const GOOGLE: Names = Names {
    key: "GOOGLE_SERVICE_ACCOUNT, a file (GOOGLE_SKIP_SIGNATURE=true for what is public)",
    server: "GOOGLE_BASE_URL (GOOGLE_ALLOW_HTTP=true for one without TLS)",
};
const AZURE: Names = Names {
    key: "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (AZURE_SKIP_SIGNATURE=true for what is public)",
    server: "AZURE_STORAGE_ENDPOINT (AZURE_ALLOW_HTTP=true for one without TLS)",
};

/// What the provider of an address reads.
pub fn names(address: &str) -> &'static Names {
    match address.as_bytes() {
        [b's', ..] => &AMAZON,
        [b'g', ..] => &GOOGLE,
        _ => &AZURE,
    }
}
