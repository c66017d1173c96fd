//! Caption models: describes an image with a local model or with a model behind an endpoint.
//!
//! The local model is BLIP (<https://arxiv.org/abs/2201.12086>), with the feature `captions`. The endpoint is any that implements
//! OpenAI's chat completions with images: Ollama, vLLM, llama.cpp and others.

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

/// The model to use.
#[derive(Debug, Clone)]
pub enum Source {
    /// A directory with `config.json`, `model.safetensors` and `tokenizer.json`. 0 threads means one per processor.
    Folder { path: PathBuf, threads: usize },
    /// An endpoint. `url` is the part before `/chat/completions`.
    Endpoint { url: String, api_key: Option<String>, prompt: String },
}

/// A model that is ready to create captions.
#[derive(Debug, Clone)]
pub struct Captioner {
    model: String,
    /// The limit for one caption: wall-clock time for an endpoint, CPU time for the local model.
    timeout: Duration,
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    #[cfg(feature = "captions")]
    Local(Arc<local::Local>),
    Endpoint(Arc<endpoint::Endpoint>),
}

/// The format in which a model takes images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// Decoded pixels. Each side must have at least `side` pixels, unless the image itself is smaller.
    Pixels { side: u32 },
    /// A JPEG file of at most `side` × `side` pixels.
    Jpeg { side: u32 },
}

/// An image in the model's format.
#[derive(Debug)]
pub enum Input {
    Pixels(Pixels),
    Jpeg(Vec<u8>),
}

/// Returns whether work with higher priority is in progress. It is called often, so it must be fast.
pub type PriorityWork = Arc<dyn Fn() -> bool + Send + Sync>;

/// Decoded pixels: RGB, 8 bits per channel, in rows from the top.
#[derive(Debug)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

impl Captioner {
    /// Opens the source. Reads all of a directory's files into memory, which blocks; later they are not needed.
    ///
    /// # Errors
    /// The directory or the URL cannot be used.
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

    /// Returns the model's name, which is stored with each caption.
    pub fn model(&self) -> &str {
        &self.model
    }

    pub fn input_format(&self) -> InputFormat {
        match &self.backend {
            #[cfg(feature = "captions")]
            Backend::Local(local) => InputFormat::Pixels { side: local.side() },
            Backend::Endpoint(_) => InputFormat::Jpeg { side: endpoint::SIDE },
        }
    }

    /// Returns whether the model is behind a network, so that it may be unavailable.
    pub fn is_remote(&self) -> bool {
        matches!(self.backend, Backend::Endpoint(_))
    }

    /// Returns the model's description of the image. The local model yields while `priority_work` returns true.
    ///
    /// # Errors
    /// The caption took too long, was stopped, or failed. The error's variant says whether a retry may succeed.
    #[cfg_attr(not(feature = "captions"), expect(unused_variables, reason = "only the local model yields"))]
    pub async fn caption(&self, input: Input, stop: &CancellationToken, priority_work: &PriorityWork) -> Result<String, Error> {
        match (&self.backend, input) {
            #[cfg(feature = "captions")]
            (Backend::Local(local), Input::Pixels(pixels)) => local.caption(pixels, self.timeout, stop, priority_work).await,
            (Backend::Endpoint(endpoint), Input::Jpeg(file)) => tokio::select! {
                () = stop.cancelled() => Err(Error::Stopped),
                caption = tokio::time::timeout(self.timeout, endpoint.caption(&file)) => caption.unwrap_or(Err(Error::TimedOut)),
            },
            _ => Err(Error::Internal("the input is not in the model's format".to_owned())),
        }
    }
}
