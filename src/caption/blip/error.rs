//! Errors of opening a model and of captioning.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model cannot be opened: the file and the problem with it.
#[derive(Debug)]
pub struct OpenError {
    pub file: PathBuf,
    pub problem: Problem,
}

impl OpenError {
    pub(super) fn new(file: &Path, problem: Problem) -> Self {
        OpenError { file: file.to_owned(), problem }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for OpenError {
    /// Returns the problem's source, because `Display` contains the problem itself.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

/// A problem with a file. `Display` is a phrase that follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("has {bytes} bytes, limit {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("is not valid JSON for this file")]
    Json(#[source] serde_json::Error),
    #[error("is invalid: {setting} is {found}, but {expected}")]
    Setting { setting: String, found: String, expected: String },
    #[error("is not a safetensors file: {0}")]
    NotSafetensors(&'static str),
    #[error("has an inconsistent header")]
    Header(#[source] serde_json::Error),
    #[error("has {found} bytes instead of {expected} according to its header")]
    Length { expected: u64, found: u64 },
    #[error("has no tensor {0}")]
    Missing(String),
    #[error("has a tensor {name} of shape {found:?}, expected {expected:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("has a tensor {name} of type {found}, expected F32, F16 or BF16")]
    Type { name: String, found: String },
    #[error("has a tensor {0} with values that are not finite")]
    NotFinite(String),
    #[error("is not a tokenizer")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("has the token id {highest}, but the model's vocabulary has only {vocabulary} tokens")]
    TokenId { highest: u32, vocabulary: usize },
    #[error("has {tokens} tokens, but the model's vocabulary has {vocabulary}: the files belong to different models")]
    TokenCount { tokens: usize, vocabulary: usize },
    #[error("cannot be converted to a tensor")]
    Tensor(#[from] candle_core::Error),
}

/// Why an image has no caption.
#[derive(Debug, thiserror::Error)]
pub enum CaptionError {
    /// The caller stopped the work.
    #[error("stopped")]
    Stopped,
    #[error("an RGB image of {width} × {height} pixels cannot have {bytes} bytes")]
    NotRgb { width: u32, height: u32, bytes: usize },
    #[error("the image cannot be resized")]
    Resize(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The weights are finite, but sums of them are not.
    #[error("a number in the model overflowed")]
    Overflow,
    #[error("the tokens cannot be decoded")]
    Decode(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the model cannot be computed")]
    Tensor(#[from] candle_core::Error),
}

/// Called between steps of some milliseconds; `true` stops the work.
pub(super) type ShouldStop<'a> = &'a (dyn Fn() -> bool + Sync);

pub(super) fn check_stop(stop: ShouldStop<'_>) -> Result<(), CaptionError> {
    if stop() { Err(CaptionError::Stopped) } else { Ok(()) }
}
