//! Settings of captions.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::error::{ConfigError, require};
use super::units::Seconds;
use crate::caption::Source;
use crate::service::jobs::caption_queue::CaptionLimits;

/// The source of captions, and how many are created concurrently.
#[derive(Debug, Clone, Args)]
pub struct CaptionConfig {
    /// Directory of a BLIP model to run inside the process, with `config.json`, `model.safetensors` and `tokenizer.json`. Needs
    /// a binary built with the feature `captions`. If neither this nor CAPTION_URL is set, captions are off.
    #[arg(long, help_heading = "Captions", env = "CAPTION_MODEL_DIR")]
    pub caption_model_dir: Option<String>,
    /// Base URL of an OpenAI-compatible endpoint that accepts images, to use instead of CAPTION_MODEL_DIR: the part before
    /// `/chat/completions`, such as `http://localhost:11434/v1`.
    #[arg(long, help_heading = "Captions", env = "CAPTION_URL")]
    pub caption_url: Option<String>,
    /// API key for CAPTION_URL, sent as a bearer token.
    #[arg(long, help_heading = "Captions", env = "CAPTION_API_KEY", hide_env_values = true)]
    pub caption_api_key: Option<String>,
    /// Name of the model to request from CAPTION_URL. With CAPTION_MODEL_DIR, the name that is stored with captions; unset: the
    /// name of the directory.
    #[arg(long, help_heading = "Captions", env = "CAPTION_MODEL")]
    pub caption_model: Option<String>,
    /// Prompt that is sent to CAPTION_URL with each image.
    #[arg(long, help_heading = "Captions", env = "CAPTION_PROMPT", default_value = "Describe this image in one short sentence.")]
    pub caption_prompt: String,
    /// Number of captions that this instance creates at the same time. 0 leaves captions to other instances and loads no model.
    #[arg(long, help_heading = "Captions", env = "CAPTION_CONCURRENCY", default_value_t = 1)]
    pub caption_concurrency: usize,
    /// Number of threads of the model inside the process, which pause while uploads and imports are processed. 0 uses one per
    /// processor.
    #[arg(long, help_heading = "Captions", env = "CAPTION_THREADS", default_value_t = 0)]
    pub caption_threads: usize,
    /// Maximum time in seconds for one caption. With CAPTION_URL this is elapsed time; with CAPTION_MODEL_DIR it is CPU time,
    /// because the model yields to all other work.
    #[arg(long, help_heading = "Captions", env = "CAPTION_TIMEOUT", default_value_t = Seconds(120))]
    pub caption_timeout: Seconds,
    /// Maximum number of times that an image is captioned if the error is transient.
    #[arg(long, help_heading = "Captions", env = "CAPTION_ATTEMPTS", default_value_t = 3)]
    pub caption_attempts: u32,
    /// Delay in seconds before the first retry, randomized by ±50%. Each further delay is four times as long, up to one hour.
    #[arg(long, help_heading = "Captions", env = "CAPTION_RETRY_DELAY", default_value_t = Seconds(10))]
    pub caption_retry_delay: Seconds,
}

/// The configured source of captions.
#[derive(Debug, Clone)]
pub enum CaptionSetup {
    Off,
    /// Other instances create captions.
    Elsewhere,
    On {
        source: Source,
        model: String,
        timeout: Duration,
    },
}

impl CaptionConfig {
    pub(super) fn check(&mut self) -> Result<(), ConfigError> {
        for setting in [&mut self.caption_model_dir, &mut self.caption_url, &mut self.caption_api_key, &mut self.caption_model] {
            setting.take_if(|text| text.trim().is_empty());
        }
        let both = self.caption_model_dir.is_some() && self.caption_url.is_some();
        require(!both, "CAPTION_URL", "CAPTION_MODEL_DIR is set as well: set only one of them")?;
        if let Some(url) = &self.caption_url {
            let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let plain = parsed.is_some_and(|url| url.query().is_none() && url.fragment().is_none() && !has_credentials(&url));
            require(plain, "CAPTION_URL", "must be like http://localhost:11434/v1, without user, query or fragment")?;
            let complete = url.trim_end_matches('/').ends_with("/chat/completions");
            require(!complete, "CAPTION_URL", "must not include /chat/completions, which the service appends")?;
            require(self.caption_model.is_some(), "CAPTION_MODEL", "CAPTION_URL requires the name of a model")?;
        }
        if let Some(key) = &self.caption_api_key {
            let sendable = key.bytes().all(|byte| byte.is_ascii_graphic());
            require(sendable, "CAPTION_API_KEY", "must contain only visible ASCII characters")?;
        }
        if let Some(model) = &self.caption_model {
            let plain = model.len() <= 200 && !model.chars().any(char::is_control);
            require(plain, "CAPTION_MODEL", "must have at most 200 bytes and no control characters")?;
        }
        require(self.caption_concurrency <= 64, "CAPTION_CONCURRENCY", "must be at most 64")?;
        require(self.caption_threads <= 256, "CAPTION_THREADS", "must be at most 256")?;
        require((1..=100).contains(&self.caption_attempts), "CAPTION_ATTEMPTS", "must be from 1 to 100")?;
        for (variable, time) in [("CAPTION_TIMEOUT", self.caption_timeout), ("CAPTION_RETRY_DELAY", self.caption_retry_delay)] {
            require((1..=3600).contains(&time.0), variable, "must be from 1 to 3600 seconds")?;
        }
        Ok(())
    }

    pub fn setup(&self) -> CaptionSetup {
        let (source, model) = match (&self.caption_model_dir, &self.caption_url) {
            (Some(path), _) => {
                let path = PathBuf::from(path);
                let folder = path.canonicalize().unwrap_or_else(|_| path.clone());
                let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                (Source::Folder { path, threads: self.caption_threads }, name)
            }
            (None, Some(url)) => {
                let (api_key, prompt) = (self.caption_api_key.clone(), self.caption_prompt.clone());
                (Source::Endpoint { url: url.clone(), api_key, prompt }, String::new())
            }
            (None, None) => return CaptionSetup::Off,
        };
        if self.caption_concurrency == 0 {
            return CaptionSetup::Elsewhere;
        }
        let model = self.caption_model.clone().unwrap_or(model);
        CaptionSetup::On { source, model, timeout: self.caption_timeout.duration() }
    }

    pub(super) fn limits(&self) -> CaptionLimits {
        CaptionLimits {
            concurrency: self.caption_concurrency,
            attempts: self.caption_attempts,
            retry_delay: self.caption_retry_delay.duration(),
        }
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
