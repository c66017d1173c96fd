//! Resumable Uploads for HTTP: forms arrive in pieces, are interrupted and continued, and become images.

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::pictures::{jpeg, padded};
use crate::harness::raw_connection::Raw;
use crate::harness::{Answer, Form, TestApp, assert_error};

/// A request of alice's that creates an upload.
pub(super) fn creation(app: &TestApp, is_complete: &str) -> RequestBuilder {
    let request = app.request(Method::POST, "/images").header("X-User-Id", "alice").header("Content-Type", Form::content_type());
    request.header("Upload-Complete", is_complete)
}

/// Creates an upload of alice's without a piece. Returns its path.
pub(super) async fn open(app: &TestApp) -> String {
    path_of(&app.send(creation(app, "?0")).await)
}

pub(super) fn path_of(created: &Answer) -> String {
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location");
    location[location.find("/uploads/resumable/").expect("an upload")..].to_owned()
}

pub(super) fn piece(app: &TestApp, path: &str, offset: usize, is_complete: &str) -> RequestBuilder {
    let request = app.request(Method::PATCH, path).header("X-User-Id", "alice").header("Upload-Offset", offset);
    request.header("Upload-Complete", is_complete).header("Content-Type", "application/partial-upload")
}

pub(super) async fn append(app: &TestApp, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    app.send(piece(app, path, offset, "?0").body(bytes.to_vec())).await
}

pub(super) async fn finish(app: &TestApp, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    app.send(piece(app, path, offset, "?1").body(bytes.to_vec())).await
}

pub(super) async fn head(app: &TestApp, path: &str) -> Answer {
    app.by("alice", Method::HEAD, path).await
}

/// Returns how many bytes have arrived, of an upload that is not complete.
pub(super) async fn offset(app: &TestApp, path: &str) -> usize {
    let answer = head(app, path).await;
    assert_eq!((answer.status, answer.header("upload-complete"), answer.header("cache-control")), (204, "?0", "no-store"));
    answer.header("upload-offset").parse().expect("an offset")
}

pub(super) async fn assert_stored(app: &TestApp, image: &Value, file: &[u8]) {
    let url = image["download_url"].as_str().expect("a URL");
    assert!(app.fetch(url).await.body == file, "the stored file differs");
}

pub(super) fn problem(answer: &Answer, status: u16, name: &str) -> Value {
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

/// Sends the head of a piece and the beginning of it.
async fn begin_piece(app: &TestApp, path: &str, is_complete: &str, announced: usize, bytes: &[u8]) -> Raw {
    let url = app.url(path);
    let mut connection = Raw(TcpStream::connect(url.split('/').nth(2).expect("an address")).await.expect("a connection"));
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nX-User-Id: alice\r\nUpload-Complete: {is_complete}\r\nUpload-Offset: 0\r\n\
         Content-Type: application/partial-upload\r\nContent-Length: {announced}\r\n\r\n"
    );
    connection.send([head.as_bytes(), bytes].concat()).await;
    connection
}

/// Waits until the service has read what was sent, also on a busy machine. Nothing else shows it.
async fn arrive() {
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_new_piece_ends_the_one_before() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let form = Form::new().file(&file).finish();
    for is_complete in ["?0", "?1"] {
        let path = open(&app).await;
        let mut stale = begin_piece(&app, &path, is_complete, form.len(), &form[..5000]).await;
        arrive().await;
        // What it has sent is kept, so the new piece begins at the wrong offset, and nothing is lost.
        let other = app.send(piece(&app, &path, 0, "?0").body("other")).await;
        assert_eq!(problem(&other, 409, "mismatching-upload-offset")["expected-offset"], 5000);
        stale.read_answer().await.assert(400, "BadRequest");
        let image = finish(&app, &path, 5000, &form[5000..]).await.image();
        assert_stored(&app, &image, &file).await;
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn the_offset_never_exceeds_the_length() {
    let app = TestApp::start().await;
    let form = Form::new().file(&jpeg(640, 480, 1)).finish();
    let path = open(&app).await;
    // Another instance does not know of the piece that is arriving here, and records a length.
    let stale = begin_piece(&app, &path, "?0", 5000, &form[..4000]).await;
    arrive().await;
    let id = image_service::model::id::UploadId::parse(path.rsplit('/').next().expect("an id")).expect("an id");
    let db = app.database().await;
    let mut tx = db.begin().await.expect("a transaction");
    assert!(image_service::store::images::uploads::set_length(&mut tx, id, 0, 10).await.expect("an answer"));
    tx.commit().await.expect("a commit");
    let mut stale = stale;
    stale.send(&form[4000..5000]).await;
    stale.read_answer().await.assert(413, "PayloadTooLarge");
    assert_eq!(head(&app, &path).await.status, 404);
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.assert_sound().await;
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
        // A client that has lost the response can ask why.
        let view = app.by("alice", Method::GET, &format!("/uploads/{}", path.rsplit('/').next().expect("an id"))).await.ok();
        assert_eq!((&view["status"], &view["error"]), (&json!("failed"), &refused.json()["message"]));
        assert_eq!(app.storage().keys().await, [""; 0]);
    }
    let path = open(&app).await;
    let cut = finish(&app, &path, 0, &Form::new().file(&file).finish()[..2000]).await;
    assert_error(&cut, 400, "BadRequest");
    assert_eq!(cut.header("upload-complete"), "?1");
    app.assert_sound().await;
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
    assert_eq!((&view["method"], &view["status"]), (&json!("resumable_form"), &json!("open")));
    assert_eq!(view["file_size"], Value::Null);
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
    assert!(stored.iter().all(|id| *id == stored[0]));
    for answer in &answers {
        assert!([200, 400, 409, 423].contains(&answer.status), "{} {}", answer.status, answer.text());
        if answer.status == 409 {
            problem(answer, 409, "mismatching-upload-offset");
        }
    }
    // Each ends the one before. If that has happened to all of them, what they have sent is there.
    if head(&app, &path).await.header("upload-complete") == "?0" {
        let sent = offset(&app, &path).await;
        assert!(sent > 2000);
        finish(&app, &path, sent, &form[sent..]).await.ok();
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
