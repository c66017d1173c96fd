//! A client of a running program. It uploads, follows lists, and checks that listed images are intact.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Answer, Form, pictures};

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
}

/// An upload that can be repeated byte for byte.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Identifies the image later. Each test gives every upload its own title.
    pub title: String,
    pub key: Option<String>,
    pub body: Bytes,
}

impl Upload {
    /// A small image. Each seed gives a different file.
    pub fn small(title: &str, seed: u64) -> Self {
        Self::of(title, &pictures::jpeg(96, 64, seed))
    }

    pub fn of(title: &str, file: &[u8]) -> Self {
        let form = Form::new().text("title", title).text("user_id", "alice").file(file);
        Self { title: title.to_owned(), key: None, body: form.finish().into() }
    }

    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

/// The longest time that any response takes. A client that waits longer has found a hanging request.
pub const HANG_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::with_timeout(address, HANG_TIMEOUT)
    }

    /// A client with a longer timeout, for tests of waiting.
    pub fn with_timeout(address: SocketAddr, timeout: Duration) -> Self {
        // By default, the client drops a connection whose data is not acknowledged for 30 seconds.
        let builder = reqwest::Client::builder().no_proxy().timeout(timeout).tcp_user_timeout(None);
        Self { http: builder.build().expect("a client"), address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// # Errors
    /// Fails if the connection breaks before the response is complete.
    pub async fn try_upload(&self, upload: &Upload) -> reqwest::Result<Answer> {
        let mut request = self.http.post(self.url("/images")).header("Content-Type", Form::content_type());
        if let Some(key) = &upload.key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.body(upload.body.clone()).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    pub async fn upload(&self, upload: &Upload) -> Answer {
        self.try_upload(upload).await.expect("an answer to the upload")
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::read(self.http.get(self.url(path)).send().await.expect("an answer")).await
    }

    /// Returns the status, or `None` if the connection broke.
    pub async fn try_delete(&self, id: &str) -> Option<u16> {
        let request = self.http.delete(self.url(&format!("/images/{id}"))).header("X-User-Id", "alice");
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        response.bytes().await.ok().map(|_| status)
    }

    /// Returns the status, or `None` if the connection broke.
    pub async fn try_get(&self, path: &str) -> Option<u16> {
        let response = self.http.get(self.url(path)).send().await.ok()?;
        let status = response.status().as_u16();
        response.bytes().await.ok().map(|_| status)
    }

    pub async fn patch(&self, id: &str, change: &Value) -> Answer {
        let request = self.http.patch(self.url(&format!("/images/{id}"))).header("X-User-Id", "alice").json(change);
        Answer::read(request.send().await.expect("an answer")).await
    }

    pub async fn delete(&self, id: &str) {
        assert_eq!(self.try_delete(id).await, Some(200));
    }

    /// Lists all images. Checks that the total matches the list and that no image is listed twice.
    pub async fn list(&self) -> Vec<Value> {
        let mut images = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.get(&format!("/images?limit=100{token}")).await.ok();
            images.extend(page["images"].as_array().expect("images").iter().cloned());
            let Some(next) = page["next_page_token"].as_str() else {
                let ids: HashSet<&str> = images.iter().map(|image| image["image_id"].as_str().expect("an id")).collect();
                assert_eq!(ids.len(), images.len(), "an image is listed twice");
                assert_eq!(page["total_count"], images.len(), "the total is not the number listed");
                return images;
            };
            token = format!("&page_token={next}");
        }
    }

    /// Counts the listed images with this title, and checks that they are intact.
    pub async fn count_whole(&self, title: &str) -> usize {
        let images = self.list().await;
        let found: Vec<&Value> = images.iter().filter(|image| image["title"] == title).collect();
        for image in &found {
            self.assert_whole(image).await;
        }
        found.len()
    }

    /// Checks that an image's original and thumbnails match its description, through its presigned URLs.
    pub async fn assert_whole(&self, image: &Value) {
        let original = self.fetch(image["download_url"].as_str().expect("a URL")).await;
        assert_eq!(hex::encode(Sha256::digest(&original.body)), image["sha256"], "{image:#}");
        assert_eq!(original.body.len(), image["file_size"], "{image:#}");
        let thumbnails = image["thumbnails"].as_object().expect("thumbnails");
        assert_eq!(thumbnails.len(), 2, "{image:#}");
        for thumbnail in thumbnails.values() {
            let picture = self.fetch(thumbnail["url"].as_str().expect("a URL")).await;
            assert!(picture.body.len() > 100 && picture.header("content-type").starts_with("image/"), "{image:#}");
        }
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = self.http.post(self.url(path)).json(body);
        Answer::read(request.send().await.expect("an answer")).await
    }

    async fn fetch(&self, url: &str) -> Answer {
        let answer = Answer::read_foreign(self.http.get(url).send().await.expect("the storage answers")).await;
        assert_eq!(answer.status, 200, "{url}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }
}
