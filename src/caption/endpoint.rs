//! An endpoint that takes chats with pictures, as OpenAI's `POST /v1/chat/completions` does
//! (<https://platform.openai.com/docs/api-reference/chat>); Ollama, vLLM and llama.cpp have one.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use url::Host;

use super::{Error, OpenError};

/// Pixels of the longer side of a picture that is sent. Such models look at squares of 336 to 1024 pixels.
pub(super) const SIDE: u32 = 768;

/// Tokens of an answer: a sentence or two.
const MAX_TOKENS: u32 = 120;

/// Bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Endpoint {
    client: Client,
    url: Url,
    api_key: Option<String>,
    model: String,
    prompt: String,
}

/// Without the key.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url.as_str()).field("model", &self.model).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
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
    /// `url` is what comes before `/chat/completions`.
    pub fn new(url: &str, api_key: Option<&str>, model: &str, prompt: &str) -> Result<Self, OpenError> {
        let url = Url::parse(&format!("{}/chat/completions", url.trim_end_matches('/')));
        let url = url.map_err(|error| OpenError::Client(error.into()))?;
        // It is the operator's, and has no business to send pictures elsewhere.
        let mut client = Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        if is_this_machine(&url) {
            // A proxy that the environment names would be another one's way to it.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| OpenError::Client(error.into()))?;
        let (model, prompt) = (model.to_owned(), prompt.to_owned());
        Ok(Self { client, url, api_key: api_key.map(str::to_owned), model, prompt })
    }

    /// Sends a JPEG file and returns what is said of it.
    pub async fn caption(&self, file: &[u8]) -> Result<String, Error> {
        let picture = format!("data:image/jpeg;base64,{}", STANDARD.encode(file));
        let chat = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": self.prompt},
                {"type": "image_url", "image_url": {"url": picture}},
            ]}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": false,
        });
        let mut request = self.client.post(self.url.clone()).json(&chat);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(of_transport)?;
        let status = response.status();
        let body = read(response).await?;
        if !status.is_success() {
            return Err(of_status(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(error = shortened(&error.to_string()), "the caption endpoint gave no chat completion");
            Error::Failed("the endpoint's answer is no chat completion".into())
        })?;
        let said = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        said.ok_or_else(|| Error::Failed("the endpoint's answer has no text".into()))
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(of_transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Error::Refused("the endpoint's answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Who cannot be reached has not seen the picture; who goes away in the middle may have ended over it.
fn of_transport(error: reqwest::Error) -> Error {
    let is_unreachable = error.is_connect();
    let cause = with_causes(error);
    if is_unreachable {
        return Error::Unavailable(cause);
    }
    tracing::warn!("the caption endpoint did not answer to the end: {cause}");
    Error::Failed("the endpoint did not answer to the end".into())
}

/// What a status tells of trying again. An address or a key that is wrong, a model that is not there, money that has run out, are
/// the operator's to mend, and too much to do passes: no picture is given up for them.
fn of_status(status: StatusCode, body: &[u8]) -> Error {
    // Its words are for the log alone: what is told of a caption is told to users.
    tracing::warn!(%status, said = shortened(&String::from_utf8_lossy(body)), "the caption endpoint refused a picture");
    let reason = format!("the endpoint answered {}", status.as_u16());
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE => Error::Unavailable(reason),
        _ if status.is_redirection() => Error::Unavailable(reason),
        // Of what moderates, and of what has waited for a model: it may have been the picture.
        StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT => Error::Failed(reason.into()),
        _ if status.is_client_error() => Error::Refused(reason.into()),
        _ => Error::Failed(reason.into()),
    }
}

/// What a log can hold of a foreign text.
fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(500).collect()
}

/// Without its URL, which is the operator's.
fn with_causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
