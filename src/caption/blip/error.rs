//! Why a folder is no model, and why a picture got no caption.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder cannot be opened: which of its files, and what is wrong with it.
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
    /// The problem's own cause: the problem itself is in the text.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

/// `Display` goes on from the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("is no regular file")]
    NotAFile,
    #[error("has {bytes} bytes, limit {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("is not the JSON that it should be")]
    Json(#[source] serde_json::Error),
    #[error("says that {setting} is {found}, but {expected}")]
    Setting { setting: String, found: String, expected: String },
    #[error("is no safetensors file: {0}")]
    NotSafetensors(&'static str),
    #[error("has a header that contradicts itself")]
    Header(#[source] serde_json::Error),
    #[error("has {found} bytes, but its header speaks of {expected}")]
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
    #[error("has a word of id {highest}, but the model knows only {known} of them")]
    Vocabulary { highest: u32, known: usize },
    #[error("has {words} words, but the model knows {known}: they do not belong together")]
    Words { words: usize, known: usize },
    #[error("cannot be made a tensor of")]
    Tensor(#[from] candle_core::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum CaptionError {
    /// Whoever ordered the caption wanted it no longer.
    #[error("stopped")]
    Stopped,
    #[error("a picture of {width} × {height} pixels in {bytes} bytes is none of RGB")]
    NotAPicture { width: u32, height: u32, bytes: usize },
    #[error("the picture cannot be resized")]
    Resize(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Weights that are finite, but large enough for sums that are not.
    #[error("the model's numbers grew beyond all bounds")]
    Overflow,
    #[error("the model's words cannot be put together")]
    Words(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the model cannot be computed")]
    Tensor(#[from] candle_core::Error),
}

/// Asked between any two steps of some milliseconds; true ends the work.
pub(super) type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

pub(super) fn go_on(stop: Stop<'_>) -> Result<(), CaptionError> {
    if stop() { Err(CaptionError::Stopped) } else { Ok(()) }
}
