//! Resumable Uploads for HTTP: what each header and method does, and the errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::resumable_forms::{append, assert_stored, creation, finish, head, offset, open, path_of, piece, problem};
use crate::harness::pictures::{jpeg, padded};
use crate::harness::{Answer, Form, TestApp, assert_error};

#[tokio::test]
async fn a_piece_must_begin_at_the_offset() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let path = open(&app).await;
    append(&app, &path, 0, &form[..1000]).await;
    for wrong in [0, 999, 1001, form.len()] {
        let answer = append(&app, &path, wrong, &form[..10]).await;
        let body = problem(&answer, 409, "mismatching-upload-offset");
        assert_eq!((&body["expected-offset"], &body["provided-offset"]), (&json!(1000), &json!(wrong)));
        assert_eq!((answer.header("upload-offset"), answer.header("upload-complete")), ("1000", "?0"));
    }
    // Values of other types count as absent.
    for (name, wrong) in [("Upload-Offset", "-1"), ("Upload-Offset", "?1"), ("Upload-Offset", "1000.0"), ("Upload-Complete", "1")]
    {
        let request =
            app.request(Method::PATCH, &path).header("X-User-Id", "alice").header("Content-Type", "application/partial-upload");
        let other = if name == "Upload-Offset" { ("Upload-Complete", "?0") } else { ("Upload-Offset", "1000") };
        let answer = app.send(request.header(name, wrong).header(other.0, other.1).body("piece")).await;
        assert_error(&answer, 400, "BadRequest");
        assert!(answer.text().contains(name), "{}", answer.text());
    }
    let request = app.request(Method::PATCH, &path).header("X-User-Id", "alice").header("Content-Type", "image/jpeg");
    assert_error(
        &app.send(request.header("Upload-Offset", "1000").header("Upload-Complete", "?0").body("piece")).await,
        415,
        "UnsupportedMediaType",
    );
    assert_eq!(offset(&app, &path).await, 1000);
    finish(&app, &path, 1000, &form[1000..]).await.ok();
    // A client that repeats the last piece because it has lost the response finds the image.
    let image = head(&app, &path).await.header("location").to_owned();
    let repeated = [
        (finish(&app, &path, form.len(), b"").await, 410, "completed-upload"),
        (finish(&app, &path, 1000, &form[1000..]).await, 400, "inconsistent-upload-length"),
        (append(&app, &path, form.len(), b"more").await, 400, "inconsistent-upload-length"),
    ];
    for (answer, status, name) in repeated {
        problem(&answer, status, name);
        assert_eq!(answer.header("location"), image);
    }
}

#[tokio::test]
async fn lengths_must_agree() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let inconsistent = |answer: &Answer| drop(problem(answer, 400, "inconsistent-upload-length"));
    let path = open(&app).await;
    inconsistent(&app.send(piece(&app, &path, 0, "?1").header("Upload-Length", form.len() + 1).body(form.clone())).await);
    append(&app, &path, 0, &form[..1000]).await;
    let announced =
        app.send(piece(&app, &path, 1000, "?0").header("Upload-Length", form.len()).body(form[1000..2000].to_vec())).await;
    assert_eq!(announced.status, 204, "{}", announced.text());
    assert_eq!(head(&app, &path).await.header("upload-length"), form.len().to_string());
    inconsistent(&app.send(piece(&app, &path, 2000, "?0").header("Upload-Length", form.len() + 1).body("piece")).await);
    inconsistent(&finish(&app, &path, 2000, &form[2000..3000]).await);
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(form[2000..3000].to_vec())]);
    inconsistent(&app.send(piece(&app, &path, 2000, "?1").body(reqwest::Body::wrap_stream(chunks))).await);
    finish(&app, &path, 2000, &form[2000..]).await.ok();
    // More than the announced length ends the upload.
    let created = app.send(creation(&app, "?0").header("Upload-Length", 1000).body(form[..500].to_vec())).await;
    let path = path_of(&created);
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(form[500..1100].to_vec())]);
    inconsistent(&app.send(piece(&app, &path, 500, "?0").body(reqwest::Body::wrap_stream(chunks))).await);
    assert_eq!(head(&app, &path).await.status, 404);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let path = open(&app).await;
    append(&app, &path, 0, &form[..1000]).await;
    let last = || piece(&app, &path, 1000, "?1").body(form[1000..2000].to_vec());
    assert_error(&app.send(last().header("Content-Encoding", "gzip")).await, 415, "UnsupportedMediaType");
    assert_error(&app.send(last().header("Content-Digest", "nonsense!")).await, 400, "BadRequest");
    let request = app.request(Method::PATCH, &path).header("X-User-Id", "not a user!").header("Upload-Offset", 1000);
    let request = request.header("Upload-Complete", "?1").header("Content-Type", "application/partial-upload");
    assert_error(&app.send(request.body(form[1000..].to_vec())).await, 422, "ValidationError");
    assert_eq!(head(&app, &path).await.header("upload-length"), "");
    finish(&app, &path, 1000, &form[1000..]).await.ok();
    // Only uploads that were refused are counted.
    app.by("alice", Method::HEAD, "/uploads/resumable/019350a4-7f2c-7d3e-9b1a-2f6d8c4e0a17").await;
    for result in ["wrong_offset", "not_found", "body_interrupted"] {
        let series = format!("uploads_total{{method=\"resumable_form\",result=\"{result}\"}}");
        assert!(!app.get("/metrics").await.text().contains(&series), "{result}");
    }
}

#[tokio::test]
async fn uploads_that_are_too_large_are_refused_with_the_limits() {
    let app = TestApp::with(&["--max-file-size=100KiB", "--min-file-size=1"]).await;
    let max = (100 << 10) + (64 << 10);
    let refused = app.send(creation(&app, "?0").header("Upload-Length", max + 1)).await;
    assert_error(&refused, 413, "PayloadTooLarge");
    assert!(refused.header("upload-limit").starts_with(&format!("max-size={max}, ")), "{}", refused.header("upload-limit"));
    let path = open(&app).await;
    assert_error(
        &app.send(piece(&app, &path, 0, "?0").header("Upload-Length", max + 1).body("piece")).await,
        413,
        "PayloadTooLarge",
    );
    assert_eq!(offset(&app, &path).await, 0);
    for is_complete in ["?0", "?1"] {
        let refused = app.send(creation(&app, is_complete).body(vec![0; max + 1])).await;
        assert_error(&refused, 413, "PayloadTooLarge");
        assert!(refused.header("upload-limit").starts_with("max-size="), "{is_complete}");
    }
    // Too much in a piece ends the upload.
    assert_error(&append(&app, &path, 0, &vec![0; max + 1]).await, 413, "PayloadTooLarge");
    let path = open(&app).await;
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(vec![0; max + 1])]);
    assert_error(&app.send(piece(&app, &path, 0, "?0").body(reqwest::Body::wrap_stream(chunks))).await, 413, "PayloadTooLarge");
    // The form is not too large, but its file is.
    let path = open(&app).await;
    let form = Form::new().file(&padded(jpeg(100, 100, 1), 101 << 10)).finish();
    let refused = finish(&app, &path, 0, &form).await;
    assert_error(&refused, 400, "InvalidFile");
    assert_eq!(refused.header("upload-complete"), "?1");
    assert_eq!(head(&app, &path).await.status, 404);
}

#[tokio::test]
async fn a_creation_that_cannot_succeed_is_refused_at_once() {
    let app = TestApp::with(&["--max-open-uploads=1"]).await;
    let without_user =
        app.request(Method::POST, "/images").header("Content-Type", Form::content_type()).header("Upload-Complete", "?0");
    let refused = assert_error(&app.send(without_user).await, 422, "ValidationError");
    assert!(refused["user_id"].as_str().expect("a rule").contains("X-User-Id"), "{refused}");
    let with_key = assert_error(&app.send(creation(&app, "?0").header("Idempotency-Key", "key")).await, 422, "ValidationError");
    assert!(with_key["Idempotency-Key"].is_string(), "{with_key}");
    for content_type in ["image/jpeg", "multipart/form-data"] {
        let request = app.request(Method::POST, "/images").header("X-User-Id", "alice").header("Content-Type", content_type);
        let answer = app.send(request.header("Upload-Complete", "?0")).await;
        assert!([400, 415].contains(&answer.status), "{}", answer.text());
    }
    let encoded = app.send(creation(&app, "?0").header("Content-Encoding", "gzip")).await;
    assert_error(&encoded, 415, "UnsupportedMediaType");
    open(&app).await;
    assert_error(&app.send(creation(&app, "?0")).await, 429, "TooManyRequests");
}

#[tokio::test]
async fn contents_are_compared_with_their_digests() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let form = Form::new().file(&file).finish();
    let digest = |bytes: &[u8]| format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)));
    let path = open(&app).await;
    let damaged =
        app.send(piece(&app, &path, 0, "?0").header("Content-Digest", digest(b"other")).body(form[..1000].to_vec())).await;
    assert_error(&damaged, 400, "BadRequest");
    assert_eq!(offset(&app, &path).await, 0);
    for value in ["nonsense!", "sha-256=:YQ==:", "sha-256=1", "sha-256"] {
        let sent = app.send(piece(&app, &path, 0, "?0").header("Content-Digest", value).body(form[..1000].to_vec())).await;
        assert_error(&sent, 400, "BadRequest");
        assert_error(&app.send(creation(&app, "?0").header("Repr-Digest", value)).await, 400, "BadRequest");
    }
    for value in [format!("{}, unixsum=:YQ==:", digest(&form[..1000])), "sha-512=:YQ==:".to_owned()] {
        let path = open(&app).await;
        let sent = app.send(piece(&app, &path, 0, "?0").header("Content-Digest", &value).body(form[..1000].to_vec())).await;
        assert_eq!(sent.status, 204, "{value}: {}", sent.text());
    }
    for (announced, is_right) in [(digest(&form), true), (digest(b"other"), false)] {
        let created = app.send(creation(&app, "?0").header("Repr-Digest", announced).body(form[..1000].to_vec())).await;
        let path = path_of(&created);
        let answer = finish(&app, &path, 1000, &form[1000..]).await;
        assert_eq!(answer.header("upload-complete"), "?1");
        if is_right {
            assert_stored(&app, &answer.image(), &file).await;
        } else {
            assert_error(&answer, 400, "BadRequest");
            assert_eq!(head(&app, &path).await.status, 404);
        }
    }
}

#[tokio::test]
async fn options_tells_the_limits() {
    let app = TestApp::with(&["--cors-origins=https://app.example.org"]).await;
    let path = open(&app).await;
    for path in ["/images", &path] {
        let answer = app.send(app.request(Method::OPTIONS, path)).await;
        assert_eq!((answer.status, answer.header("accept-patch")), (204, "application/partial-upload"));
        assert_eq!(answer.header("upload-limit"), "max-size=10551296, max-age=86400");
    }
    let preflight = app.request(Method::OPTIONS, &path).header("Origin", "https://app.example.org");
    let preflight = preflight.header("Access-Control-Request-Method", "PATCH");
    let allowed = app.send(preflight.header("Access-Control-Request-Headers", "upload-complete,upload-offset")).await;
    for name in
        ["upload-complete", "upload-length", "upload-offset", "upload-draft-interop-version", "content-digest", "repr-digest"]
    {
        assert!(allowed.header("access-control-allow-headers").contains(name), "{name}");
    }
    let read =
        app.send(app.request(Method::HEAD, &path).header("X-User-Id", "alice").header("Origin", "https://app.example.org")).await;
    for name in ["upload-offset", "upload-complete", "upload-length", "upload-limit", "location"] {
        assert!(read.header("access-control-expose-headers").contains(name), "{name}");
    }
}
