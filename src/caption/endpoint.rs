//! An endpoint that takes chats with pictures, as OpenAI's `POST /v1/chat/completions` does
//! (<https://platform.openai.com/docs/api-reference/chat>); Ollama, vLLM and llama.cpp have one.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;

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
        let client = Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT).build();
        let client = client.map_err(|error| OpenError::Client(error.into()))?;
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
        let response = request.send().await.map_err(|error| Error::Unavailable(without_url(error)))?;
        let status = response.status();
        let body = read(response).await?;
        if !status.is_success() {
            return Err(of_status(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| Error::Failed(format!("the endpoint's answer is no chat completion: {error}")))?;
        let said = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        said.ok_or_else(|| Error::Failed("the endpoint's answer has no text".to_owned()))
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::Unavailable(without_url(error)))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Error::Refused("the endpoint's answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a status tells of trying again. A key that is wrong, a model that is not there, are the operator's to mend: no picture
/// is given up for them.
fn of_status(status: StatusCode, body: &[u8]) -> Error {
    let said: String = String::from_utf8_lossy(body).chars().filter(|character| !character.is_control()).take(500).collect();
    // Its words are for the log alone: what is told of a caption is told to users.
    tracing::warn!(%status, said, "the caption endpoint refused a picture");
    let reason = format!("the endpoint answered {}", status.as_u16());
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Error::Unavailable(reason),
        _ if status.is_client_error() => Error::Refused(reason),
        _ => Error::Failed(reason),
    }
}

/// With its causes. URLs may hold passwords, and reasons are shown to users.
fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
