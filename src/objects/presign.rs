//! Presigned URLs: AWS Signature Version 4 in the query string.
//!
//! Here are the address, the signer and URLs for `GET`; `presign_put` and `presign_post` have the ways to upload.
//!
//! This is our own implementation because one page of a list contains sixty URLs and the SDK's presigner runs its whole request
//! pipeline for each. A benchmark compares both; a test checks that both produce the same parameters and signature.
//!
//! Method: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use percent_encoding::utf8_percent_encode;
use sha2::{Digest, Sha256};

use super::error::Error;
use super::sigv4::{ALGORITHM, KEY_ENCODED, TIME_FORMAT, encode, push_hex, signing_key};

/// The address at which clients reach the bucket, and the region for signatures.
#[derive(Debug, Clone)]
pub struct BucketAddress {
    pub(super) bucket: String,
    /// `https://host[:port]`, without a trailing slash.
    pub(super) origin: String,
    /// The `Host` header that clients send.
    pub(super) host: String,
    /// The path before the key: `/bucket/` in path style, `/` in virtual-hosted style.
    pub(super) path_prefix: String,
    pub(super) region: String,
}

impl BucketAddress {
    /// Returns the path-style address of a bucket at an endpoint; every S3 server supports path style.
    ///
    /// # Errors
    /// The endpoint is not of the form `http(s)://host[:port]`. `name` is the setting that it came from.
    pub fn at_endpoint(name: &'static str, endpoint: &str, bucket: &str, region: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadEndpoint { name, reason: reason.to_owned() };
        let uri: http::Uri = endpoint.parse().map_err(|error| bad(&format!("{error}")))?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| bad("must begin with http:// or https://"))?;
        let authority = uri.authority().ok_or_else(|| bad("must have a host"))?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(bad("must have no path, query or credentials"));
        }
        // Clients omit the scheme's default port in the Host header, which is part of the signature.
        let host = match authority.port_u16() {
            Some(80) if scheme == "http" => authority.host().to_owned(),
            Some(443) if scheme == "https" => authority.host().to_owned(),
            _ => authority.as_str().to_owned(),
        };
        let path_prefix = format!("/{}/", encode(bucket));
        let (bucket, region) = (bucket.to_owned(), region.to_owned());
        Ok(Self { bucket, origin: format!("{scheme}://{host}"), host, path_prefix, region })
    }

    /// Returns the address of a bucket at AWS: virtual-hosted style, or path style if the bucket's name has dots, which AWS's
    /// wildcard certificates do not cover.
    pub fn at_aws(bucket: &str, region: &str) -> Self {
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (host, path_prefix) = if bucket.contains('.') {
            (format!("s3.{region}.{suffix}"), format!("/{bucket}/"))
        } else {
            (format!("{bucket}.s3.{region}.{suffix}"), "/".to_owned())
        };
        let (bucket, region) = (bucket.to_owned(), region.to_owned());
        Self { bucket, origin: format!("https://{host}"), host, path_prefix, region }
    }
}

/// The parameters of a presigned `GET`.
#[derive(Debug, Clone)]
pub struct PresignedGet<'a> {
    pub key: &'a str,
    /// The start of the URL's lifetime.
    pub signed_at: DateTime<Utc>,
    /// The URL's lifetime in seconds; S3 allows at most seven days.
    pub expires_in: u32,
    /// The `Content-Type` of the response; `None` for the stored one.
    pub content_type: Option<&'a str>,
    /// The `Content-Disposition` of the response; `None` for the stored one.
    pub content_disposition: Option<&'a str>,
}

/// Signs many URLs with one set of credentials. Computes the parts that depend only on the signing time once per time.
pub struct Signer<'a> {
    pub(super) address: &'a BucketAddress,
    pub(super) credentials: Credentials,
    context: Option<SigningContext>,
}

/// The parts that all URLs with one signing time share.
pub(super) struct SigningContext {
    signed_at: DateTime<Utc>,
    /// The query up to the value of `X-Amz-Expires`.
    query_head: String,
    /// The query from there to the value of `X-Amz-SignedHeaders`.
    query_middle: String,
    /// An HMAC with the day's signing key that has processed the start of the string to sign.
    mac: Hmac<Sha256>,
}

impl<'a> Signer<'a> {
    pub fn new(address: &'a BucketAddress, credentials: Credentials) -> Self {
        Self { address, credentials, context: None }
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns when the credentials expire, and with them everything that they signed; `None` if they never do.
    pub fn credentials_expire_at(&self) -> Option<DateTime<Utc>> {
        self.credentials.expiry().map(DateTime::from)
    }

    pub(super) fn context(&mut self, signed_at: DateTime<Utc>) -> &SigningContext {
        match self.context.take() {
            Some(context) if context.signed_at == signed_at => self.context.insert(context),
            _ => self.context.insert(SigningContext::new(self.address, &self.credentials, signed_at)),
        }
    }

    /// Returns a URL that any client can `GET` until it expires.
    pub fn get_url(&mut self, request: &PresignedGet<'_>) -> String {
        let address = self.address;
        let context = self.context(request.signed_at);
        let mut url = String::with_capacity(URL_CAPACITY);
        url.push_str(&address.origin);
        url.push_str(&address.path_prefix);
        url.extend(utf8_percent_encode(request.key, KEY_ENCODED));
        url.push('?');
        let query_start = url.len();
        push_get_query(&mut url, context, request);
        let (path, query) = (&url[address.origin.len()..query_start - 1], &url[query_start..]);
        let signature = context.signature(&["GET\n", path, "\n", query, "\nhost:", &address.host, "\n\nhost\nUNSIGNED-PAYLOAD"]);
        url.push_str("&X-Amz-Signature=");
        push_hex(&mut url, &signature);
        url
    }
}

/// Longer than almost all URLs, so that building one does not reallocate.
const URL_CAPACITY: usize = 768;

/// Appends the query without the signature, sorted by parameter name as SigV4 requires.
fn push_get_query(url: &mut String, context: &SigningContext, request: &PresignedGet<'_>) {
    context.push_query(url, request.expires_in, "host");
    if let Some(disposition) = request.content_disposition {
        url.push_str("&response-content-disposition=");
        url.extend(encode(disposition));
    }
    if let Some(content_type) = request.content_type {
        url.push_str("&response-content-type=");
        url.extend(encode(content_type));
    }
    url.push_str("&x-id=GetObject");
}

impl SigningContext {
    fn new(address: &BucketAddress, credentials: &Credentials, signed_at: DateTime<Utc>) -> Self {
        let time = signed_at.format(TIME_FORMAT).to_string();
        let day = &time[..8];
        let scope = format!("{day}/{}/s3/aws4_request", address.region);
        let credential = format!("{}/{scope}", credentials.access_key_id());
        let query_head =
            format!("X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={time}&X-Amz-Expires=", encode(&credential));
        let token = credentials.session_token().map(|token| format!("&X-Amz-Security-Token={}", encode(token)));
        let query_middle = token.unwrap_or_default() + "&X-Amz-SignedHeaders=";
        let key = signing_key(credentials.secret_access_key(), day, &address.region);
        let mac = key.chain_update(format!("{ALGORITHM}\n{time}\n{scope}\n"));
        Self { signed_at, query_head, query_middle, mac }
    }

    /// Appends the parameters of the signature, except for the signature itself. They come first in the sorted query.
    pub(super) fn push_query(&self, url: &mut String, expires_in: u32, signed_headers: &str) {
        url.push_str(&self.query_head);
        url.push_str(&expires_in.to_string());
        url.push_str(&self.query_middle);
        url.extend(encode(signed_headers));
    }

    /// Signs a canonical request, which is in pieces.
    pub(super) fn signature(&self, canonical_request: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for piece in canonical_request {
            hash.update(piece);
        }
        let mut hex = String::with_capacity(64);
        push_hex(&mut hex, &hash.finalize().into());
        self.mac.clone().chain_update(hex).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_sdk_s3::config::{BehaviorVersion, Region};
    use aws_sdk_s3::presigning::PresigningConfig;

    use super::*;

    /// Returns the URL of the SDK's presigner for the same request.
    async fn sdk_url(endpoint: Option<&str>, bucket: &str, credentials: &Credentials, request: &PresignedGet<'_>) -> String {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-north-1"))
            .credentials_provider(credentials.clone());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let when = PresigningConfig::builder()
            .start_time(SystemTime::from(request.signed_at))
            .expires_in(Duration::from_secs(request.expires_in.into()))
            .build()
            .unwrap();
        let request = aws_sdk_s3::Client::from_conf(config.build())
            .get_object()
            .bucket(bucket)
            .key(request.key)
            .set_response_content_type(request.content_type.map(str::to_owned))
            .set_response_content_disposition(request.content_disposition.map(str::to_owned));
        request.presigned(when).await.unwrap().uri().to_owned()
    }

    /// Splits a URL into the path and its sorted parameters. The SDK orders them differently; the signature covers them sorted.
    fn parts(url: &str) -> (String, Vec<String>) {
        let (path, query) = url.split_once('?').unwrap();
        let mut query: Vec<String> = query.split('&').map(str::to_owned).collect();
        query.sort();
        (path.to_owned(), query)
    }

    #[tokio::test]
    async fn urls_match_the_sdks() {
        let plain = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let session = Credentials::new("ASIA", "secret", Some("token/with+odd=chars".to_owned()), None, "test");
        let signed_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let requests = [
            PresignedGet { key: "2b/0190/original", signed_at, expires_in: 3600, content_type: None, content_disposition: None },
            PresignedGet {
                key: "2b/0190/t/h 200+é~.webp",
                signed_at,
                expires_in: 60,
                content_type: Some("image/webp"),
                content_disposition: Some("inline; filename*=UTF-8''%C3%A9t%C3%A9%20%26%20more.webp"),
            },
        ];
        for credentials in [plain, session] {
            for request in &requests {
                for endpoint in ["http://localhost:4566", "https://s3.example.org:443", "http://127.0.0.1:80"] {
                    let address = BucketAddress::at_endpoint("S3_ENDPOINT_URL", endpoint, "images", "eu-north-1").unwrap();
                    let ours = Signer::new(&address, credentials.clone()).get_url(request);
                    let theirs = sdk_url(Some(address.origin.as_str()), "images", &credentials, request).await;
                    assert_eq!(parts(&ours), parts(&theirs));
                }
                let ours = Signer::new(&BucketAddress::at_aws("images", "eu-north-1"), credentials.clone()).get_url(request);
                assert_eq!(parts(&ours), parts(&sdk_url(None, "images", &credentials, request).await));
            }
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for bad in ["localhost:4566", "ftp://host", "http://host/path", "http://user:pass@host", "http://host?x", ""] {
            assert!(BucketAddress::at_endpoint("S3_ENDPOINT_URL", bad, "images", "us-east-1").is_err(), "{bad}");
        }
    }
}
