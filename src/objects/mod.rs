//! The object storage adapter: a client of the S3 API for AWS, other S3 servers and the embedded one.
//!
//! Objects are written, read and deleted only by keys that the database has; only `doctor` lists them. Objects that are adopted
//! (`source_object.rs`) are only read.

mod bucket;
mod cache;
mod client;
mod credentials;
pub mod embedded;
pub mod error;
mod error_chain;
pub mod layout;
pub mod presign;
pub mod presign_post;
pub mod presign_put;
mod sigv4;
pub mod source_object;

use std::ops::RangeInclusive;
use std::time::Duration;

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OwnedSemaphorePermit;

pub use bucket::OldVersions;
use bucket::Versioning;
use cache::ObjectCache;
pub use cache::{CacheUse, CachedObject};
use client::{DEFAULT_REGION, sdk_config};
use credentials::{CredentialsCache, RefreshIntervals};
use embedded::Embedded;
pub use error::Error;
use presign::{BucketAddress, Signer};

/// Configuration of the object storage.
#[derive(Debug, Clone)]
pub struct ObjectStoreConfig {
    pub bucket: String,
    /// Whether to create the bucket if it does not exist.
    pub create_bucket: bool,
    pub endpoint: Endpoint,
    /// The endpoint for presigned URLs; `None` if clients use the same endpoint as this process.
    pub public_endpoint_url: Option<String>,
    /// The limit for each operation, retries included.
    pub timeout: Duration,
    /// Memory for objects that were requested recently; 0 turns the cache off.
    pub cache_bytes: u64,
}

/// Which S3 server to use.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// AWS. The SDK determines endpoint, region and credentials.
    Aws,
    /// Another S3 server. Region and credentials come from the environment or a profile; the default region is `us-east-1`.
    Url(String),
    /// The S3 server embedded in this process.
    Embedded { client: SharedHttpClient, public_url: String, credentials: Credentials },
}

impl Endpoint {
    pub fn of_embedded(server: &Embedded) -> Self {
        let keys = &server.credentials;
        let credentials = Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "embedded");
        Self::Embedded { client: server.client.clone(), public_url: format!("http://{}", server.address), credentials }
    }
}

/// A client for one bucket.
#[derive(Debug)]
pub struct ObjectStore {
    client: Client,
    bucket: String,
    create_bucket: bool,
    region: String,
    /// The endpoint as error messages show it.
    endpoint: String,
    public_address: BucketAddress,
    timeout: Duration,
    credentials: CredentialsCache,
    versioning: Versioning,
    /// Whether uploads are signed with their contents, which costs a SHA-256.
    signs_payloads: bool,
    cache: ObjectCache,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub size_bytes: u64,
    pub modified_at: chrono::DateTime<chrono::Utc>,
    pub etag: Option<String>,
}

impl ObjectStore {
    /// Prepares the client. Sends nothing to the storage; for AWS, the SDK may query its providers for region and credentials.
    ///
    /// # Errors
    /// The endpoint is not a URL, or `AWS_CA_BUNDLE` cannot be read.
    pub async fn open(config: &ObjectStoreConfig) -> Result<Self, Error> {
        let sdk = sdk_config(&config.endpoint).await?;
        let provider = sdk.credentials_provider().ok_or(Error::NoCredentials(None))?;
        let region = sdk.region().map_or(DEFAULT_REGION, Region::as_ref).to_owned();
        let public_address = public_address(config, &region)?;
        let mut client = aws_sdk_s3::config::Builder::from(&sdk)
            .timeout_config(timeouts(config.timeout))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            // By default the SDK sends CRC32 trailers, which other S3 servers and some presigned URLs do not support
            // (aws-sdk-rust #1240, #1253).
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if !matches!(config.endpoint, Endpoint::Aws) {
            client = client.force_path_style(true);
        }
        Ok(Self {
            client: Client::from_conf(client.build()),
            bucket: config.bucket.clone(),
            create_bucket: config.create_bucket,
            endpoint: match &config.endpoint {
                Endpoint::Aws => format!("AWS in {region}"),
                Endpoint::Url(url) => url.clone(),
                Endpoint::Embedded { .. } => "the embedded S3 server".to_owned(),
            },
            region,
            public_address,
            timeout: config.timeout,
            credentials: CredentialsCache::new(provider, config.timeout, RefreshIntervals::default()),
            versioning: match config.endpoint {
                Endpoint::Embedded { .. } => Versioning::unsupported(),
                _ => Versioning::default(),
            },
            // Nobody can change a request between this process and its own server.
            signs_payloads: !matches!(config.endpoint, Endpoint::Embedded { .. }),
            cache: ObjectCache::new(config.cache_bytes),
        })
    }

    /// Uploads an object and replaces any object with the same key. When this returns, the object is as durable as the storage
    /// makes it.
    ///
    /// # Errors
    /// The storage is unavailable or refuses the request. The object may exist nevertheless.
    pub async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), Error> {
        let timeout = transfer_timeout(self.timeout, bytes.len() as u64);
        let request =
            self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type).body(ByteStream::from(bytes));
        let timeouts = aws_sdk_s3::config::Builder::new().timeout_config(timeouts(timeout));
        let mut request = request.customize().config_override(timeouts);
        if !self.signs_payloads {
            request = request.disable_payload_signing();
        }
        let result = request.send().await;
        result.map(drop).map_err(|error| self.sdk_error("put object", timeout, error))
    }

    /// Downloads an object, or a range of its bytes. Returns the number of bytes and a stream of them; the timeout applies to
    /// each chunk.
    ///
    /// # Errors
    /// The object does not exist, or the storage is unavailable or refuses the request. The stream may fail as well.
    pub async fn get(
        &self,
        key: &str,
        range: Option<RangeInclusive<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        let operation = "get object";
        let range = range.map(|range| format!("bytes={}-{}", range.start(), range.end()));
        let request = self.client.get_object().bucket(&self.bucket).key(key).set_range(range);
        let object = request.send().await.map_err(|error| self.sdk_error(operation, self.timeout, error))?;
        let length = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let timeout = self.timeout;
        let chunks = futures::stream::try_unfold(object.body, move |mut body| async move {
            let chunk = tokio::time::timeout(timeout, body.try_next()).await;
            let chunk = chunk.map_err(|_| Error::TimedOut { operation, timeout })?;
            let chunk = chunk.map_err(|error| Error::Unavailable { operation, source: error.into() })?;
            Ok(chunk.map(|chunk| (chunk, body)))
        });
        Ok((length, chunks.boxed()))
    }

    /// Returns an object from the cache.
    pub fn cached(&self, key: &str) -> Option<CachedObject> {
        self.cache.get(key)
    }

    /// Like [`ObjectStore::cached`], for the same request as before: it is not counted again.
    pub fn peek_cached(&self, key: &str) -> Option<CachedObject> {
        self.cache.peek(key)
    }

    /// Returns a permit to read an object of this size into memory and [`ObjectStore::cache`] it, if it is small enough and few
    /// others are being read.
    pub fn begin_cache_fill(&self, size_bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.cache.begin_fill(size_bytes)
    }

    /// Adds a whole object to the cache.
    pub fn cache(&self, key: &str, bytes: Bytes) {
        self.cache.insert(key, bytes);
    }

    /// Removes an object from the cache that turned out to be damaged, so that it is read again when it has been restored.
    pub fn discard_cached(&self, key: &str) {
        self.cache.remove(key);
    }

    /// Returns the use of the cache, for metrics.
    pub fn cache_use(&self) -> CacheUse {
        self.cache.in_use()
    }

    /// Downloads a whole object into memory, within [`transfer_timeout`] for its length.
    ///
    /// # Errors
    /// The object does not exist, or the storage is unavailable or refuses the request.
    pub async fn get_bytes(&self, key: &str) -> Result<Bytes, Error> {
        let started = tokio::time::Instant::now();
        let timed_out = |timeout| move |_| Error::TimedOut { operation: "get object", timeout };
        let opening = tokio::time::timeout_at(started + self.timeout, self.get(key, None)).await;
        let (length, mut chunks) = opening.map_err(timed_out(self.timeout))??;
        let reading = async {
            let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
            while let Some(chunk) = chunks.try_next().await? {
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes.freeze())
        };
        let timeout = transfer_timeout(self.timeout, length);
        tokio::time::timeout_at(started + timeout, reading).await.map_err(timed_out(timeout))?
    }

    /// Copies an object of at most `size_bytes`, with its metadata, within the bucket.
    ///
    /// # Errors
    /// The object does not exist, or the storage is unavailable or refuses the request. The copy may exist nevertheless.
    pub async fn copy(&self, from: &str, to: &str, size_bytes: u64) -> Result<(), Error> {
        let timeout = transfer_timeout(self.timeout, size_bytes);
        // The bucket's name and our keys contain no character that needs encoding.
        let request = self.client.copy_object().bucket(&self.bucket).key(to).copy_source(format!("{}/{from}", self.bucket));
        let timeouts = aws_sdk_s3::config::Builder::new().timeout_config(timeouts(timeout));
        let result = request.customize().config_override(timeouts).send().await;
        result.map(drop).map_err(|error| self.sdk_error("copy object", timeout, error))
    }

    /// Returns an object's length in bytes.
    ///
    /// # Errors
    /// The object does not exist, or the storage is unavailable or refuses the request.
    pub async fn size(&self, key: &str) -> Result<u64, Error> {
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let object = request.send().await.map_err(|error| self.sdk_error("head object", self.timeout, error))?;
        Ok(object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default())
    }

    /// Lists up to 1000 objects whose keys come after `after`, sorted by key.
    ///
    /// # Errors
    /// The storage is unavailable or refuses the request.
    pub async fn list(&self, after: Option<&str>) -> Result<Vec<ListedObject>, Error> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).set_start_after(after.map(str::to_owned));
        let page = request.send().await.map_err(|error| self.sdk_error("list objects", self.timeout, error))?;
        Ok(page.contents().iter().filter_map(listed).collect())
    }

    /// Returns a signer for presigned URLs, with the current credentials.
    ///
    /// # Errors
    /// No valid credentials are available.
    pub async fn signer(&self) -> Result<Signer<'_>, Error> {
        Ok(Signer::new(&self.public_address, self.credentials.current().await?))
    }

    /// The service's own bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    fn sdk_error<E>(&self, operation: &'static str, timeout: Duration, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error.code() {
            Some("NoSuchBucket") => self.no_bucket(),
            _ => Error::from_sdk(operation, timeout, &self.endpoint, error),
        }
    }
}

fn listed(object: &aws_sdk_s3::types::Object) -> Option<ListedObject> {
    Some(ListedObject {
        key: object.key()?.to_owned(),
        size_bytes: u64::try_from(object.size().unwrap_or_default()).unwrap_or_default(),
        modified_at: chrono::DateTime::from_timestamp(object.last_modified()?.secs(), 0)?,
        etag: object.e_tag().map(str::to_owned),
    })
}

/// The lowest transfer rate that does not time out.
const MIN_BYTES_PER_SECOND: u64 = 1 << 20;

/// Returns the timeout of an operation that transfers `bytes`: `timeout`, and one second for each whole MiB.
pub fn transfer_timeout(timeout: Duration, bytes: u64) -> Duration {
    timeout + Duration::from_secs(bytes / MIN_BYTES_PER_SECOND)
}

fn timeouts(operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(operation.min(Duration::from_secs(3))).operation_timeout(operation).build()
}

fn public_address(config: &ObjectStoreConfig, region: &str) -> Result<BucketAddress, Error> {
    match (&config.public_endpoint_url, &config.endpoint) {
        (Some(public), _) => BucketAddress::at_endpoint("S3_PUBLIC_ENDPOINT_URL", public, &config.bucket, region),
        (None, Endpoint::Aws) => Ok(BucketAddress::at_aws(&config.bucket, region)),
        (None, Endpoint::Url(url) | Endpoint::Embedded { public_url: url, .. }) => {
            BucketAddress::at_endpoint("S3_ENDPOINT_URL", url, &config.bucket, region)
        }
    }
}
