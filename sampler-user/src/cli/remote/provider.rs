//! Who keeps the objects. Keys, regions and endpoints are in the environment, by the names that each provider has for them.

use std::time::Duration;

use anyhow::{Context, bail};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use sampler::units::printable;
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
    Ok((store.with_context(shown)?, root))
}

/// Where the key of an address is looked for.
pub fn key(address: &str) -> &'static str {
    match address.as_bytes() {
        [b's', ..] => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SKIP_SIGNATURE=true for what is public)",
        [b'g', ..] => "GOOGLE_SERVICE_ACCOUNT, a file (GOOGLE_SKIP_SIGNATURE=true for what is public)",
        _ => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (AZURE_SKIP_SIGNATURE=true for what is public)",
    }
}
