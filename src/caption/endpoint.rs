//! A client for endpoints that implement OpenAI's `POST /v1/chat/completions` with images
//! (<https://platform.openai.com/docs/api-reference/chat>), such as Ollama, vLLM and llama.cpp.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use url::Host;

use super::{Error, OpenError};

/// The longer side in pixels of the images sent. Such models process squares of 336 to 1024 pixels.
pub(super) const SIDE: u32 = 768;

/// Maximum number of tokens to generate: a sentence or two.
const MAX_TOKENS: u32 = 120;

const MAX_RESPONSE_BYTES: usize = 1 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Endpoint {
    client: Client,
    url: Url,
    api_key: Option<String>,
    model: String,
    prompt: String,
}

/// Omits the API key.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url.as_str()).field("model", &self.model).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct ChatCompletion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Endpoint {
    /// Creates a client. `url` is the part before `/chat/completions`.
    pub fn new(url: &str, api_key: Option<&str>, model: &str, prompt: &str) -> Result<Self, OpenError> {
        let url = Url::parse(&format!("{}/chat/completions", url.trim_end_matches('/')));
        let url = url.map_err(|error| OpenError::Client(error.into()))?;
        // Images must go only to the endpoint that the operator chose, so redirects are not followed.
        let mut client = Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(&url) {
            // A proxy from the environment cannot reach this machine's loopback.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| OpenError::Client(error.into()))?;
        let (model, prompt) = (model.to_owned(), prompt.to_owned());
        Ok(Self { client, url, api_key: api_key.map(str::to_owned), model, prompt })
    }

    /// Sends a JPEG file and returns the model's reply.
    pub async fn caption(&self, file: &[u8]) -> Result<String, Error> {
        let image_url = format!("data:image/jpeg;base64,{}", STANDARD.encode(file));
        let chat = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": self.prompt},
                {"type": "image_url", "image_url": {"url": image_url}},
            ]}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": false,
        });
        let mut request = self.client.post(self.url.clone()).json(&chat);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(transport_error)?;
        let status = response.status();
        let body = read(response).await?;
        if !status.is_success() {
            return Err(status_error(status, &body));
        }
        let completion: ChatCompletion = serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(error = sanitise(&error.to_string()), "the caption endpoint's response is not a chat completion");
            Error::Failed("the endpoint's response is not a chat completion".into())
        })?;
        let content = completion.choices.into_iter().next().and_then(|choice| choice.message.content);
        content.ok_or_else(|| Error::Failed("the endpoint's response contains no text".into()))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Error::Refused("the endpoint's response is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Maps a transport error. An endpoint that cannot be reached has not seen the image; one that disconnects may have crashed on
/// it.
fn transport_error(error: reqwest::Error) -> Error {
    let is_unreachable = error.is_connect();
    let cause = with_causes(error);
    if is_unreachable {
        return Error::Unavailable(cause);
    }
    tracing::warn!("the connection to the caption endpoint failed: {cause}");
    Error::Failed("the endpoint's response is incomplete".into())
}

/// Maps an error status. A wrong URL or key, a missing model or an exhausted account are for the operator to fix, and overload is
/// transient: the image must not lose its caption because of these.
fn status_error(status: StatusCode, body: &[u8]) -> Error {
    // The body is for the log only: users can read a caption's error.
    tracing::warn!(%status, body = sanitise(&String::from_utf8_lossy(body)), "the caption endpoint refused an image");
    let reason = format!("the endpoint responded with {}", status.as_u16());
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE => Error::Unavailable(reason),
        _ if status.is_redirection() => Error::Unavailable(reason),
        // Sent by moderation and by proxies that waited for a model: the image may be the cause.
        StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT => Error::Failed(reason.into()),
        _ if status.is_client_error() => Error::Refused(reason.into()),
        _ => Error::Failed(reason.into()),
    }
}

/// Returns the first 500 characters of an untrusted text without control characters, for the log.
fn sanitise(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(500).collect()
}

/// Returns the error and its causes, without the URL, which may contain secrets of the operator.
fn with_causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
