//! Uploads in several requests survive `kill -9` at any point: each becomes one image, and nothing else is left. Any instance can
//! continue what another has started.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::service::maintenance::step::Outcome;
use image_service::worker::sweeper;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::startup::chance;
use crate::harness::client::Client;
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::Raw;
use crate::harness::{Answer, Form};

/// An upload that was started and must become an image.
struct Started {
    title: String,
    file: Vec<u8>,
    path: String,
    protocol: Protocol,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Direct,
    Tus,
    Form,
}

fn request(process: &Process, method: Method, path: &str) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client");
    client
        .request(method, format!("http://{}{path}", process.address))
        .header("X-User-Id", "alice")
        .header("Tus-Resumable", "1.0.0")
}

/// Returns the response, or `None` if the connection broke.
async fn send(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Some(Answer { status, headers, body: response.bytes().await.ok()? })
}

async fn start_direct(process: &Process, title: String, file: Vec<u8>) -> Started {
    let body = json!({"file_size": file.len(), "content_type": "image/jpeg", "title": title});
    let created = send(request(process, Method::POST, "/uploads").json(&body)).await.expect("an answer").json();
    let put = reqwest::Client::builder().no_proxy().build().expect("a client");
    let put = put.put(created["put"]["url"].as_str().expect("a URL")).header("Content-Type", "image/jpeg");
    assert!(put.body(file.clone()).send().await.expect("an answer").status().is_success());
    let path = format!("/uploads/{}", created["id"].as_str().expect("an id"));
    Started { title, file, path, protocol: Protocol::Direct }
}

async fn start_tus(process: &Process, title: String, file: Vec<u8>) -> Started {
    use base64::Engine as _;
    let metadata = format!("title {}", base64::engine::general_purpose::STANDARD.encode(&title));
    let created = request(process, Method::POST, "/uploads/tus").header("Upload-Length", file.len());
    let created = send(created.header("Upload-Metadata", metadata)).await.expect("an answer");
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location");
    let path = location[location.find("/uploads/").expect("an upload")..].to_owned();
    Started { title, file, path, protocol: Protocol::Tus }
}

async fn start_form(process: &Process, title: String, file: &[u8]) -> Started {
    let form = Form::new().text("title", &title).file(file).finish();
    let created = request(process, Method::POST, "/images").header("Upload-Complete", "?0");
    let created = send(created.header("Content-Type", Form::content_type())).await.expect("an answer");
    assert_eq!(created.status, 201, "{}", created.text());
    let location = created.header("location");
    let path = location[location.find("/uploads/").expect("an upload")..].to_owned();
    Started { title, file: form, path, protocol: Protocol::Form }
}

impl Started {
    /// Sends the next request. Returns whether the upload is complete.
    async fn advance(&self, process: &Process) -> bool {
        if self.protocol == Protocol::Direct {
            let completed = send(request(process, Method::POST, &format!("{}/complete", self.path))).await;
            return completed.is_some_and(|answer| self.is_done(&answer));
        }
        let Some(read) = send(request(process, Method::HEAD, &self.path)).await else { return false };
        assert!([200, 204].contains(&read.status), "{}", self.title);
        let offset: usize = read.header("upload-offset").parse().expect("an offset");
        if offset == self.file.len() {
            return true;
        }
        let piece = &self.file[offset..self.file.len().min(offset + 9000)];
        let patch = request(process, Method::PATCH, &self.path).header("Upload-Offset", offset);
        let patch = if self.protocol == Protocol::Tus {
            patch.header("Content-Type", "application/offset+octet-stream")
        } else {
            let is_last = offset + piece.len() == self.file.len();
            patch
                .header("Content-Type", "application/partial-upload")
                .header("Upload-Complete", if is_last { "?1" } else { "?0" })
        };
        let patch = patch.body(piece.to_vec());
        send(patch).await.is_some_and(|answer| self.is_done(&answer))
    }

    fn is_done(&self, answer: &Answer) -> bool {
        // 409 and 423: the process that was killed held the upload for a few seconds.
        assert!([200, 204, 409, 423].contains(&answer.status), "{}: {}", self.title, answer.text());
        answer.status == 200
    }

    async fn finish(&self, process: &Process) {
        while !self.advance(process).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_cut_off_by_a_kill_becomes_one_image() {
    let home = Home::new().await;
    let mut chance = chance();
    let mut stored = 0;
    for round in 0..3 {
        let process = Process::start(&home, &[]).await;
        let mut uploads = Vec::new();
        for number in 0..3 {
            let file = jpeg(600, 400, round * 10 + number);
            uploads.push(start_direct(&process, format!("direct {round} {number}"), file.clone()).await);
            uploads.push(start_form(&process, format!("form {round} {number}"), &file).await);
            uploads.push(start_tus(&process, format!("tus {round} {number}"), file).await);
        }
        let delay = Duration::from_millis(chance.below(400) as u64);
        let work = join_all(uploads.iter().map(async |upload| {
            // Until the connection breaks.
            for _ in 0..20 {
                if upload.advance(&process).await {
                    break;
                }
            }
        }));
        tokio::select! {
            _ = work => {}
            () = tokio::time::sleep(delay) => {}
        }
        process.kill().await;
        let process = Process::start(&home, &[]).await;
        join_all(uploads.iter().map(|upload| upload.finish(&process))).await;
        let client = Client::new(process.address);
        for upload in &uploads {
            assert_eq!(client.count_whole(&upload.title).await, 1, "{}", upload.title);
        }
        stored += uploads.len();
        assert_eq!(client.list().await.len(), stored);
        process.kill().await;
    }
    let running = home.start_ahead(TimeDelta::hours(30)).await;
    while sweeper::sweep(&running.service).await.expect("the sweeper's step succeeds") == Outcome::Done {}
    running.shut_down().await.expect("the service stops");
    let report = home.run(&["doctor"], &[]).await;
    let objects = stored * 5;
    assert_eq!(report.output, format!("{stored} images, {objects} objects\nno problems found\n"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_piece_survives_a_kill() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let file = padded(jpeg(600, 400, 1), 1 << 20);
    let upload = start_tus(&process, "slow".to_owned(), file.clone()).await;
    let mut connection = Raw::open(&process).await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nX-User-Id: alice\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        upload.path,
        file.len()
    );
    connection.send([head.as_bytes(), &file[..700 << 10]].concat()).await;
    let is_stored = async || Client::new(process.address).get("/metrics").await.text().contains("upload_pieces_total 1\n");
    while !is_stored().await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    process.kill().await;
    let process = Process::start(&home, &[]).await;
    let read = send(request(&process, Method::HEAD, &upload.path)).await.expect("an answer");
    assert_eq!(read.header("upload-offset"), (700 << 10).to_string());
    upload.finish(&process).await;
    assert_eq!(Client::new(process.address).count_whole("slow").await, 1);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_continues_an_upload() {
    let home = Home::new().await;
    // With SQLite, only one process can use the data.
    if home.has_embedded_storage() || home.database_address().is_none() {
        return;
    }
    let (first, second) = (Process::start(&home, &[]).await, Process::start(&home, &[]).await);
    let file = jpeg(600, 400, 1);
    let upload = start_tus(&first, "shared".to_owned(), file.clone()).await;
    let form = start_form(&first, "form".to_owned(), &file).await;
    for upload in [upload, form] {
        let mut turn = 0;
        while !upload.advance(if turn % 2 == 0 { &second } else { &first }).await {
            turn += 1;
        }
    }
    let direct = start_direct(&first, "direct".to_owned(), file).await;
    direct.finish(&second).await;
    let images: Vec<Value> = Client::new(first.address).list().await;
    assert_eq!(images.len(), 3);
    for image in &images {
        Client::new(second.address).assert_whole(image).await;
    }
}
