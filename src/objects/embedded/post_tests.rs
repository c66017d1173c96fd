//! Tests of form uploads over HTTP: what is stored, and every refusal.

use std::fs;

use aws_credential_types::Credentials as AwsCredentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::storage::ObjectFile;
use super::{Embedded, EmbeddedConfig};
use crate::model::clock::{Clock as _, SystemClock};
use crate::objects::presign::{BucketAddress, PresignedGet, Signer};
use crate::objects::presign_post::PresignedPost;
use crate::objects::sigv4::policy_signature;

const BOUNDARY: &str = "x-boundary";
pub(super) const FORM: &str = "multipart/form-data; boundary=x-boundary";

/// A running server and a client of it.
pub(super) struct TestServer {
    pub(super) server: Embedded,
    address: BucketAddress,
    pub(super) client: Client,
    directory: TempDir,
}

impl TestServer {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(change: impl FnOnce(&mut EmbeddedConfig)) -> Self {
        let directory = TempDir::new().unwrap();
        let mut config = EmbeddedConfig::new(directory.path(), ([127, 0, 0, 1], 0).into(), "images");
        change(&mut config);
        let server = Embedded::start(config).await.unwrap();
        let endpoint = format!("http://{}", server.address);
        let address = BucketAddress::at_endpoint("S3_ENDPOINT_URL", &endpoint, "images", "eu-north-1").unwrap();
        Self { server, address, client: Client::builder().no_proxy().build().unwrap(), directory }
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        let keys = &self.server.credentials;
        Signer::new(&self.address, AwsCredentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "test"))
    }

    /// Returns the fields of a form that the service would hand out for `a/b`: a JPEG of 2 to 10 bytes.
    pub(super) fn form(&self) -> Form {
        let (signed_at, expires_at) = (now(), now() + TimeDelta::minutes(1));
        let request = PresignedPost { key: "a/b", signed_at, expires_at, content_type: "image/jpeg", length: 2..=10 };
        let fields = self.signer().post_policy(&request).fields;
        Form(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Returns a form with a policy that names these fields and has these further conditions.
    pub(super) fn signed_form(&self, fields: &[(&str, &str)], conditions: &[Value]) -> Form {
        let names = fields.iter().map(|(name, value)| json!({ *name: value }));
        let conditions: Vec<_> = names.chain(conditions.iter().cloned()).collect();
        self.form_with_policy(fields, &json!({ "expiration": now() + TimeDelta::minutes(1), "conditions": conditions }))
    }

    /// Returns a form with a policy to which only the conditions for the bucket and the signature are added.
    fn form_with_policy(&self, fields: &[(&str, &str)], policy: &Value) -> Form {
        let keys = &self.server.credentials;
        let time = now().format("%Y%m%dT%H%M%SZ").to_string();
        let credential = format!("{}/{}/eu-north-1/s3/aws4_request", keys.access_key_id, &time[..8]);
        let signed = [("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", &credential), ("X-Amz-Date", &time)];
        let mut policy = policy.clone();
        if let Some(conditions) = policy["conditions"].as_array_mut() {
            conditions.push(json!({ "bucket": "images" }));
            conditions.extend(signed.iter().map(|(name, value)| json!({ *name: value })));
        }
        let policy = STANDARD.encode(policy.to_string());
        let signature = policy_signature(&keys.secret_access_key, &time[..8], "eu-north-1", &policy);
        let fields = fields.iter().chain(&signed).copied().chain([("Policy", &*policy), ("X-Amz-Signature", &*signature)]);
        Form(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(super) async fn post(&self, body: Vec<u8>) -> Response {
        self.post_to("images", FORM, body).await
    }

    pub(super) async fn post_to(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let url = format!("http://{}/{path}", self.server.address);
        self.client.post(url).header("Content-Type", content_type).body(body).send().await.unwrap()
    }

    pub(super) async fn get(&self, key: &str) -> Response {
        let request = PresignedGet { key, signed_at: now(), expires_in: 60, content_type: None, content_disposition: None };
        self.client.get(self.signer().get_url(&request)).send().await.unwrap()
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        let file = ObjectFile::of(key);
        self.directory.path().join(format!("buckets/images/{:02x}/{}", file.shard, file.name)).exists()
    }

    /// Asserts that the request was refused and stored nothing.
    pub(super) async fn assert_refused(&self, response: Response, status: u16, code: &str, what: &str) {
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{what}");
        let (found, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(found, status, "{what}: {text}");
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{what}: {text}");
        assert!(!self.exists("a/b"), "{what} stored an object");
        self.assert_no_unfinished_upload(what);
    }

    pub(super) fn assert_no_unfinished_upload(&self, what: &str) {
        assert_eq!(fs::read_dir(self.directory.path().join("incoming")).unwrap().count(), 0, "{what}");
    }
}

/// The fields of a form, without the file.
#[derive(Clone)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    fn set(mut self, name: &str, value: &str) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(field) => value.clone_into(&mut field.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    pub(super) fn fields(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, value)| part(&format!("name=\"{name}\""), value.as_bytes())).collect()
    }

    pub(super) fn body(&self, file: &[u8]) -> Vec<u8> {
        [self.fields(), part("name=\"file\"; filename=\"c.jpg\"", file), end()].concat()
    }
}

pub(super) fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

pub(super) fn end() -> Vec<u8> {
    format!("--{BOUNDARY}--\r\n").into_bytes()
}

pub(super) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

#[tokio::test]
async fn a_form_within_its_policy_stores_the_file() {
    let server = TestServer::start().await;
    for path in ["images", "images/", "%69mages", "images?x"] {
        let response = server.post_to(path, FORM, server.form().body(b"image")).await;
        let location = format!("http://{}/images/a%2Fb", server.server.address);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), header("location")), (204, location));
        assert_eq!(header("etag"), "\"78805a221a988e79ef3f42d7c5bfd418\"");
        assert_eq!(header("access-control-allow-origin"), "*");
        assert!(header("access-control-expose-headers").contains("ETag") && header("x-content-type-options") == "nosniff");
        let object = server.get("a/b").await;
        assert_eq!(object.headers()["content-type"], "image/jpeg");
        assert_eq!(object.bytes().await.unwrap(), b"image".as_slice());
    }
    server.assert_no_unfinished_upload("a completed upload");
}

#[tokio::test]
async fn what_is_stored_is_the_same_as_for_a_put() {
    let server = TestServer::start().await;
    let fields = [
        ("key", "u/${filename}"),
        ("Content-Type", "image/png"),
        ("Content-Disposition", "inline"),
        ("Cache-Control", "no-store"),
        ("x-amz-meta-Name", "${filename}"),
        ("Content-MD5", "eIBaIhqYjnnvP0LXxb/UGA=="),
        ("x-amz-checksum-crc32", "xT0EXw=="),
        ("acl", "private"),
        ("success_action_status", "201"),
    ];
    let conditions = [json!(["starts-with", "$key", "u/"]), json!(["starts-with", "$x-amz-meta-name", ""])];
    let named = fields.iter().filter(|(name, _)| !matches!(*name, "key" | "x-amz-meta-Name")).map(|(n, v)| json!({ *n: v }));
    let policy = json!({ "expiration": now() + TimeDelta::minutes(1), "conditions": Vec::from_iter(named.chain(conditions)) });
    let form = server.form_with_policy(&fields, &policy);
    let file = part("name=\"FILE\"; filename=\"C:\\photos\\é.png\"", b"image");
    // Parts after the file are ignored, and so is an epilogue.
    let after = [part("name=\"submit\"", b"Upload"), part("name=\"key\"", b"other"), end(), b"epilogue".to_vec()].concat();
    let response = server.post([form.fields(), file, after].concat()).await;
    assert_eq!(response.status(), 201);
    let text = response.text().await.unwrap();
    assert!(text.contains("<Key>u/é.png</Key><ETag>\"78805a221a988e79ef3f42d7c5bfd418\"</ETag></PostResponse>"), "{text}");
    let object = server.get("u/é.png").await;
    let header = |name: &str| object.headers()[name].to_str().unwrap();
    assert_eq!((header("content-type"), header("content-disposition")), ("image/png", "inline"));
    assert_eq!((header("cache-control"), header("x-amz-meta-name")), ("no-store", "=?UTF-8?B?w6kucG5n?="));
}

#[tokio::test]
async fn a_form_that_differs_from_its_policy_is_denied() {
    let server = TestServer::start().await;
    let form = || server.form();
    let expired = json!({ "expiration": now(), "conditions": [{ "key": "a/b" }] });
    for (what, form, file, status, code) in [
        ("another key", form().set("key", "a/c"), "image", 403, "AccessDenied"),
        ("another type", form().set("Content-Type", "text/html"), "image", 403, "AccessDenied"),
        ("no type", form().without(&["Content-Type"]), "image", 403, "AccessDenied"),
        ("a field without a condition", form().set("x-amz-meta-a", "b"), "image", 403, "AccessDenied"),
        ("a status without a condition", form().set("success_action_status", "201"), "image", 403, "AccessDenied"),
        ("an expired policy", server.form_with_policy(&[("key", "a/b")], &expired), "image", 403, "AccessDenied"),
        ("a file that is too long", form(), "12345678901", 400, "EntityTooLarge"),
        ("a file that is too short", form(), "1", 400, "EntityTooSmall"),
        ("an empty file", form(), "", 400, "EntityTooSmall"),
        ("a wrong signature", form().set("x-amz-signature", &"0".repeat(64)), "image", 403, "SignatureDoesNotMatch"),
        ("another policy", form().set("policy", &STANDARD.encode(expired.to_string())), "image", 403, "SignatureDoesNotMatch"),
        (
            "an unknown access key",
            form().set("x-amz-credential", "EKNOBODY/20261130/eu-north-1/s3/aws4_request"),
            "image",
            403,
            "InvalidAccessKeyId",
        ),
        ("no credentials", form().without(&SIGNATURE), "image", 403, "AccessDenied"),
        ("no signature", form().without(&["x-amz-signature"]), "image", 400, "InvalidArgument"),
        ("no policy", form().without(&["policy"]), "image", 400, "InvalidArgument"),
        ("Signature Version 2", form().set("AWSAccessKeyId", "x").set("signature", "x"), "image", 400, "InvalidRequest"),
        ("a malformed policy", server.form_with_policy(&[("key", "a/b")], &json!({})), "image", 400, "InvalidPolicyDocument"),
        ("no key", form().without(&["key"]), "image", 400, "InvalidArgument"),
    ] {
        server.assert_refused(server.post(form.body(file.as_bytes())).await, status, code, what).await;
    }
}

const SIGNATURE: [&str; 5] = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "policy"];

#[tokio::test]
async fn fields_that_cannot_be_stored_are_refused_even_if_the_policy_allows_them() {
    let server = TestServer::start_with(|config| config.limits.object_bytes = 20).await;
    let long = "k".repeat(1025);
    for (name, value, status, code) in [
        ("x-amz-server-side-encryption", "AES256", 501, "NotImplemented"),
        ("x-amz-server-side-encryption-customer-key", "x", 501, "NotImplemented"),
        ("acl", "public-read", 501, "NotImplemented"),
        ("tagging", "<Tagging/>", 501, "NotImplemented"),
        ("x-amz-storage-class", "GLACIER", 501, "NotImplemented"),
        ("x-amz-object-lock-mode", "GOVERNANCE", 501, "NotImplemented"),
        ("x-amz-website-redirect-location", "/", 501, "NotImplemented"),
        ("Expires", "0", 501, "NotImplemented"),
        ("Content-Type", "text/html\r\nSet-Cookie: a=b", 400, "InvalidArgument"),
        ("Content-Disposition", "é", 400, "InvalidArgument"),
        ("x-amz-meta-a b", "x", 400, "InvalidArgument"),
        ("x-amz-meta-a", &"x".repeat(2048), 400, "MetadataTooLarge"),
        ("Content-MD5", "no", 400, "InvalidDigest"),
        ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==", 400, "BadDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", 400, "BadDigest"),
    ] {
        let form = server.signed_form(&[("key", "a/b"), (name, value)], &[]);
        server.assert_refused(server.post(form.body(b"image")).await, status, code, name).await;
    }
    for (key, code) in [("", "KeyTooLongError"), (&*long, "KeyTooLongError"), ("a\u{1}", "InvalidArgument")] {
        let response = server.post(server.signed_form(&[("key", key)], &[]).body(b"image")).await;
        server.assert_refused(response, 400, code, "the key").await;
    }
    let form = server.signed_form(&[("key", "a/b")], &[json!(["content-length-range", 0, 1000])]);
    server.assert_refused(server.post(form.body(&[0; 21])).await, 400, "EntityTooLarge", "the server's own limit").await;
}

#[tokio::test]
async fn a_malformed_form_stores_nothing() {
    let server = TestServer::start().await;
    let fields = server.form().fields();
    let file = part("name=\"file\"; filename=\"c\"", b"image");
    let whole = [fields.clone(), file.clone(), end()].concat();
    let large = server.form().set("x-ignore-a", &"x".repeat(20 << 10)).body(b"image");
    let many = Form((0..10_000).map(|number| (format!("x-ignore-{number}"), String::new())).collect()).body(b"image");
    let malformed = "MalformedPOSTRequest";
    for (what, body, code) in [
        ("an empty body", Vec::new(), malformed),
        ("no part", end(), "InvalidArgument"),
        ("no file", [fields.clone(), end()].concat(), "InvalidArgument"),
        ("two files", [fields.clone(), file.clone(), file.clone(), end()].concat(), "InvalidArgument"),
        ("the file before the fields", [file.clone(), fields.clone(), end()].concat(), "InvalidArgument"),
        ("two fields with one name", [part("name=KEY", b"a/b"), whole.clone()].concat(), "InvalidArgument"),
        ("a part without a name", [part("x=y", b"z"), whole.clone()].concat(), malformed),
        ("a field that is not UTF-8", [part("name=\"x-ignore-a\"", b"\xff"), whole.clone()].concat(), "InvalidArgument"),
        ("no last boundary", [fields.clone(), file.clone()].concat(), malformed),
        ("half a last boundary", whole[..whole.len() - 4].to_vec(), malformed),
        ("a truncated file", whole[..whole.len() - 22].to_vec(), malformed),
        ("truncated fields", whole[..200].to_vec(), malformed),
        ("a broken part after the file", [fields.clone(), file.clone(), b"--x-boundary\r\n".to_vec()].concat(), malformed),
        ("no boundary", vec![b'x'; 1 << 20], malformed),
        ("a head without an end", [b"--x-boundary\r\nA: ".to_vec(), vec![b'x'; 1 << 20]].concat(), malformed),
        ("an endless epilogue", [whole.clone(), vec![b'x'; 1 << 20]].concat(), malformed),
        ("large fields", large, "MaxPostPreDataLengthExceeded"),
        ("many fields", many, "MaxPostPreDataLengthExceeded"),
        (
            "a long file name",
            [fields.clone(), part(&format!("name=file; filename={}", "x".repeat(1025)), b"image"), end()].concat(),
            "InvalidArgument",
        ),
    ] {
        server.assert_refused(server.post(body).await, 400, code, what).await;
    }
    for (path, content_type, status, code) in [
        ("other", FORM, 404, "NoSuchBucket"),
        ("other/a", FORM, 405, "MethodNotAllowed"),
        ("images/a/b", FORM, 405, "MethodNotAllowed"),
        ("images//", FORM, 405, "MethodNotAllowed"),
        ("", FORM, 405, "MethodNotAllowed"),
        ("images", "multipart/mixed; boundary=x-boundary", 412, "PreconditionFailed"),
        ("images", "multipart/form-data", 400, malformed),
        ("images", "multipart/form-data; boundary=\"\"", 400, malformed),
        ("images", &format!("multipart/form-data; boundary={}", "x".repeat(71)), 400, malformed),
        ("images", "multipart/form-data; boundary=x", 400, malformed),
    ] {
        let response = server.post_to(path, content_type, whole.clone()).await;
        server.assert_refused(response, status, code, &format!("{path} {content_type}")).await;
    }
}
