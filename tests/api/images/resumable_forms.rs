//! Resumable Uploads for HTTP: forms arrive in pieces, are interrupted and continued, and become images.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::pictures::{jpeg, padded};
use crate::harness::{Answer, Form, TestApp, assert_error};

/// A request of alice's that creates an upload.
fn creation(app: &TestApp, is_complete: &str) -> RequestBuilder {
    let request = app.request(Method::POST, "/images").header("X-User-Id", "alice").header("Content-Type", Form::content_type());
    request.header("Upload-Complete", is_complete)
}

/// Creates an upload of alice's without a piece. Returns its path.
async fn open(app: &TestApp) -> String {
    path_of(&app.send(creation(app, "?0")).await)
}

fn path_of(created: &Answer) -> String {
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location");
    location[location.find("/uploads/resumable/").expect("an upload")..].to_owned()
}

fn piece(app: &TestApp, path: &str, offset: usize, is_complete: &str) -> RequestBuilder {
    let request = app.request(Method::PATCH, path).header("X-User-Id", "alice").header("Upload-Offset", offset);
    request.header("Upload-Complete", is_complete).header("Content-Type", "application/partial-upload")
}

async fn append(app: &TestApp, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    app.send(piece(app, path, offset, "?0").body(bytes.to_vec())).await
}

async fn finish(app: &TestApp, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    app.send(piece(app, path, offset, "?1").body(bytes.to_vec())).await
}

async fn head(app: &TestApp, path: &str) -> Answer {
    app.by("alice", Method::HEAD, path).await
}

/// Returns how many bytes have arrived, of an upload that is not complete.
async fn offset(app: &TestApp, path: &str) -> usize {
    let answer = head(app, path).await;
    assert_eq!((answer.status, answer.header("upload-complete"), answer.header("cache-control")), (204, "?0", "no-store"));
    answer.header("upload-offset").parse().expect("an offset")
}

async fn assert_stored(app: &TestApp, image: &Value, file: &[u8]) {
    let url = image["download_url"].as_str().expect("a URL");
    assert!(app.fetch(url).await.body == file, "the stored file differs");
}

fn problem(answer: &Answer, status: u16, name: &str) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{}", answer.text());
    let body: Value = serde_json::from_str(answer.text()).expect("JSON");
    assert_eq!(body["type"], format!("https://iana.org/assignments/http-problem-types#{name}"));
    assert_eq!(body["status"], status);
    body
}

#[tokio::test]
async fn a_form_in_pieces_becomes_an_image() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let form = Form::new().text("title", "日の入り").text("tags", "Sea, sun").file_named("sun set.jpg", "image/jpeg", &file);
    let form = form.text("visibility", "private").finish();
    let created = app.send(creation(&app, "?0").header("Upload-Length", form.len())).await;
    assert_eq!((created.header("upload-offset"), created.header("upload-complete"), created.text()), ("0", "?0", ""));
    assert!(created.header("upload-limit").starts_with("max-size=10551296, max-age=86"), "{}", created.header("upload-limit"));
    let path = path_of(&created);
    let mut sent = 0;
    for bytes in form[..form.len() - 1].chunks(5000) {
        let answer = append(&app, &path, sent, bytes).await;
        sent += bytes.len();
        assert_eq!((answer.status, answer.header("upload-complete")), (204, "?0"), "{}", answer.text());
        assert_eq!(answer.header("upload-offset"), sent.to_string());
        assert_eq!(offset(&app, &path).await, sent);
    }
    assert_eq!(head(&app, &path).await.header("upload-length"), form.len().to_string());
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    let last = finish(&app, &path, sent, &form[sent..]).await;
    let image = last.image();
    assert_eq!(last.header("upload-complete"), "?1");
    let address = format!("/images/{}", last.image_id());
    assert!(last.header("location").ends_with(&address));
    for (name, value) in [("title", "日の入り"), ("file_name", "sun set.jpg"), ("visibility", "private"), ("user_id", "alice")]
    {
        assert_eq!(image[name], value);
    }
    assert_eq!(image["tags"], json!(["sea", "sun"]));
    assert_stored(&app, &image, &file).await;
    // A client that has lost the response learns that the upload is complete, and where the image is.
    let done = head(&app, &path).await;
    assert_eq!((done.status, done.header("upload-complete")), (204, "?1"));
    assert_eq!(
        (done.header("upload-offset"), done.header("upload-length")),
        (&*form.len().to_string(), &*form.len().to_string())
    );
    assert!(done.header("location").ends_with(&address));
    assert!(app.storage().keys().await.iter().all(|key| !key.starts_with("incoming/")));
    assert_eq!(app.metric("uploads_total{method=\"resumable_form\",result=\"stored\"}").await, 1.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn an_upload_can_begin_with_a_piece_and_end_without_one() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let form = Form::new().file(&file).finish();
    let created = app.send(creation(&app, "?0").body(form.clone())).await;
    assert_eq!(created.header("upload-offset"), form.len().to_string());
    let path = path_of(&created);
    // All bytes are there, but the client has not said that these are all.
    assert_eq!(offset(&app, &path).await, form.len());
    assert_eq!(head(&app, &path).await.header("upload-length"), "");
    let image = finish(&app, &path, form.len(), b"").await.image();
    assert_stored(&app, &image, &file).await;
    assert_eq!(head(&app, &path).await.header("upload-length"), form.len().to_string());
    app.assert_sound().await;
}

#[tokio::test]
async fn a_whole_form_in_one_piece_needs_no_length() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let form = Form::new().file(&file).finish();
    let path = open(&app).await;
    let chunks =
        futures::stream::iter(form.chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>());
    let image = app.send(piece(&app, &path, 0, "?1").body(reqwest::Body::wrap_stream(chunks))).await.image();
    assert_stored(&app, &image, &file).await;
    assert_eq!(head(&app, &path).await.header("upload-offset"), form.len().to_string());
    // A request that announces that it has everything is an ordinary upload.
    let whole = app.send(creation(&app, "?1").body(form)).await;
    whole.ok();
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}

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
    problem(&finish(&app, &path, form.len(), b"").await, 410, "completed-upload");
    problem(&append(&app, &path, form.len(), b"more").await, 400, "inconsistent-upload-length");
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
    assert_error(&append(&app, &path, 0, &vec![0; max + 1]).await, 413, "PayloadTooLarge");
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(vec![0; max + 1])]);
    assert_error(&app.send(piece(&app, &path, 0, "?0").body(reqwest::Body::wrap_stream(chunks))).await, 413, "PayloadTooLarge");
    assert_eq!(offset(&app, &path).await, 0);
    // The form is not too large, but its file is.
    let form = Form::new().file(&padded(jpeg(100, 100, 1), 101 << 10)).finish();
    let refused = finish(&app, &path, 0, &form).await;
    assert_error(&refused, 400, "InvalidFile");
    assert_eq!(refused.header("upload-complete"), "?1");
    assert_eq!(head(&app, &path).await.status, 404);
}

#[tokio::test]
async fn a_form_that_is_refused_ends_the_upload() {
    let app = TestApp::with(&["--max-open-uploads=1"]).await;
    let file = jpeg(300, 200, 1);
    let damaged = file[..file.len() / 2].to_vec();
    let forms = [
        (Form::new().text("title", "no file"), 422, "ValidationError"),
        (Form::new().text("title", &"x".repeat(201)).file(&file), 422, "ValidationError"),
        (Form::new().text("user_id", "bob").file(&file), 422, "ValidationError"),
        (Form::new().file(&damaged), 400, "InvalidFile"),
        (
            Form::new().file(b"This is not an image, but it is long enough to be one. ".repeat(20).as_slice()),
            415,
            "UnsupportedMediaType",
        ),
    ];
    for (form, status, error) in forms {
        let form = form.finish();
        let path = open(&app).await;
        append(&app, &path, 0, &form[..50]).await;
        let refused = finish(&app, &path, 50, &form[50..]).await;
        assert_error(&refused, status, error);
        assert_eq!(refused.header("upload-complete"), "?1");
        assert_eq!(head(&app, &path).await.status, 404);
        assert_eq!(app.storage().keys().await, [""; 0]);
    }
    let path = open(&app).await;
    let cut = finish(&app, &path, 0, &Form::new().file(&file).finish()[..2000]).await;
    assert_error(&cut, 400, "BadRequest");
    assert_eq!(cut.header("upload-complete"), "?1");
    app.assert_sound().await;
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
    for value in [format!("{}, unixsum=:YQ==:", digest(&form[..1000])), "sha-512=:YQ==:".to_owned(), "nonsense!".to_owned()] {
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

#[tokio::test]
async fn an_upload_belongs_to_its_user() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let path = open(&app).await;
    append(&app, &path, 0, &form[..1000]).await;
    for method in [Method::HEAD, Method::DELETE] {
        assert_eq!(app.by("bob", method, &path).await.status, 404);
    }
    let request = app.request(Method::PATCH, &path).header("X-User-Id", "bob").header("Upload-Offset", 1000);
    let request = request.header("Upload-Complete", "?1").header("Content-Type", "application/partial-upload");
    assert_error(&app.send(request.body(form[1000..].to_vec())).await, 404, "NotFound");
    // The protocols do not mix.
    let tus = app.request(Method::HEAD, &path.replace("resumable", "tus")).header("Tus-Resumable", "1.0.0");
    assert_eq!(app.send(tus.header("X-User-Id", "alice")).await.status, 404);
    let id = path.rsplit('/').next().expect("an id");
    let view = app.by("alice", Method::GET, &format!("/uploads/{id}")).await.ok();
    assert_eq!((&view["status"], &view["file_size"]), (&json!("open"), &Value::Null));
    assert_eq!(app.by("alice", Method::DELETE, &path).await.status, 204);
    assert_eq!(head(&app, &path).await.status, 404);
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_last_pieces_make_one_image() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(640, 480, 1)).finish();
    let path = open(&app).await;
    append(&app, &path, 0, &form[..2000]).await;
    let answers = join_all((0..6).map(|_| finish(&app, &path, 2000, &form[2000..]))).await;
    let stored: Vec<_> = answers.iter().filter(|answer| answer.status == 200).map(Answer::image_id).collect();
    assert!(!stored.is_empty() && stored.iter().all(|id| *id == stored[0]));
    for answer in &answers {
        assert!([200, 400, 404, 409, 410, 423].contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_last_piece_needs_no_memory_that_its_own_request_holds() {
    for disk in ["0", "64MiB"] {
        let disk = format!("--upload-disk-budget={disk}");
        let app = TestApp::with(&[&disk, "--upload-memory-budget=32MiB"]).await;
        let file = padded(jpeg(640, 480, 1), 10 << 20);
        let form = Form::new().file(&file).finish();
        let path = open(&app).await;
        assert_eq!(append(&app, &path, 0, &form[..1 << 20]).await.status, 204);
        let image = finish(&app, &path, 1 << 20, &form[1 << 20..]).await.image();
        assert_stored(&app, &image, &file).await;
        let path = open(&app).await;
        let image = finish(&app, &path, 0, &form).await.image();
        assert_stored(&app, &image, &file).await;
    }
}
