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

/// As [`ENCODED`], in a path.
const KEY_ENCODED: &AsciiSet = &ENCODED.remove(b'/');

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

/// Signs many URLs with one set of credentials; what those of one moment have in common is made once.
pub struct Signer<'a> {
    place: &'a Place,
    credentials: Credentials,
    moment: Option<Moment>,
}

/// What all URLs signed at one moment share.
struct Moment {
    signed_at: DateTime<Utc>,
    /// The query up to the value of `X-Amz-Expires`.
    query_head: String,
    /// The query from there to `X-Amz-SignedHeaders`.
    query_middle: String,
    /// The day's key, with the beginning of what is signed fed to it.
    mac: Hmac<Sha256>,
}

impl<'a> Signer<'a> {
    pub fn new(place: &'a Place, credentials: Credentials) -> Self {
        Self { place, credentials, moment: None }
    }

    /// A URL that anybody can `GET` until it expires.
    pub fn get_url(&mut self, grant: &Grant<'_>) -> String {
        let place = self.place;
        let moment = match self.moment.take() {
            Some(moment) if moment.signed_at == grant.signed_at => self.moment.insert(moment),
            _ => self.moment.insert(Moment::new(place, &self.credentials, grant.signed_at)),
        };
        let mut url = String::with_capacity(URL_CAPACITY);
        url.push_str(&place.origin);
        url.push_str(&place.path_prefix);
        url.extend(utf8_percent_encode(grant.key, KEY_ENCODED));
        url.push('?');
        let query_start = url.len();
        moment.push_query(&mut url, grant);
        let (path, query) = (&url[place.origin.len()..query_start - 1], &url[query_start..]);
        let signature = moment.signature(&place.host, path, query);
        url.push_str("&X-Amz-Signature=");
        push_hex(&mut url, &signature);
        url
    }
}

/// Longer than nearly all URLs, so that their text does not move while it grows.
const URL_CAPACITY: usize = 768;

impl Moment {
    fn new(place: &Place, credentials: &Credentials, signed_at: DateTime<Utc>) -> Self {
        let time = signed_at.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let scope = format!("{day}/{}/s3/aws4_request", place.region);
        let credential = format!("{}/{scope}", credentials.access_key_id());
        let algorithm = "AWS4-HMAC-SHA256";
        let query_head =
            format!("X-Amz-Algorithm={algorithm}&X-Amz-Credential={}&X-Amz-Date={time}&X-Amz-Expires=", encode(&credential));
        let token = credentials.session_token().map(|token| format!("&X-Amz-Security-Token={}", encode(token)));
        let query_middle = token.unwrap_or_default() + "&X-Amz-SignedHeaders=host";
        let mac = day_key(credentials, day, &place.region).chain_update(format!("{algorithm}\n{time}\n{scope}\n"));
        Self { signed_at, query_head, query_middle, mac }
    }

    /// Everything but the signature, in the order that signing wants: by name.
    fn push_query(&self, url: &mut String, grant: &Grant<'_>) {
        url.push_str(&self.query_head);
        url.push_str(&grant.expires_in.to_string());
        url.push_str(&self.query_middle);
        if let Some(disposition) = grant.content_disposition {
            url.push_str("&response-content-disposition=");
            url.extend(encode(disposition));
        }
        if let Some(content_type) = grant.content_type {
            url.push_str("&response-content-type=");
            url.extend(encode(content_type));
        }
        url.push_str("&x-id=GetObject");
    }

    fn signature(&self, host: &str, path: &str, query: &str) -> [u8; 32] {
        let mut request = Sha256::new();
        for piece in ["GET\n", path, "\n", query, "\nhost:", host, "\n\nhost\nUNSIGNED-PAYLOAD"] {
            request.update(piece);
        }
        let mut hex = String::with_capacity(64);
        push_hex(&mut hex, &request.finalize().into());
        self.mac.clone().chain_update(hex).finalize().into_bytes().into()
    }
}

/// The key that signs for a day, a region and S3.
fn day_key(credentials: &Credentials, day: &str, region: &str) -> Hmac<Sha256> {
    let secret = format!("AWS4{}", credentials.secret_access_key());
    [day, region, "s3", "aws4_request"]
        .into_iter()
        .fold(mac(secret.as_bytes()), |key, part| mac(&key.chain_update(part).finalize().into_bytes()))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// `hex::encode` collects its characters one by one, which sixty times a page is a twentieth of the page.
fn push_hex(text: &mut String, bytes: &[u8; 32]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
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
