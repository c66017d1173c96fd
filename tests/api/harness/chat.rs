//! An endpoint that takes chats with pictures in the way of OpenAI's, and answers what the test says.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::world::certified_for;

/// What the endpoint answers.
#[derive(Debug, Clone)]
pub enum Reply {
    Says(&'static str),
    /// A status, with words that are nobody's but the operator's.
    Status(u16),
    /// Anything as a body.
    Body(String),
    /// A beginning.
    Cut,
    /// Nothing.
    Silence,
    /// When a permit is there, which is used up.
    Gated(Arc<Semaphore>, &'static str),
}

/// A chat that it was sent.
#[derive(Debug, Clone)]
pub struct Asked {
    pub authorization: Option<String>,
    pub chat: Value,
}

impl Asked {
    /// The picture that was sent.
    pub fn picture(&self) -> Vec<u8> {
        let url = self.chat["messages"][0]["content"][1]["image_url"]["url"].as_str().expect("a picture");
        STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").expect("a JPEG")).expect("base64")
    }
}

/// The endpoint; gone when dropped.
pub struct Chat {
    /// What comes before `/chat/completions`.
    pub url: String,
    known: Known,
    server: AbortHandle,
}

#[derive(Clone, Default)]
struct Known {
    asked: Arc<Mutex<Vec<Asked>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

/// What it says when it was told nothing else.
pub const SAYS: &str = "a picture";

impl Chat {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        Self::serve(listener, url)
    }

    /// As [`Chat::start`], by TLS for `localhost`, with a certificate that the file of this text makes trusted.
    pub async fn start_secure() -> (Self, String) {
        let (certificate, acceptor) = certified_for("localhost");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
        (Self::serve(Secure { listener, acceptor }, url), certificate.pem())
    }

    fn serve<L: Listener<Addr: std::fmt::Debug>>(listener: L, url: String) -> Self {
        let known = Known::default();
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(known.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, known, server: server.abort_handle() }
    }

    /// What it answers next, in this order.
    pub fn will(&self, replies: &[Reply]) {
        self.known.replies.lock().unwrap().extend(replies.iter().cloned());
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.known.asked.lock().unwrap().clone()
    }
}

/// A listener for TLS.
pub struct Secure {
    pub listener: TcpListener,
    pub acceptor: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            // Who does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(known): State<Known>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    known.asked.lock().unwrap().push(Asked { authorization, chat: serde_json::from_slice(&body).unwrap() });
    let reply = known.replies.lock().unwrap().pop_front();
    let says = |text: &str| axum::Json(json!({"choices": [{"message": {"role": "assistant", "content": text}}]}));
    match reply.unwrap_or(Reply::Says(SAYS)) {
        Reply::Says(text) => says(text).into_response(),
        Reply::Status(status) => (StatusCode::from_u16(status).unwrap(), "secret words of the endpoint").into_response(),
        Reply::Body(body) => body.into_response(),
        Reply::Cut => {
            let parts = [Ok("{\"choices\":"), Err("cut off")];
            Body::from_stream(futures::stream::iter(parts)).into_response()
        }
        Reply::Silence => std::future::pending().await,
        Reply::Gated(gate, text) => {
            gate.acquire().await.unwrap().forget();
            says(text).into_response()
        }
    }
}
