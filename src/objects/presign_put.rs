//! Presigned URLs for `PUT`, with which a client uploads one object of a known type and length.
//!
//! The signature covers the type and the length, so the storage refuses a body that differs from what the service agreed to.

use chrono::{DateTime, Utc};
use percent_encoding::utf8_percent_encode;

use super::presign::Signer;
use super::sigv4::{KEY_ENCODED, push_hex};

/// The parameters of a presigned `PUT`.
#[derive(Debug, Clone)]
pub struct PresignedPut<'a> {
    pub key: &'a str,
    /// The start of the URL's lifetime.
    pub signed_at: DateTime<Utc>,
    /// The URL's lifetime in seconds; S3 allows at most seven days.
    pub expires_in: u32,
    /// The `Content-Type` that the client must send. The object gets it.
    pub content_type: &'a str,
    /// The length of the body in bytes.
    pub content_length: u64,
}

/// The headers that the signature covers, sorted as SigV4 requires.
const SIGNED_HEADERS: &str = "content-length;content-type;host";

impl Signer<'_> {
    /// Returns a URL to which any client can `PUT` the object until it expires. The client must send exactly the
    /// `Content-Type` and the `Content-Length` of the request.
    pub fn put_url(&mut self, request: &PresignedPut<'_>) -> String {
        let address = self.address;
        let context = self.context(request.signed_at);
        let mut url = format!("{}{}", address.origin, address.path_prefix);
        url.extend(utf8_percent_encode(request.key, KEY_ENCODED));
        url.push('?');
        let query_start = url.len();
        context.push_query(&mut url, request.expires_in, SIGNED_HEADERS);
        url.push_str("&x-id=PutObject");
        let (path, query) = (&url[address.origin.len()..query_start - 1], &url[query_start..]);
        let headers = format!(
            "content-length:{}\ncontent-type:{}\nhost:{}\n",
            request.content_length,
            canonical_value(request.content_type),
            address.host
        );
        let signature =
            context.signature(&["PUT\n", path, "\n", query, "\n", &headers, "\n", SIGNED_HEADERS, "\nUNSIGNED-PAYLOAD"]);
        url.push_str("&X-Amz-Signature=");
        push_hex(&mut url, &signature);
        url
    }
}

/// Trims a header's value and replaces each run of spaces by one, as SigV4 demands.
fn canonical_value(value: &str) -> String {
    value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation};
    use aws_sdk_s3::presigning::PresigningConfig;

    use super::super::presign::BucketAddress;
    use super::*;

    /// Returns the URL of the SDK's presigner for the same request.
    async fn sdk_url(endpoint: Option<&str>, credentials: &Credentials, request: &PresignedPut<'_>) -> String {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-north-1"))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
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
            .put_object()
            .bucket("images")
            .key(request.key)
            .content_type(request.content_type)
            .content_length(i64::try_from(request.content_length).unwrap());
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
            ("uploads/2b/0190", 3600, "image/jpeg", 5_000_000),
            ("uploads/h 200+é~.webp", 60, "  image/webp;   charset=\"a b\" ", 0),
        ];
        for credentials in [plain, session] {
            for (key, expires_in, content_type, content_length) in requests {
                let request = PresignedPut { key, signed_at, expires_in, content_type, content_length };
                for endpoint in ["http://localhost:4566", "https://s3.example.org:443"] {
                    let address = BucketAddress::at_endpoint("S3_ENDPOINT_URL", endpoint, "images", "eu-north-1").unwrap();
                    let ours = Signer::new(&address, credentials.clone()).put_url(&request);
                    assert!(ours.contains("&X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost&"), "{ours}");
                    assert_eq!(parts(&ours), parts(&sdk_url(Some(&address.origin), &credentials, &request).await));
                }
                let address = BucketAddress::at_aws("images", "eu-north-1");
                let ours = Signer::new(&address, credentials.clone()).put_url(&request);
                assert_eq!(parts(&ours), parts(&sdk_url(None, &credentials, &request).await));
            }
        }
    }

    #[test]
    fn one_signer_signs_for_several_methods_and_times() {
        use super::super::presign::PresignedGet;
        let address = BucketAddress::at_aws("images", "eu-north-1");
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let signed_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let later = DateTime::from_timestamp(1_790_100_000, 0).unwrap();
        let put = PresignedPut { key: "a", signed_at, expires_in: 60, content_type: "image/png", content_length: 1 };
        let get = PresignedGet { key: "a", signed_at: later, expires_in: 60, content_type: None, content_disposition: None };
        let mut signer = Signer::new(&address, credentials.clone());
        let together = (signer.put_url(&put), signer.get_url(&get), signer.put_url(&put));
        let alone = |sign: &dyn Fn(&mut Signer<'_>) -> String| sign(&mut Signer::new(&address, credentials.clone()));
        let put_alone = alone(&|signer| signer.put_url(&put));
        assert_eq!(together, (put_alone.clone(), alone(&|signer| signer.get_url(&get)), put_alone));
    }
}
