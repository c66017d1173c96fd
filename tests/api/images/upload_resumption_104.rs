//! The status 104 (Upload Resumption Supported), read from the connection: HTTP clients hide it.

use image_service::model::id::UploadId;
use image_service::service::admission::fair_queue::TurnKey;
use image_service::store::images::uploads;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::harness::pictures::{jpeg, padded};
use crate::harness::raw_connection::{Raw, RawAnswer};
use crate::harness::{Form, TestApp};

const SENDS_104: &str = "--send-104-responses=true";
const VERSION: &str = "Upload-Draft-Interop-Version: 8\r\n";

async fn connect(app: &TestApp) -> Raw {
    let url = app.url("/");
    Raw(TcpStream::connect(url.split('/').nth(2).expect("an address")).await.expect("a connection"))
}

/// The head of a request with the whole form.
fn head(length: usize, headers: &str) -> String {
    let content_type = Form::content_type();
    format!(
        "POST /images HTTP/1.1\r\nHost: localhost\r\nX-User-Id: alice\r\nUpload-Complete: ?1\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    )
}

fn header<'a>(answer: &'a RawAnswer, name: &str) -> Option<&'a str> {
    answer
        .head
        .lines()
        .find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)))
        .map(|(_, value)| value)
}

/// Checks a 104 response. Returns the path of the upload.
fn path_of(interim: &RawAnswer) -> String {
    assert!(interim.head.starts_with("HTTP/1.1 104 Upload Resumption Supported\r\n"), "{interim:?}");
    assert_eq!(header(interim, "upload-draft-interop-version"), Some("8"));
    assert!(header(interim, "upload-limit").is_some_and(|limit| limit.starts_with("max-size=")), "{interim:?}");
    let location = header(interim, "location").expect("a location");
    location[location.find("/uploads/resumable/").expect("an upload")..].to_owned()
}

fn assert_stored(answer: &RawAnswer) {
    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(body["image_id"].is_string(), "{body}");
}

#[tokio::test]
async fn an_interrupted_form_can_be_continued() {
    let app = TestApp::with(&[SENDS_104]).await;
    let file = padded(jpeg(640, 480, 1), 300 << 10);
    let form = Form::new().text("title", "Continued").file(&file).finish();
    let mut connection = connect(&app).await;
    connection.send(head(form.len(), VERSION)).await;
    // Before any byte of the form.
    let path = path_of(&connection.read_answer().await);
    connection.send(&form[..200 << 10]).await;
    drop(connection);
    let mut offset = 0;
    for _ in 0..200 {
        let answer = app.by("alice", Method::HEAD, &path).await;
        assert_eq!((answer.status, answer.header("upload-complete")), (204, "?0"));
        assert_eq!(answer.header("upload-length"), form.len().to_string());
        offset = answer.header("upload-offset").parse().expect("an offset");
        if offset > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(offset > 0 && offset <= 200 << 10, "{offset}");
    let request = app.request(Method::PATCH, &path).header("X-User-Id", "alice").header("Upload-Offset", offset);
    let request = request.header("Upload-Complete", "?1").header("Content-Type", "application/partial-upload");
    let image = app.send(request.body(form[offset..].to_vec())).await.image();
    assert_eq!(image["title"], "Continued");
    assert!(app.fetch(image["download_url"].as_str().expect("a URL")).await.body == file);
    app.assert_sound().await;
}

#[tokio::test]
async fn each_upload_on_a_connection_gets_its_own() {
    let app = TestApp::with(&[SENDS_104]).await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let mut connection = connect(&app).await;
    let mut paths = Vec::new();
    for version in [VERSION, "Upload-Draft-Interop-Version: 8;a=1\r\nExpect: 100-continue\r\n", VERSION] {
        connection.send(head(form.len(), version)).await;
        let mut interim = vec![connection.read_answer().await];
        if version.contains("Expect") {
            interim.push(connection.read_answer().await);
            assert!(interim.iter().any(|answer| answer.head == "HTTP/1.1 100 Continue\r\n\r\n"), "{interim:?}");
        }
        paths.push(path_of(interim.iter().find(|answer| answer.head.contains(" 104 ")).expect("a 104")));
        connection.send(&form).await;
        let answer = connection.read_answer().await;
        assert_stored(&answer);
        assert_eq!(header(&answer, "upload-complete"), Some("?1"));
    }
    paths.dedup();
    assert_eq!(paths.len(), 3);
    assert_eq!(app.by("alice", Method::HEAD, &paths[0]).await.header("upload-complete"), "?1");
    assert_eq!(app.get("/images").await.ok()["total_count"], 3);
    app.assert_sound().await;
}

#[tokio::test]
async fn responses_stay_whole_if_the_client_waits_for_none() {
    let app = TestApp::with(&[SENDS_104]).await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let upload = [head(form.len(), VERSION).as_bytes(), &form].concat();
    let list = b"GET /images HTTP/1.1\r\nHost: localhost\r\nX-User-Id: alice\r\n\r\n";
    let mut connection = connect(&app).await;
    connection.send([list, upload.as_slice(), list, &upload, &upload, list].concat()).await;
    let mut statuses = Vec::new();
    while statuses.iter().filter(|status| *status == "200").count() < 6 {
        let answer = connection.read_answer().await;
        statuses.push(answer.head[9..12].to_owned());
        if answer.head.contains(" 104 ") {
            path_of(&answer);
        } else {
            serde_json::from_str::<Value>(&answer.body).expect("JSON");
        }
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 3, "{statuses:?}");
}

#[tokio::test]
async fn only_clients_that_support_it_get_a_104() {
    let (with, without) = (TestApp::with(&[SENDS_104]).await, TestApp::start().await);
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let complete = head(form.len(), VERSION);
    let heads = [
        (&without, complete.clone()),
        (&with, complete.replace("Version: 8", "Version: 3")),
        (&with, complete.replace("Version: 8", "Version: ?1")),
        (&with, complete.replace(VERSION, "")),
        (&with, complete.replace("Upload-Complete: ?1\r\n", "")),
        (&with, complete.replace("HTTP/1.1", "HTTP/1.0")),
        (&with, complete.replace(VERSION, &format!("{VERSION}Idempotency-Key: key\r\n"))),
    ];
    for (app, head) in heads {
        let mut connection = connect(app).await;
        connection.send([head.as_bytes(), &form].concat()).await;
        let answer = connection.read_answer().await;
        assert!(answer.head.starts_with("HTTP/1.") && answer.head[8..].starts_with(" 200 "), "{head}{answer:?}");
    }
    // The same as without the header, if there is no room for another upload that can be continued.
    let app = TestApp::with(&[SENDS_104, "--max-open-uploads=1"]).await;
    let mut first = connect(&app).await;
    first.send(head(form.len(), VERSION)).await;
    path_of(&first.read_answer().await);
    let mut second = connect(&app).await;
    second.send([head(form.len(), VERSION).as_bytes(), &form].concat()).await;
    assert_stored(&second.read_answer().await);
}

#[tokio::test]
async fn the_beginning_of_a_form_gets_one_too() {
    let app = TestApp::with(&[SENDS_104]).await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let mut connection = connect(&app).await;
    connection.send(head(1000, VERSION).replace("?1", "?0")).await;
    let path = path_of(&connection.read_answer().await);
    connection.send(&form[..1000]).await;
    let created = connection.read_answer().await;
    assert!(created.head.starts_with("HTTP/1.1 201 "), "{created:?}");
    assert!(header(&created, "location").is_some_and(|location| location.ends_with(&path)), "{created:?}");
    let read = app.by("alice", Method::HEAD, &path).await;
    assert_eq!((read.header("upload-offset"), read.header("upload-complete")), ("1000", "?0"));
}

#[tokio::test]
async fn a_slow_form_gets_its_progress() {
    let app = TestApp::with(&[SENDS_104]).await;
    let file = padded(jpeg(300, 200, 1), 600 << 10);
    let form = Form::new().file(&file).finish();
    let mut connection = connect(&app).await;
    connection.send(head(form.len(), VERSION)).await;
    let path = path_of(&connection.read_answer().await);
    connection.send(&form[..300 << 10]).await;
    let progress = connection.read_answer().await;
    assert!(progress.head.starts_with("HTTP/1.1 104 ") && header(&progress, "location").is_none(), "{progress:?}");
    assert_eq!(header(&progress, "upload-offset"), Some((300 << 10).to_string().as_str()));
    // What it says is stored, although the request goes on.
    assert_eq!(app.storage().keys().await.len(), 1);
    connection.send(&form[300 << 10..]).await;
    let answer = connection.read_answer().await;
    assert_stored(&answer);
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(app.fetch(body["image"]["download_url"].as_str().expect("a URL")).await.body == file);
    assert_eq!(app.by("alice", Method::HEAD, &path).await.header("upload-offset"), form.len().to_string());
    app.assert_sound().await;
}

/// Appends the first piece without ending the request that is sending.
async fn append_elsewhere(app: &TestApp, id: &str, bytes: &[u8]) {
    let id = UploadId::parse(id).expect("an id");
    let draft = uploads::find(&app.database().await, id).await.expect("an answer").expect("an upload");
    let user = TurnKey::User(draft.user_id.clone());
    let receiver = app.service().receive_upload(user, bytes.len() as u64).await.expect("memory");
    let mut piece = receiver.file();
    piece.push(bytes).await.expect("memory");
    app.service().append_piece(&draft, 0, receiver, piece).await.expect("a new offset");
}

#[tokio::test]
async fn an_upload_that_was_continued_elsewhere_is_not_ended_by_its_first_request() {
    let app = TestApp::with(&[SENDS_104]).await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    for is_closed in [false, true] {
        let mut stale = connect(&app).await;
        stale.send(head(form.len(), VERSION)).await;
        let path = path_of(&stale.read_answer().await);
        stale.send(&form[..2000]).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        // Another instance does not know of the request that is arriving here.
        let id = path.rsplit('/').next().expect("an id");
        append_elsewhere(&app, id, &form[..1000]).await;
        if is_closed {
            drop(stale);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        } else {
            stale.send(&form[2000..]).await;
            let answer = stale.read_answer().await;
            assert!(answer.head.starts_with("HTTP/1.1 409 "), "{answer:?}");
        }
        let request = app.request(Method::PATCH, &path).header("X-User-Id", "alice").header("Upload-Offset", 1000);
        let request = request.header("Upload-Complete", "?1").header("Content-Type", "application/partial-upload");
        app.send(request.body(form[1000..].to_vec())).await.ok();
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn an_upload_that_nobody_continues_is_removed() {
    let app = TestApp::with(&[SENDS_104, "--max-file-size=100KiB", "--max-open-uploads=1"]).await;
    let form = Form::new().file(&jpeg(300, 200, 1)).finish();
    let chunked = head(0, VERSION).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let too_large = format!("{chunked}40000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x40000));
    let digest = format!("{VERSION}Content-Digest: sha-256=:{}=:\r\n", "A".repeat(43));
    let wrong_digest = [head(form.len(), &digest).as_bytes(), &form].concat();
    for (request, status, after) in [(too_large.as_bytes(), 413, 404), (wrong_digest.as_slice(), 400, 204)] {
        let mut connection = connect(&app).await;
        connection.send(request).await;
        let path = path_of(&connection.read_answer().await);
        let answer = connection.read_answer().await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        // A piece that was damaged on the way can be sent again.
        assert_eq!(app.by("alice", Method::HEAD, &path).await.status, after);
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn a_form_that_is_refused_is_final() {
    let app = TestApp::with(&[SENDS_104]).await;
    let form = Form::new().text("title", "no file").finish();
    let mut connection = connect(&app).await;
    connection.send([head(form.len(), VERSION).as_bytes(), &form].concat()).await;
    let path = path_of(&connection.read_answer().await);
    let answer = connection.read_answer().await;
    answer.assert(422, "ValidationError");
    assert_eq!(header(&answer, "upload-complete"), Some("?1"));
    assert_eq!(app.by("alice", Method::HEAD, &path).await.status, 404);
}
