//! Floor 2: the object storage. Always the S3 API, whether the server is AWS, another, or the one inside this process.
//!
//! Objects are only ever put, read and deleted by keys that the database knows; listing is for `doctor` alone.

mod bucket;
mod client;
mod credentials;
pub mod embedded;
pub mod error;
pub mod layout;
pub mod presign;

use std::ops::RangeInclusive;
use std::time::Duration;

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

pub use bucket::OldVersions;
use bucket::Versioning;
use client::{DEFAULT_REGION, sdk_config};
use credentials::{CredentialsCache, Times};
pub use error::Error;
use presign::{Place, Signer};

/// Where the storage is and how long it may take.
#[derive(Debug, Clone)]
pub struct ObjectStoreConfig {
    pub bucket: String,
    /// Whether a bucket that does not exist is made.
    pub create_bucket: bool,
    pub endpoint: Endpoint,
    /// The address that clients reach, where it is not the endpoint that this process uses.
    pub public_endpoint_url: Option<String>,
    /// Bounds each operation, tries included.
    pub timeout: Duration,
}

#[derive(Debug, Clone)]
pub enum Endpoint {
    /// The SDK's own choice of endpoint, region and credentials.
    Aws,
    /// An S3 server; region and credentials from the environment or a profile, the region `us-east-1` if they name none.
    Url(String),
    /// The S3 server inside this process.
    Embedded { url: String, public_url: String, credentials: Credentials },
}

/// A bucket.
#[derive(Debug)]
pub struct ObjectStore {
    client: Client,
    bucket: String,
    create_bucket: bool,
    region: String,
    /// For people: where the bucket is looked for.
    endpoint: String,
    place: Place,
    timeout: Duration,
    credentials: CredentialsCache,
    versioning: Versioning,
}

/// An object as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size_bytes: u64,
    pub modified_at: chrono::DateTime<chrono::Utc>,
}

impl ObjectStore {
    /// Prepares the client; nothing is sent yet, but for what the SDK's chain asks to find AWS's region and credentials.
    ///
    /// # Errors
    /// An endpoint that is no URL, or certificates that cannot be read.
    pub async fn open(config: &ObjectStoreConfig) -> Result<Self, Error> {
        let sdk = sdk_config(&config.endpoint).await?;
        let provider = sdk.credentials_provider().ok_or(Error::NoCredentials(None))?;
        let region = sdk.region().map_or(DEFAULT_REGION, Region::as_ref).to_owned();
        let place = place(config, &region)?;
        let mut client = aws_sdk_s3::config::Builder::from(&sdk)
            .timeout_config(timeouts(config.timeout))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            // The SDK's own default sends CRC32 trailers, which other S3 servers and some presigned URLs do not take
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
                Endpoint::Url(url) | Endpoint::Embedded { url, .. } => url.clone(),
            },
            region,
            place,
            timeout: config.timeout,
            credentials: CredentialsCache::new(provider, config.timeout, Times::default()),
            versioning: match config.endpoint {
                Endpoint::Embedded { .. } => Versioning::never(),
                _ => Versioning::default(),
            },
        })
    }

    /// Stores an object, replacing one of the same key. When this returns, it is as durable as the storage makes it.
    ///
    /// # Errors
    /// The storage is unavailable or refuses; the object may exist nevertheless.
    pub async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), Error> {
        let timeout = time_for(self.timeout, bytes.len() as u64);
        let request =
            self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type).body(ByteStream::from(bytes));
        let sent = if timeout == self.timeout {
            request.send().await
        } else {
            let timeouts = aws_sdk_s3::config::Builder::new().timeout_config(timeouts(timeout));
            request.customize().config_override(timeouts).send().await
        };
        sent.map(drop).map_err(|error| self.failed("put object", timeout, error))
    }

    /// An object's bytes, or those of a part of it, as they come, each piece in time; and their number.
    ///
    /// # Errors
    /// There is no such object, or the storage is unavailable or refuses. The bytes may break off with an error.
    pub async fn get(
        &self,
        key: &str,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, Error>>), Error> {
        let operation = "get object";
        let range = part.map(|part| format!("bytes={}-{}", part.start(), part.end()));
        let request = self.client.get_object().bucket(&self.bucket).key(key).set_range(range);
        let object = request.send().await.map_err(|error| self.failed(operation, self.timeout, error))?;
        let length = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let timeout = self.timeout;
        let pieces = futures::stream::try_unfold(object.body, move |mut body| async move {
            let piece = tokio::time::timeout(timeout, body.try_next()).await;
            let piece = piece.map_err(|_| Error::TimedOut { operation, timeout })?;
            let piece = piece.map_err(|error| Error::Unavailable { operation, source: error.into() })?;
            Ok(piece.map(|piece| (piece, body)))
        });
        Ok((length, pieces.boxed()))
    }

    /// All of an object.
    ///
    /// # Errors
    /// There is no such object, or the storage is unavailable or refuses.
    pub async fn get_bytes(&self, key: &str) -> Result<Bytes, Error> {
        let started = tokio::time::Instant::now();
        let timed_out = |timeout| move |_| Error::TimedOut { operation: "get object", timeout };
        let opening = tokio::time::timeout_at(started + self.timeout, self.get(key, None)).await;
        let (length, mut pieces) = opening.map_err(timed_out(self.timeout))??;
        let reading = async {
            let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
            while let Some(piece) = pieces.try_next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes.freeze())
        };
        let timeout = time_for(self.timeout, length);
        tokio::time::timeout_at(started + timeout, reading).await.map_err(timed_out(timeout))?
    }

    /// Copies an object of at most `size_bytes` within the storage, with what is known of it.
    ///
    /// # Errors
    /// There is no such object, or the storage is unavailable or refuses; the copy may exist nevertheless.
    pub async fn copy(&self, from: &str, to: &str, size_bytes: u64) -> Result<(), Error> {
        let timeout = time_for(self.timeout, size_bytes);
        // Bucket and keys have no character that would have to be encoded.
        let request = self.client.copy_object().bucket(&self.bucket).key(to).copy_source(format!("{}/{from}", self.bucket));
        let timeouts = aws_sdk_s3::config::Builder::new().timeout_config(timeouts(timeout));
        let sent = request.customize().config_override(timeouts).send().await;
        sent.map(drop).map_err(|error| self.failed("copy object", timeout, error))
    }

    /// An object's length in bytes.
    ///
    /// # Errors
    /// There is no such object, or the storage is unavailable or refuses.
    pub async fn size(&self, key: &str) -> Result<u64, Error> {
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let object = request.send().await.map_err(|error| self.failed("head object", self.timeout, error))?;
        Ok(object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default())
    }

    /// Up to 1000 objects whose keys come after `after`, in the order of their keys.
    ///
    /// # Errors
    /// The storage is unavailable or refuses.
    pub async fn list(&self, after: Option<&str>) -> Result<Vec<Listed>, Error> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).set_start_after(after.map(str::to_owned));
        let page = request.send().await.map_err(|error| self.failed("list objects", self.timeout, error))?;
        let listed = |object: &aws_sdk_s3::types::Object| {
            Some(Listed {
                key: object.key()?.to_owned(),
                size_bytes: u64::try_from(object.size().unwrap_or_default()).unwrap_or_default(),
                modified_at: chrono::DateTime::from_timestamp(object.last_modified()?.secs(), 0)?,
            })
        };
        Ok(page.contents().iter().filter_map(listed).collect())
    }

    /// What signs URLs.
    ///
    /// # Errors
    /// There are no credentials.
    pub async fn signer(&self) -> Result<Signer<'_>, Error> {
        Ok(Signer::new(&self.place, self.credentials.current().await?))
    }

    fn failed<E>(&self, operation: &'static str, timeout: Duration, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error.code() {
            Some("NoSuchBucket") => self.no_bucket(),
            _ => Error::from_sdk(operation, timeout, error),
        }
    }
}

/// The slowest storage that is waited for.
const LEAST_BYTES_PER_SECOND: u64 = 1 << 20;

/// How long an operation may take that carries so many bytes: `timeout`, and a second for each whole MiB.
pub fn time_for(timeout: Duration, bytes: u64) -> Duration {
    timeout + Duration::from_secs(bytes / LEAST_BYTES_PER_SECOND)
}

fn timeouts(operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(operation.min(Duration::from_secs(3))).operation_timeout(operation).build()
}

fn place(config: &ObjectStoreConfig, region: &str) -> Result<Place, Error> {
    match (&config.public_endpoint_url, &config.endpoint) {
        (Some(public), _) => Place::at_endpoint("S3_PUBLIC_ENDPOINT_URL", public, &config.bucket, region),
        (None, Endpoint::Aws) => Ok(Place::at_aws(&config.bucket, region)),
        (None, Endpoint::Url(url) | Endpoint::Embedded { public_url: url, .. }) => {
            Place::at_endpoint("S3_ENDPOINT_URL", url, &config.bucket, region)
        }
    }
}
