//! Presigned URLs: AWS Signature Version 4 in the query string.
//!
//! Written out here, because a page of a list carries sixty of them and the SDK's own presigner sends each through its
//! whole request pipeline; the benchmark has both side by side. A test holds every URL against the SDK's, byte for byte.
//!
//! Method: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::error::Error;

/// SigV4 leaves only RFC 3986's unreserved characters as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where clients reach the objects, and in which region they are signed for.
#[derive(Debug, Clone)]
pub struct Place {
    /// `https://host[:port]`, without a slash at the end.
    origin: String,
    /// The `Host` header that a client will send.
    host: String,
    /// What comes before the key: `/bucket/` in path style, `/` in virtual-host style.
    path_prefix: String,
    region: String,
}

impl Place {
    /// A bucket at an endpoint in path style, which every S3 server understands.
    ///
    /// # Errors
    /// The endpoint is no `http(s)://host[:port]`; `name` is the setting that it came from.
    pub fn at_endpoint(name: &'static str, endpoint: &str, bucket: &str, region: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadEndpoint { name, reason: reason.to_owned() };
        let uri: http::Uri = endpoint.parse().map_err(|error| bad(&format!("{error}")))?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| bad("it must begin with http:// or https://"))?;
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(bad("it must have no path, query or credentials"));
        }
        // Clients leave the scheme's own port out of the Host header, which is signed.
        let host = match authority.port_u16() {
            Some(80) if scheme == "http" => authority.host().to_owned(),
            Some(443) if scheme == "https" => authority.host().to_owned(),
            _ => authority.as_str().to_owned(),
        };
        let path_prefix = format!("/{}/", encode(bucket));
        Ok(Self { origin: format!("{scheme}://{host}"), host, path_prefix, region: region.to_owned() })
    }

    /// A bucket at AWS: by host name, or by path where the bucket's name has dots, which AWS's certificates do not cover.
    pub fn at_aws(bucket: &str, region: &str) -> Self {
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (host, path_prefix) = if bucket.contains('.') {
            (format!("s3.{region}.{suffix}"), format!("/{bucket}/"))
        } else {
            (format!("{bucket}.s3.{region}.{suffix}"), "/".to_owned())
        };
        Self { origin: format!("https://{host}"), host, path_prefix, region: region.to_owned() }
    }
}

/// What a presigned URL gives.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    pub key: &'a str,
    /// The moment from which the URL's life counts.
    pub signed_at: DateTime<Utc>,
    /// Seconds; S3 allows at most seven days.
    pub expires_in: u32,
    /// What the storage is to answer as `Content-Type`.
    pub content_type: Option<&'a str>,
    /// What the storage is to answer as `Content-Disposition`.
    pub content_disposition: Option<&'a str>,
}

/// Signs many URLs with one set of credentials; the derived key is kept between those of one day.
pub struct Signer<'a> {
    place: &'a Place,
    credentials: Credentials,
    derived: Option<(String, Hmac<Sha256>)>,
}

impl<'a> Signer<'a> {
    pub fn new(place: &'a Place, credentials: Credentials) -> Self {
        Self { place, credentials, derived: None }
    }

    /// A URL that anybody can `GET` until it expires.
    pub fn get_url(&mut self, grant: &Grant<'_>) -> String {
        let time = grant.signed_at.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let scope = format!("{day}/{}/s3/aws4_request", self.place.region);
        let path = self.path(grant.key);
        let query = self.query(grant, &time, &scope);
        let request = format!("GET\n{path}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD", self.place.host);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let signature = hex::encode(self.key_of(day).chain_update(to_sign).finalize().into_bytes());
        format!("{}{path}?{query}&X-Amz-Signature={signature}", self.place.origin)
    }

    fn path(&self, key: &str) -> String {
        let mut path = self.place.path_prefix.clone();
        for (index, segment) in key.split('/').enumerate() {
            if index > 0 {
                path.push('/');
            }
            path.extend(encode(segment));
        }
        path
    }

    /// Everything but the signature, in the order that signing wants: by name.
    fn query(&self, grant: &Grant<'_>, time: &str, scope: &str) -> String {
        let credential = format!("{}/{scope}", self.credentials.access_key_id());
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={time}&X-Amz-Expires={}",
            encode(&credential),
            grant.expires_in
        );
        let mut push = |name: &str, value: &str| {
            query.push_str(name);
            query.extend(encode(value));
        };
        if let Some(token) = self.credentials.session_token() {
            push("&X-Amz-Security-Token=", token);
        }
        push("&X-Amz-SignedHeaders=", "host");
        if let Some(disposition) = grant.content_disposition {
            push("&response-content-disposition=", disposition);
        }
        if let Some(content_type) = grant.content_type {
            push("&response-content-type=", content_type);
        }
        push("&x-id=", "GetObject");
        query
    }

    fn key_of(&mut self, day: &str) -> Hmac<Sha256> {
        if let Some((derived_day, key)) = &self.derived
            && derived_day == day
        {
            return key.clone();
        }
        let secret = format!("AWS4{}", self.credentials.secret_access_key());
        let mut key = mac(secret.as_bytes());
        for part in [day, &self.place.region, "s3", "aws4_request"] {
            key = mac(&key.chain_update(part).finalize().into_bytes());
        }
        self.derived = Some((day.to_owned(), key.clone()));
        key
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_sdk_s3::config::{BehaviorVersion, Region};
    use aws_sdk_s3::presigning::PresigningConfig;

    use super::*;

    /// The SDK's presigner for the same grant.
    async fn sdk_url(endpoint: Option<&str>, bucket: &str, credentials: &Credentials, grant: &Grant<'_>) -> String {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-north-1"))
            .credentials_provider(credentials.clone());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let when = PresigningConfig::builder()
            .start_time(SystemTime::from(grant.signed_at))
            .expires_in(Duration::from_secs(grant.expires_in.into()))
            .build()
            .unwrap();
        let request = aws_sdk_s3::Client::from_conf(config.build())
            .get_object()
            .bucket(bucket)
            .key(grant.key)
            .set_response_content_type(grant.content_type.map(str::to_owned))
            .set_response_content_disposition(grant.content_disposition.map(str::to_owned));
        request.presigned(when).await.unwrap().uri().to_owned()
    }

    /// The SDK writes the same parameters in another order; the signature covers them sorted.
    fn parts(url: &str) -> (String, Vec<String>) {
        let (path, query) = url.split_once('?').unwrap();
        let mut query: Vec<String> = query.split('&').map(str::to_owned).collect();
        query.sort();
        (path.to_owned(), query)
    }

    #[tokio::test]
    async fn urls_are_those_of_the_sdk() {
        let plain = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let session = Credentials::new("ASIA", "secret", Some("token/with+odd=chars".to_owned()), None, "test");
        let signed_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let grants = [
            Grant { key: "2b/0190/original", signed_at, expires_in: 3600, content_type: None, content_disposition: None },
            Grant {
                key: "2b/0190/t/h 200+é~.webp",
                signed_at,
                expires_in: 60,
                content_type: Some("image/webp"),
                content_disposition: Some("inline; filename*=UTF-8''%C3%A9t%C3%A9%20%26%20more.webp"),
            },
        ];
        for credentials in [plain, session] {
            for grant in &grants {
                for endpoint in ["http://localhost:4566", "https://s3.example.org:443", "http://127.0.0.1:80"] {
                    let place = Place::at_endpoint("S3_ENDPOINT_URL", endpoint, "images", "eu-north-1").unwrap();
                    let ours = Signer::new(&place, credentials.clone()).get_url(grant);
                    let theirs = sdk_url(Some(place.origin.as_str()), "images", &credentials, grant).await;
                    assert_eq!(parts(&ours), parts(&theirs));
                }
                let ours = Signer::new(&Place::at_aws("images", "eu-north-1"), credentials.clone()).get_url(grant);
                assert_eq!(parts(&ours), parts(&sdk_url(None, "images", &credentials, grant).await));
            }
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for bad in ["localhost:4566", "ftp://host", "http://host/path", "http://user:pass@host", "http://host?x", ""] {
            assert!(Place::at_endpoint("S3_ENDPOINT_URL", bad, "images", "us-east-1").is_err(), "{bad}");
        }
    }
}
