//! Floor 2: what is to be seen in a picture, told by a model: one that runs inside the process, or one behind an endpoint.
//!
//! The model inside is BLIP (<https://arxiv.org/abs/2201.12086>), with the feature `captions`. The endpoint is any that takes
//! chats with pictures in the way of OpenAI's: Ollama, vLLM, llama.cpp and others.

#[cfg(feature = "captions")]
pub mod blip;
mod endpoint;
mod error;
#[cfg(feature = "captions")]
mod local;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use error::{Error, OpenError};

/// Where captions come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder with `config.json`, `model.safetensors` and `tokenizer.json`.
    Folder { path: PathBuf, threads: usize },
    /// An endpoint: what comes before `/chat/completions` in its URL.
    Endpoint { url: String, api_key: Option<String>, prompt: String },
}

/// What makes captions.
#[derive(Debug, Clone)]
pub struct Captioner {
    model: String,
    /// What one caption may take: of an endpoint by the clock, of the model inside those seconds of a processor.
    timeout: Duration,
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    #[cfg(feature = "captions")]
    Local(Arc<local::Local>),
    Endpoint(Arc<endpoint::Endpoint>),
}

/// What a picture is to be handed over as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Pixels, of which each side has at least so many, where the picture has them.
    Pixels { side: u32 },
    /// A JPEG file within so many pixels each way.
    Jpeg { side: u32 },
}

/// A picture as it is handed over.
#[derive(Debug)]
pub enum Picture {
    Pixels(Pixels),
    Jpeg(Vec<u8>),
}

/// Tells whether there is work that goes first. Asked often, so it must answer at once.
pub type Others = Arc<dyn Fn() -> bool + Send + Sync>;

/// RGB, 8 bits a channel, in rows, top row first.
#[derive(Debug)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

impl Captioner {
    /// Makes the source ready; a folder's files are read here and never again. Blocks while it reads them.
    ///
    /// # Errors
    /// The folder or the URL cannot be used.
    pub fn open(source: &Source, model: String, timeout: Duration) -> Result<Self, OpenError> {
        let backend = match source {
            #[cfg(feature = "captions")]
            Source::Folder { path, threads } => Backend::Local(Arc::new(local::Local::open(path, *threads)?)),
            #[cfg(not(feature = "captions"))]
            Source::Folder { .. } => return Err(OpenError::NotBuilt),
            Source::Endpoint { url, api_key, prompt } => {
                Backend::Endpoint(Arc::new(endpoint::Endpoint::new(url, api_key.as_deref(), &model, prompt)?))
            }
        };
        Ok(Self { model, timeout, backend })
    }

    /// The name that is kept with its captions.
    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn takes(&self) -> Takes {
        match &self.backend {
            #[cfg(feature = "captions")]
            Backend::Local(local) => Takes::Pixels { side: local.side() },
            Backend::Endpoint(_) => Takes::Jpeg { side: endpoint::SIDE },
        }
    }

    /// Whether it is asked over a network, and may be down or ailing.
    pub fn is_remote(&self) -> bool {
        matches!(self.backend, Backend::Endpoint(_))
    }

    /// Says what is to be seen, in the model's words. The model inside steps back while `others` are at work.
    ///
    /// # Errors
    /// It took too long, was stopped, or failed; the error tells whether trying again may help.
    #[cfg_attr(not(feature = "captions"), expect(unused_variables, reason = "an endpoint gives way to nobody"))]
    pub async fn caption(&self, picture: Picture, stop: &CancellationToken, others: &Others) -> Result<String, Error> {
        match (&self.backend, picture) {
            #[cfg(feature = "captions")]
            (Backend::Local(local), Picture::Pixels(pixels)) => local.caption(pixels, self.timeout, stop, others).await,
            (Backend::Endpoint(endpoint), Picture::Jpeg(file)) => tokio::select! {
                () = stop.cancelled() => Err(Error::Stopped),
                said = tokio::time::timeout(self.timeout, endpoint.caption(&file)) => said.unwrap_or(Err(Error::TimedOut)),
            },
            _ => Err(Error::Internal("the picture is of another kind than was asked for".to_owned())),
        }
    }
}
