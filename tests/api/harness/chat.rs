//! A chat endpoint compatible with OpenAI's vision API. It sends the replies that the test prepares.

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

/// A reply of the endpoint.
#[derive(Debug, Clone)]
pub enum Reply {
    Text(&'static str),
    /// An error status. Its text is internal to the operator.
    Status(u16),
    /// An arbitrary body.
    Body(String),
    /// A body that breaks off.
    Cut,
    /// No response at all.
    Silence,
    /// A caption that is sent once the semaphore has a permit, which it consumes.
    Gated(Arc<Semaphore>, &'static str),
}

/// A chat completion request that the endpoint received.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    pub authorization: Option<String>,
    pub chat: Value,
}

impl ChatRequest {
    /// The image that was sent.
    pub fn image(&self) -> Vec<u8> {
        let url = self.chat["messages"][0]["content"][1]["image_url"]["url"].as_str().expect("an image");
        STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").expect("a JPEG")).expect("base64")
    }
}

/// The endpoint. It stops when dropped.
pub struct Chat {
    /// The base URL, before `/chat/completions`.
    pub url: String,
    state: ServerState,
    server: AbortHandle,
}

#[derive(Clone, Default)]
struct ServerState {
    requests: Arc<Mutex<Vec<ChatRequest>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

/// The caption when no reply was prepared.
pub const DEFAULT_CAPTION: &str = "a picture";

impl Chat {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        Self::serve(listener, url)
    }

    /// Like [`Chat::start`], with TLS for `localhost`. Also returns the certificate to trust, in PEM.
    pub async fn start_secure() -> (Self, String) {
        let (certificate, acceptor) = certified_for("localhost");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
        (Self::serve(TlsListener { listener, acceptor }, url), certificate.pem())
    }

    fn serve<L: Listener<Addr: std::fmt::Debug>>(listener: L, url: String) -> Self {
        let state = ServerState::default();
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state, server: server.abort_handle() }
    }

    /// Queues the next replies, in this order.
    pub fn reply_with(&self, replies: &[Reply]) {
        self.state.replies.lock().unwrap().extend(replies.iter().cloned());
    }

    pub fn requests(&self) -> Vec<ChatRequest> {
        self.state.requests.lock().unwrap().clone()
    }
}

/// A TCP listener that speaks TLS.
pub struct TlsListener {
    pub listener: TcpListener,
    pub acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            // Clients that do not trust the certificate disconnect.
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

async fn answer(State(state): State<ServerState>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    state.requests.lock().unwrap().push(ChatRequest { authorization, chat: serde_json::from_slice(&body).unwrap() });
    let reply = state.replies.lock().unwrap().pop_front();
    let completion = |text: &str| axum::Json(json!({"choices": [{"message": {"role": "assistant", "content": text}}]}));
    match reply.unwrap_or(Reply::Text(DEFAULT_CAPTION)) {
        Reply::Text(text) => completion(text).into_response(),
        Reply::Status(status) => (StatusCode::from_u16(status).unwrap(), "secret words of the endpoint").into_response(),
        Reply::Body(body) => body.into_response(),
        Reply::Cut => {
            let parts = [Ok("{\"choices\":"), Err("cut off")];
            Body::from_stream(futures::stream::iter(parts)).into_response()
        }
        Reply::Silence => std::future::pending().await,
        Reply::Gated(gate, text) => {
            gate.acquire().await.unwrap().forget();
            completion(text).into_response()
        }
    }
}
