//! Presigned forms for `POST`, with which a browser uploads one object of a known type and a length within limits.
//!
//! The signature covers a policy, which must name every field of the form. S3 refuses any other field and any other value, so
//! the client chooses only the file.
//!
//! Method: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::presign::Signer;
use super::sigv4::{ALGORITHM, TIME_FORMAT, policy_signature};

/// The parameters of a presigned `POST`.
#[derive(Debug, Clone)]
pub struct PresignedPost<'a> {
    /// Must not contain `$`: S3 would replace `${filename}`, and misreads other dollar signs in policies (boto3 #4514).
    pub key: &'a str,
    pub signed_at: DateTime<Utc>,
    /// When S3 begins to refuse the form, rounded down to seconds; at AWS at most seven days after `signed_at`.
    pub expires_at: DateTime<Utc>,
    /// The `Content-Type` that the object gets.
    pub content_type: &'a str,
    /// The lengths in bytes that the file may have.
    pub length: RangeInclusive<u64>,
}

/// A form that any client can send until it expires, as `multipart/form-data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostForm {
    /// The address of the bucket.
    pub url: String,
    /// The names and values of the form's fields. The field `file` must follow them.
    pub fields: Vec<(&'static str, String)>,
}

impl Signer<'_> {
    /// Returns a form with which any client can upload the object until it expires.
    pub fn post_policy(&self, request: &PresignedPost<'_>) -> PostForm {
        let (secret, region) = (self.credentials.secret_access_key(), &self.address.region);
        let time = request.signed_at.format(TIME_FORMAT).to_string();
        let day = &time[..8];
        let credential = format!("{}/{day}/{region}/s3/aws4_request", self.credentials.access_key_id());
        let mut signed =
            vec![("x-amz-algorithm", ALGORITHM.to_owned()), ("x-amz-credential", credential), ("x-amz-date", time.clone())];
        if let Some(token) = self.credentials.session_token() {
            signed.push(("x-amz-security-token", token.to_owned()));
        }
        let policy = STANDARD.encode(policy(&self.address.bucket, request, &signed).to_string());
        let signature = policy_signature(secret, day, region, &policy);
        let mut fields = vec![("key", request.key.to_owned()), ("Content-Type", request.content_type.to_owned())];
        fields.extend(signed);
        fields.extend([("policy", policy), ("x-amz-signature", signature)]);
        PostForm { url: self.bucket_url(), fields }
    }

    /// Returns the address of the bucket: without a trailing slash in path style, like boto3.
    fn bucket_url(&self) -> String {
        let path = self.address.path_prefix.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or("/");
        format!("{}{path}", self.address.origin)
    }
}

/// Returns the policy of a form with these `signed` fields, besides those for the object.
fn policy(bucket: &str, request: &PresignedPost<'_>, signed: &[(&str, String)]) -> Value {
    let mut conditions = vec![
        json!({ "Content-Type": request.content_type }),
        json!(["content-length-range", request.length.start(), request.length.end()]),
        json!({ "bucket": bucket }),
        json!({ "key": request.key }),
    ];
    conditions.extend(signed.iter().map(|(name, value)| json!({ *name: value })));
    json!({ "expiration": request.expires_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), "conditions": conditions })
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::super::presign::BucketAddress;
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn form(address: &BucketAddress, token: Option<&str>) -> PostForm {
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, token.map(str::to_owned), None, "test");
        Signer::new(address, credentials).post_policy(&PresignedPost {
            key: "uploads/2b/0190",
            signed_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            expires_at: DateTime::from_timestamp(1_790_003_600, 999_000_000).unwrap(),
            content_type: "image/jpeg",
            length: 1..=5_000_000,
        })
    }

    /// The policy that boto3 1.44.5's `generate_presigned_post` returned for the same request, up to the credentials, and the
    /// signature that it returned with them.
    fn boto3(more_conditions: &str) -> String {
        let policy = r#"{"expiration": "2026-09-21T15:13:20Z", "conditions": [{"Content-Type": "image/jpeg"}, "#.to_owned()
            + r#"["content-length-range", 1, 5000000], {"bucket": "images"}, {"key": "uploads/2b/0190"}, "#
            + r#"{"x-amz-algorithm": "AWS4-HMAC-SHA256"}, "#
            + r#"{"x-amz-credential": "AKIDEXAMPLE/20260921/eu-north-1/s3/aws4_request"}, "#
            + r#"{"x-amz-date": "20260921T141320Z"}"#;
        policy + more_conditions + "]}"
    }

    #[test]
    fn forms_match_boto3s() {
        let path_style = BucketAddress::at_endpoint("S3_ENDPOINT_URL", "http://localhost:4566", "images", "eu-north-1").unwrap();
        let virtual_hosted = BucketAddress::at_aws("images", "eu-north-1");
        let token_condition = r#", {"x-amz-security-token": "token/with+odd=chars"}"#;
        let cases = [
            (
                form(&path_style, None),
                "http://localhost:4566/images",
                boto3(""),
                "31fd26c1cf924dc933739809abaa329d3c21de6f25ca815c30ff7fb4a58ab785",
            ),
            (
                form(&virtual_hosted, Some("token/with+odd=chars")),
                "https://images.s3.eu-north-1.amazonaws.com/",
                boto3(token_condition),
                "753fb6e165913fc38c3aa3e582a4fffbd0b800176f5e5332a86226e4c9fa97de",
            ),
        ];
        for (form, url, policy, signature) in cases {
            assert_eq!(form.url, url);
            let field = |name: &str| &form.fields.iter().find(|(known, _)| *known == name).unwrap().1;
            let ours: Value = serde_json::from_slice(&STANDARD.decode(field("policy")).unwrap()).unwrap();
            assert_eq!(ours, serde_json::from_str::<Value>(&policy).unwrap());
            // boto3 puts spaces into its JSON, so its signature differs.
            assert_eq!(policy_signature(SECRET, "20260921", "eu-north-1", &STANDARD.encode(&policy)), signature);
            assert_eq!(&policy_signature(SECRET, "20260921", "eu-north-1", field("policy")), field("x-amz-signature"));
        }
    }

    #[test]
    fn the_policy_names_every_field() {
        let form = form(&BucketAddress::at_aws("images.example", "eu-north-1"), Some("token"));
        assert_eq!(form.url, "https://s3.eu-north-1.amazonaws.com/images.example");
        let names: Vec<_> = form.fields.iter().map(|(name, _)| *name).collect();
        let signed = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token"];
        assert_eq!(names, [&["key", "Content-Type"], &signed[..], &["policy", "x-amz-signature"]].concat());
        let policy = form.fields.iter().find(|(name, _)| *name == "policy").unwrap();
        let policy: Value = serde_json::from_slice(&STANDARD.decode(&policy.1).unwrap()).unwrap();
        for (name, value) in form.fields.iter().filter(|(name, _)| !matches!(*name, "policy" | "x-amz-signature")) {
            assert!(policy["conditions"].as_array().unwrap().contains(&json!({ *name: value })), "{name}");
        }
    }
}
