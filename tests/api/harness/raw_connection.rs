//! A connection to which a test writes raw bytes, and the answers that it reads from it.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Form;
use super::client::HANG_TIMEOUT;
use super::process::Process;

/// A connection to which the test writes raw bytes.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn open(process: &Process) -> Self {
        Self(TcpStream::connect(process.address).await.expect("a connection"))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the bytes can be written");
    }

    /// Starts an upload that announces `length` bytes, without sending the body.
    pub async fn begin_upload(&mut self, length: usize, headers: &str) {
        let content_type = Form::content_type();
        self.send(format!(
            "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}\r\n"
        ))
        .await;
    }

    /// Reads the head and body of a response, using its Content-Length. Panics if the connection closes first.
    pub async fn read_answer(&mut self) -> RawAnswer {
        tokio::time::timeout(HANG_TIMEOUT, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("the answer's head"));
            }
            let head = String::from_utf8(head).expect("a head of plain text");
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            self.0.read_exact(&mut body).await.expect("the answer's body");
            RawAnswer { head, body: String::from_utf8(body).expect("a body of text") }
        })
        .await
        .expect("an answer in time")
    }

    /// Reads until the server closes or resets the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(HANG_TIMEOUT, self.0.read_to_end(&mut bytes)).await.expect("the connection is closed");
        drop(ended);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[derive(Debug)]
pub struct RawAnswer {
    pub head: String,
    pub body: String,
}

impl RawAnswer {
    pub fn assert(&self, status: u16, error: &str) {
        assert!(self.head.starts_with(&format!("HTTP/1.1 {status} ")), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["error"], error, "{self:?}");
    }
}
