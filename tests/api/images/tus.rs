//! Resumable uploads with tus: files arrive in pieces, are interrupted and continued, and become images.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::join_all;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::pictures::jpeg;
use crate::harness::raw_connection::Raw;
use crate::harness::{Answer, TestApp, assert_error};

/// Encodes metadata as clients do.
pub(super) fn metadata(values: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = values.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect();
    pairs.join(",")
}

pub(super) async fn create(app: &TestApp, length: usize, values: &[(&str, &str)]) -> Answer {
    let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0").header("Upload-Length", length);
    app.send(request.header("Upload-Metadata", metadata(values))).await
}

/// Creates an upload of alice's. Returns its path.
pub(super) async fn open(app: &TestApp, length: usize) -> String {
    path_of(&create(app, length, &[("user_id", "alice"), ("filename", "sun set.jpg")]).await)
}

pub(super) fn path_of(created: &Answer) -> String {
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location");
    location[location.find("/uploads/tus/").expect("an upload")..].to_owned()
}

pub(super) async fn patch(app: &TestApp, path: &str, offset: usize, piece: &[u8]) -> Answer {
    let request = app.request(Method::PATCH, path).header("Tus-Resumable", "1.0.0").header("Upload-Offset", offset);
    app.send(request.header("Content-Type", "application/offset+octet-stream").body(piece.to_vec())).await
}

pub(super) async fn head(app: &TestApp, path: &str) -> Answer {
    app.send(app.request(Method::HEAD, path).header("Tus-Resumable", "1.0.0")).await
}

pub(super) async fn offset(app: &TestApp, path: &str) -> usize {
    let answer = head(app, path).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    answer.header("upload-offset").parse().expect("an offset")
}

async fn original(app: &TestApp, image: &serde_json::Value) -> Bytes {
    app.fetch(image["download_url"].as_str().expect("a URL")).await.body
}

#[tokio::test]
async fn a_file_in_pieces_becomes_an_image() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let values = [
        ("user_id", "alice"),
        ("filename", "sun set.jpg"),
        ("filetype", "image/jpeg"),
        ("title", "日の入り"),
        ("description", "Two\nlines"),
        ("tags", "Sea, sun"),
        ("visibility", "private"),
        ("relativePath", "null"),
    ];
    let created = create(&app, file.len(), &values).await;
    let path = path_of(&created);
    assert_eq!((created.header("tus-resumable"), created.text()), ("1.0.0", ""));
    assert!(created.header("upload-expires").ends_with(" GMT"));
    assert_eq!(offset(&app, &path).await, 0);
    let mut sent = 0;
    for piece in file[..file.len() - 1].chunks(5000) {
        let answer = patch(&app, &path, sent, piece).await;
        sent += piece.len();
        assert_eq!((answer.status, answer.header("upload-offset")), (204, sent.to_string().as_str()), "{}", answer.text());
        assert_eq!(offset(&app, &path).await, sent);
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    let last = patch(&app, &path, sent, &file[sent..]).await;
    let image = last.image();
    assert!(last.header("location").ends_with(&format!("/images/{}", last.image_id())));
    assert_eq!(last.header("upload-offset"), file.len().to_string());
    for (name, value) in [
        ("file_name", "sun set.jpg"),
        ("title", "日の入り"),
        ("description", "Two\nlines"),
        ("visibility", "private"),
        ("user_id", "alice"),
    ] {
        assert_eq!(image[name], value);
    }
    assert_eq!(image["tags"], serde_json::json!(["sea", "sun"]));
    assert_eq!(original(&app, &image).await, file);
    // A client that has lost the response learns that all bytes have arrived.
    let done = head(&app, &path).await;
    assert_eq!((done.status, done.header("upload-offset")), (200, file.len().to_string().as_str()));
    assert_eq!(done.header("upload-length"), file.len().to_string());
    assert_eq!(done.header("upload-metadata"), metadata(&values));
    assert!(app.storage().keys().await.iter().all(|key| !key.starts_with("incoming/")));
    assert_eq!(app.metric("uploads_total{method=\"tus\",result=\"stored\"}").await, 1.0);
    assert!(app.metric("upload_pieces_total").await >= 2.0 && app.metric("upload_resumes_total").await >= 2.0);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_request_that_creates_an_upload_can_have_its_first_piece() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let create = async |piece: &[u8]| {
        let request = app.request(Method::POST, "/uploads/tus").header("Tus-Resumable", "1.0.0");
        let request = request.header("Upload-Length", file.len()).header("Upload-Metadata", metadata(&[("user_id", "alice")]));
        app.send(request.header("Content-Type", "application/offset+octet-stream").body(piece.to_vec())).await
    };
    let part = create(&file[..1000]).await;
    assert_eq!((part.status, part.header("upload-offset")), (201, "1000"), "{}", part.text());
    let path = path_of(&part);
    patch(&app, &path, 1000, &file[1000..]).await.ok();
    let whole = create(&file).await;
    assert_eq!((whole.status, whole.header("upload-offset")), (201, file.len().to_string().as_str()), "{}", whole.text());
    assert_eq!(offset(&app, &path_of(&whole)).await, file.len());
    assert_eq!(original(&app, &whole.json()["image"]).await, file);
    let empty = create(b"").await;
    assert_eq!((empty.status, empty.header("upload-offset")), (201, "0"), "{}", empty.text());
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}

/// Sends the beginning of a piece, and closes the connection.
async fn interrupt(app: &TestApp, path: &str, offset: usize, announced: usize, piece: &[u8]) {
    let url = app.url(path);
    let address = url.split('/').nth(2).expect("an address");
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("the head is sent");
    connection.write_all(piece).await.expect("the piece is sent");
    connection.shutdown().await.expect("the connection is closed");
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.ok();
}

async fn wait_for_offset(app: &TestApp, path: &str, expected: usize) {
    for _ in 0..200 {
        if offset(app, path).await == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the offset is {} instead of {expected}", offset(app, path).await);
}

#[tokio::test]
async fn what_arrived_before_an_interruption_is_kept() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let path = open(&app, file.len()).await;
    interrupt(&app, &path, 0, file.len(), &file[..4000]).await;
    wait_for_offset(&app, &path, 4000).await;
    interrupt(&app, &path, 4000, 3000, &[]).await;
    assert_eq!(offset(&app, &path).await, 4000);
    interrupt(&app, &path, 4000, file.len() - 4000, &file[4000..9000]).await;
    wait_for_offset(&app, &path, 9000).await;
    let image = patch(&app, &path, 9000, &file[9000..]).await.image();
    assert_eq!(original(&app, &image).await, file);
}

#[tokio::test]
async fn a_connection_that_hangs_blocks_nobody() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let path = open(&app, file.len()).await;
    let url = app.url(&path);
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut hanging = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    hanging.write_all(head.as_bytes()).await.unwrap();
    hanging.write_all(&file[..3000]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // Another connection can send a piece, and what the first one has received is stored when the client asks for it.
    let other = open(&app, file.len()).await;
    let mut second = TcpStream::connect(&address).await.unwrap();
    second.write_all(head.replace(&path, &other).as_bytes()).await.unwrap();
    second.write_all(&file[..3000]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    patch(&app, &other, 0, &file).await.ok();
    assert_eq!(offset(&app, &path).await, 3000);
    let image = patch(&app, &path, 3000, &file[3000..]).await.image();
    assert_eq!(original(&app, &image).await, file);
    drop((hanging, second));
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}

#[tokio::test]
async fn of_two_pieces_for_the_same_offset_one_wins() {
    let app = TestApp::start().await;
    let (file, other) = (jpeg(640, 480, 1), jpeg(640, 480, 2));
    let path = open(&app, file.len()).await;
    let pieces: Vec<_> = (0..8).map(|number| if number % 2 == 0 { &file[..4000] } else { &other[..5000] }).collect();
    let answers = join_all(pieces.iter().map(|piece| patch(&app, &path, 0, piece))).await;
    let won: Vec<_> = answers.iter().zip(&pieces).filter(|(answer, _)| answer.status == 204).collect();
    assert_eq!(won.len(), 1);
    let (_, winner) = won[0];
    for lost in answers.iter().filter(|answer| answer.status != 204) {
        assert_error(lost, 409, "Conflict");
        assert_eq!(lost.header("upload-offset"), winner.len().to_string());
    }
    assert_eq!(app.storage().keys().await.len(), 1, "the losers' objects are removed");
    let source = if winner.len() == 4000 { &file } else { &other };
    let mut whole = source.clone();
    whole.resize(file.len(), 0);
    let last: Vec<_> = join_all((0..4).map(|_| patch(&app, &path, winner.len(), &whole[winner.len()..]))).await;
    let stored = last.iter().filter(|answer| answer.status == 200).count();
    assert!(stored <= 1, "one image at most");
    assert!(app.get("/images").await.ok()["total_count"].as_u64().unwrap() <= 1);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_whole_file_does_not_replace_an_acknowledged_piece() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let path = open(&app, file.len()).await;
    let url = app.url(&path);
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut stale = Raw(TcpStream::connect(&address).await.unwrap());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    stale.send([head.as_bytes(), &file[..3000]].concat()).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(patch(&app, &path, 0, &file[..4000]).await.status, 204);
    stale.send(&file[3000..]).await;
    stale.read_answer().await.assert(409, "Conflict");
    let image = patch(&app, &path, 4000, &file[4000..]).await.image();
    assert_eq!(original(&app, &image).await, file);
    app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_last_pieces_make_one_image() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    let path = open(&app, file.len()).await;
    patch(&app, &path, 0, &file[..2000]).await;
    let answers = join_all((0..6).map(|_| patch(&app, &path, 2000, &file[2000..]))).await;
    let stored: Vec<_> = answers.iter().filter(|answer| answer.status == 200).map(Answer::image_id).collect();
    assert!(!stored.is_empty() && stored.iter().all(|id| *id == stored[0]));
    assert!(answers.iter().all(|answer| [200, 409, 423].contains(&answer.status)));
    assert_eq!(app.get("/images").await.ok()["total_count"], 1);
    app.assert_sound().await;
}

#[tokio::test]
async fn small_pieces_are_merged() {
    let app = TestApp::start().await;
    let file = jpeg(1200, 900, 1);
    let path = open(&app, file.len()).await;
    let mut sent = 0;
    for size in std::iter::repeat_n(1, 100).chain(std::iter::repeat_n(1024, 10)).chain([file.len() / 2]) {
        let answer = patch(&app, &path, sent, &file[sent..sent + size]).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        sent += size;
    }
    assert_eq!(app.storage().keys().await.len(), 1);
    let image = patch(&app, &path, sent, &file[sent..]).await.image();
    assert_eq!(original(&app, &image).await, file);
}

#[tokio::test]
async fn a_file_can_arrive_in_pieces_of_every_size() {
    let app = TestApp::start().await;
    let file = crate::harness::pictures::padded(jpeg(640, 480, 1), 10 << 20);
    let path = open(&app, file.len()).await;
    let mut sent = 0;
    for size in std::iter::repeat_n(1, 100).chain(std::iter::repeat_n(1 << 10, 200)).chain([5 << 20]) {
        assert_eq!(patch(&app, &path, sent, &file[sent..sent + size]).await.status, 204);
        sent += size;
    }
    assert_eq!(app.storage().keys().await.len(), 2);
    let image = patch(&app, &path, sent, &file[sent..]).await.image();
    assert!(original(&app, &image).await == file, "the stored file differs");
    app.assert_sound().await;
}

#[tokio::test]
async fn large_pieces_are_not_merged() {
    let app = TestApp::start().await;
    let file = crate::harness::pictures::padded(jpeg(640, 480, 1), 1 << 20);
    let path = open(&app, file.len()).await;
    for (number, piece) in file[..900 << 10].chunks(300 << 10).enumerate() {
        assert_eq!(patch(&app, &path, number * (300 << 10), piece).await.status, 204);
    }
    assert_eq!(app.storage().keys().await.len(), 3);
    let image = patch(&app, &path, 900 << 10, &file[900 << 10..]).await.image();
    assert_eq!(original(&app, &image).await, file);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_file_that_is_refused_ends_the_upload() {
    let app = TestApp::with(&["--max-open-uploads=1"]).await;
    let file = vec![b'a'; 3000];
    let path = open(&app, file.len()).await;
    patch(&app, &path, 0, &file[..1000]).await;
    assert_error(&patch(&app, &path, 1000, &file[1000..]).await, 415, "UnsupportedMediaType");
    assert_eq!(head(&app, &path).await.status, 404);
    assert_eq!(app.storage().keys().await, [""; 0]);
    open(&app, file.len()).await;
}

#[tokio::test]
async fn an_upload_can_be_terminated_and_expires() {
    let app = TestApp::with(&["--max-open-uploads=2"]).await;
    let file = jpeg(300, 200, 1);
    let (first, second) = (open(&app, file.len()).await, open(&app, file.len()).await);
    for path in [&first, &second] {
        patch(&app, path, 0, &file[..1000]).await;
    }
    assert_error(&create(&app, file.len(), &[("user_id", "alice")]).await, 429, "TooManyRequests");
    let terminated = app.send(app.request(Method::DELETE, &first).header("Tus-Resumable", "1.0.0")).await;
    assert_eq!((terminated.status, terminated.header("tus-resumable")), (204, "1.0.0"));
    assert_eq!(head(&app, &first).await.status, 404);
    assert_error(&patch(&app, &first, 1000, &file[1000..]).await, 404, "NotFound");
    assert_eq!(app.storage().keys().await.len(), 1);
    app.clock.advance(chrono::TimeDelta::hours(25));
    assert_eq!(head(&app, &second).await.status, 404);
    assert_error(&patch(&app, &second, 1000, &file[1000..]).await, 404, "NotFound");
    app.sweep_all().await;
    assert_eq!(app.storage().keys().await, [""; 0]);
    app.clock.advance(chrono::TimeDelta::hours(2));
    app.sweep_all().await;
    let db = app.database().await;
    let left = image_service::store::images::uploads::due(&db, chrono::DateTime::<chrono::Utc>::MAX_UTC, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    app.assert_sound().await;
}

#[tokio::test]
async fn the_last_piece_needs_no_memory_that_its_own_request_holds() {
    let app = TestApp::with(&["--upload-disk-budget=0", "--upload-memory-budget=32MiB"]).await;
    let file = crate::harness::pictures::padded(jpeg(640, 480, 1), 10 << 20);
    let path = open(&app, file.len()).await;
    assert_eq!(patch(&app, &path, 0, &file[..1 << 20]).await.status, 204);
    let image = patch(&app, &path, 1 << 20, &file[1 << 20..]).await.image();
    assert_eq!(original(&app, &image).await, file);
}
