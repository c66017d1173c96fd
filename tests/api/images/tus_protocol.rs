//! The tus protocol: what each header and method does, and the errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::tus::{create, head, metadata, offset, open, patch};
use crate::harness::pictures::jpeg;
use crate::harness::{Answer, TestApp, assert_error};

#[tokio::test]
async fn options_tells_what_is_supported() {
    let app = TestApp::with(&["--cors-origins=https://app.example.org"]).await;
    let path = open(&app, 2000).await;
    for path in ["/uploads/tus", &path] {
        let answer = app.send(app.request(Method::OPTIONS, path)).await;
        assert_eq!((answer.status, answer.header("tus-version"), answer.header("tus-resumable")), (204, "1.0.0", "1.0.0"));
        assert_eq!(answer.header("tus-extension"), "creation,creation-with-upload,expiration,checksum,termination");
        assert_eq!((answer.header("tus-max-size"), answer.header("tus-checksum-algorithm")), ("10485760", "sha1,sha256,md5"));
    }
    // A preflight is answered by the rules for origins.
    let preflight = app.request(Method::OPTIONS, &path).header("Origin", "https://app.example.org");
    let preflight = preflight.header("Access-Control-Request-Method", "PATCH");
    let allowed = app.send(preflight.header("Access-Control-Request-Headers", "tus-resumable,upload-offset")).await;
    assert_eq!(allowed.status, 200);
    for name in ["tus-resumable", "upload-length", "upload-offset", "upload-metadata", "upload-checksum"] {
        assert!(allowed.header("access-control-allow-headers").contains(name), "{name}");
    }
    let read = app.request(Method::HEAD, &path).header("Tus-Resumable", "1.0.0").header("Origin", "https://app.example.org");
    let read = app.send(read).await;
    for name in ["upload-offset", "upload-length", "upload-expires", "location", "tus-resumable"] {
        assert!(read.header("access-control-expose-headers").contains(name), "{name}");
    }
}

#[tokio::test]
async fn another_version_is_412() {
    let app = TestApp::start().await;
    let path = open(&app, 2000).await;
    for (method, path) in [(Method::POST, "/uploads/tus"), (Method::PATCH, path.as_str()), (Method::DELETE, path.as_str())] {
        for version in [None, Some("0.2.2")] {
            let request = app.request(method.clone(), path);
            let request = version.into_iter().fold(request, |request, version| request.header("Tus-Resumable", version));
            let answer = app.send(request).await;
            assert_error(&answer, 412, "PreconditionFailed");
            assert_eq!((answer.header("tus-version"), answer.header("tus-resumable")), ("1.0.0", "1.0.0"));
        }
    }
    assert_eq!(app.send(app.request(Method::HEAD, &path)).await.status, 412);
    for path in ["/uploads/tus", &path] {
        let other = app.send(app.request(Method::PUT, path).header("Tus-Resumable", "1.0.0")).await;
        assert_error(&other, 405, "MethodNotAllowed");
        assert_eq!(other.header("tus-resumable"), "1.0.0");
    }
    assert_eq!(offset(&app, &path).await, 0);
}

#[tokio::test]
async fn a_piece_must_begin_at_the_offset() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let path = open(&app, file.len()).await;
    patch(&app, &path, 0, &file[..1000]).await;
    for wrong in [0, 999, 1001, file.len(), usize::MAX] {
        let answer = patch(&app, &path, wrong, &file[..10]).await;
        assert_error(&answer, 409, "Conflict");
        assert_eq!(answer.header("upload-offset"), "1000", "{wrong}");
    }
    for wrong in ["", "-1", "+1000", "1000.0", "x"] {
        let request = app.request(Method::PATCH, &path).header("Tus-Resumable", "1.0.0").header("Upload-Offset", wrong);
        let request = request.header("Content-Type", "application/offset+octet-stream").body("piece");
        assert_error(&app.send(request).await, 400, "BadRequest");
    }
    let empty = patch(&app, &path, 1000, b"").await;
    assert_eq!((empty.status, empty.header("upload-offset")), (204, "1000"));
    let too_long = patch(&app, &path, 1000, &[&file[1000..], b"more"].concat()).await;
    assert_error(&too_long, 413, "PayloadTooLarge");
    let request = app.request(Method::PATCH, &path).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 1000);
    let request = request.header("Content-Type", "image/jpeg").body(file[1000..].to_vec());
    assert_error(&app.send(request).await, 415, "UnsupportedMediaType");
    assert_eq!(offset(&app, &path).await, 1000);
    patch(&app, &path, 1000, &file[1000..]).await.ok();
    // Nothing follows the end.
    let after = patch(&app, &path, 1000, &file[1000..]).await;
    assert_error(&after, 409, "Conflict");
    assert_eq!(after.header("upload-offset"), file.len().to_string());
    assert_eq!(patch(&app, &path, file.len(), b"").await.status, 204);
}

async fn patch_with_checksum(app: &TestApp, path: &str, piece: &[u8], checksum: &str) -> Answer {
    let request = app.request(Method::PATCH, path).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
    let request = request.header("Content-Type", "application/offset+octet-stream").header("Upload-Checksum", checksum);
    app.send(request.body(piece.to_vec())).await
}

#[tokio::test]
async fn a_piece_is_compared_with_its_checksum() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let piece = &file[..1000];
    for checksum in [
        format!("sha256 {}", STANDARD.encode(Sha256::digest(piece))),
        format!("sha1 {}", STANDARD.encode(<sha1::Sha1 as sha1::Digest>::digest(piece))),
        format!("md5 {}", STANDARD.encode(<md5::Md5 as md5::Digest>::digest(piece))),
    ] {
        let path = open(&app, file.len()).await;
        let damaged = patch_with_checksum(&app, &path, &file[..999], &checksum).await;
        assert_error(&damaged, 460, "ChecksumMismatch");
        assert_eq!(offset(&app, &path).await, 0);
        assert_eq!(patch_with_checksum(&app, &path, piece, &checksum).await.status, 204, "{checksum}");
        assert_eq!(offset(&app, &path).await, 1000);
    }
    let path = open(&app, file.len()).await;
    for checksum in ["", "sha1", "sha1 !", "sha512 YQ==", "crc32 YQ=="] {
        assert_error(&patch_with_checksum(&app, &path, piece, checksum).await, 400, "BadRequest");
    }
    assert_eq!(offset(&app, &path).await, 0);
}

#[tokio::test]
async fn an_upload_that_cannot_be_accepted_is_refused_at_once() {
    let app = TestApp::start().await;
    let own = [("user_id", "alice")];
    assert_error(&create(&app, 10_485_761, &own).await, 413, "PayloadTooLarge");
    assert_error(&create(&app, 1023, &own).await, 400, "InvalidFile");
    assert_error(&create(&app, 0, &own).await, 400, "InvalidFile");
    let invalid = [("user_id", "a b"), ("tags", "a,b!"), ("visibility", "hidden"), ("keep_location", "true")];
    let details = assert_error(&create(&app, 2000, &invalid).await, 422, "ValidationError");
    let mut named: Vec<_> = details.as_object().unwrap().keys().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(named, ["keep_location", "tags", "user_id", "visibility"]);
    assert_eq!(assert_error(&create(&app, 2000, &[]).await, 422, "ValidationError"), json!({"user_id": "is required"}));
    for (name, value, field) in [
        ("Upload-Length", "", "Upload-Length"),
        ("Upload-Length", "-1", "Upload-Length"),
        ("Upload-Defer-Length", "1", "Upload-Defer-Length"),
        ("Upload-Concat", "partial", "Upload-Concat"),
        ("Upload-Metadata", "user_id !", "Upload-Metadata"),
    ] {
        let mut request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header(name, value);
        if name != "Upload-Length" {
            request = request.header("Upload-Length", "2000");
        }
        if name != "Upload-Metadata" {
            request = request.header("Upload-Metadata", metadata(&own));
        }
        let details = assert_error(&app.send(request).await, 422, "ValidationError");
        assert!(details[field].is_string(), "{name}: {details}");
    }
    let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Content-Type", "text/plain");
    assert_error(&app.send(request.header("Upload-Length", "2000").body("x")).await, 415, "UnsupportedMediaType");
    assert_eq!(app.by("alice", Method::GET, "/uploads").await.ok()["uploads"], json!([]));
}

#[tokio::test]
async fn clients_without_patch_and_delete_override_the_method() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let path = open(&app, file.len()).await;
    let post =
        |method: &str| app.request(Method::POST, &path).header("Tus-Resumable", "1.0.0").header("X-HTTP-Method-Override", method);
    let piece = post("PATCH").header("Upload-Offset", 0).header("Content-Type", "application/offset+octet-stream");
    assert_eq!(app.send(piece.body(file[..1000].to_vec())).await.status, 204);
    let read = app.send(post("HEAD")).await;
    assert_eq!((read.status, read.header("upload-offset")), (200, "1000"));
    assert_error(&app.send(post("GET")).await, 400, "BadRequest");
    assert_eq!(app.send(post("DELETE")).await.status, 204);
    assert_eq!(head(&app, &path).await.status, 404);
    assert_error(&app.send(app.request(Method::GET, &path).header("Tus-Resumable", "1.0.0")).await, 405, "MethodNotAllowed");
}

#[tokio::test]
async fn only_the_owner_can_use_an_upload() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let path = open(&app, file.len()).await;
    let by = |user: &str, method| app.request(method, &path).header("Tus-Resumable", "1.0.0").header("X-User-Id", user);
    let piece = |request: reqwest::RequestBuilder| {
        request.header("Upload-Offset", 0).header("Content-Type", "application/offset+octet-stream").body(file.clone())
    };
    assert_eq!(app.send(by("bob", Method::HEAD)).await.status, 404);
    assert_error(&app.send(piece(by("bob", Method::PATCH))).await, 404, "NotFound");
    assert_error(&app.send(by("bob", Method::DELETE)).await, 404, "NotFound");
    app.send(piece(by("alice", Method::PATCH))).await.ok();
    let other = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Upload-Length", "2000");
    let other = other.header("Upload-Metadata", metadata(&[("user_id", "bob")])).header("X-User-Id", "alice");
    assert_error(&app.send(other).await, 403, "Forbidden");
    // The two protocols do not mix.
    let direct = json!({"file_size": 2000, "content_type": "image/jpeg", "user_id": "alice"});
    let direct = app.post_json("/uploads", &direct).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(head(&app, &format!("/uploads/tus/{direct}")).await.status, 404);
    let id = path.rsplit('/').next().unwrap();
    let listed = app.by("alice", Method::GET, &format!("/uploads/{id}")).await.ok();
    assert_eq!((&listed["status"], &listed["post"]), (&json!("complete"), &json!(null)));
    assert_error(&app.send(app.request(Method::POST, &format!("/uploads/{id}/complete"))).await, 409, "Conflict");
    for wrong in ["x", "019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17"] {
        assert_eq!(head(&app, &format!("/uploads/tus/{wrong}")).await.status, 404);
    }
}

#[tokio::test]
async fn head_never_makes_a_client_discard_its_upload_because_of_a_temporary_error() {
    let app = TestApp::with(&["--auth-mode=required", "--rate-limit-reads-per-address=1"]).await;
    let path = "/uploads/tus/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17";
    for _ in 0..3 {
        let answer = head(&app, path).await;
        assert_eq!((answer.status, answer.header("tus-resumable")), (423, "1.0.0"));
    }
    assert_error(&patch(&app, path, 0, b"piece").await, 401, "Unauthorized");
}

#[tokio::test]
async fn an_upload_whose_creation_fails_reserves_nothing() {
    let app = TestApp::with(&["--max-open-uploads=1"]).await;
    let create = |length: usize, piece: &'static [u8]| {
        let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Upload-Length", length);
        let request = request.header("Upload-Metadata", metadata(&[("user_id", "alice")]));
        request.header("Content-Type", "application/offset+octet-stream").body(piece)
    };
    let wrong = create(2000, b"piece").header("Upload-Checksum", format!("sha1 {}", STANDARD.encode([0; 20])));
    assert_error(&app.send(wrong).await, 460, "ChecksumMismatch");
    assert_error(&app.send(create(2000, &[b'a'; 2001])).await, 413, "PayloadTooLarge");
    assert_eq!(app.by("alice", Method::GET, "/uploads").await.ok()["uploads"], json!([]));
    let path = open(&app, 2000).await;
    let direct = json!({"file_size": 2000, "content_type": "image/jpeg", "user_id": "bob"});
    let direct = app.post_json("/uploads", &direct).await.json()["id"].as_str().unwrap().to_owned();
    let deleted = app.request(Method::DELETE, &format!("/uploads/tus/{direct}")).header("Tus-Resumable", "1.0.0");
    assert_error(&app.send(deleted).await, 404, "NotFound");
    app.clock.advance(chrono::TimeDelta::hours(25));
    assert_error(&patch(&app, &path, 0, b"piece").await, 404, "NotFound");
}

#[tokio::test]
async fn metadata_that_the_service_does_not_know_can_be_anything() {
    let app = TestApp::start().await;
    let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Upload-Length", "2000");
    let request = request.header("Upload-Metadata", "user_id YWxpY2U=,binary /w==,flag").header("Content-Type", "text/plain");
    assert_eq!(app.send(request).await.status, 201);
    let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Upload-Length", "2000");
    let details =
        assert_error(&app.send(request.header("Upload-Metadata", "user_id YWxpY2U=,title /w==")).await, 422, "ValidationError");
    assert_eq!(details, json!({"title": "must be UTF-8 in base64"}));
}
