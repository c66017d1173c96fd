//! `tokenizer.json`: the words that tokens stand for.

use std::path::Path;

use super::error::{CaptionError, OpenError, Problem};
use super::files::read_small;

pub(super) struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// `known` is how many tokens the model has. The tokenizer may have fewer: those that begin a caption or a search are
    /// not words.
    pub fn open(file: &Path, known: usize) -> Result<Self, OpenError> {
        let wrong = |problem| OpenError::new(file, problem);
        let tokenizer = tokenizers::Tokenizer::from_bytes(read_small(file)?).map_err(|error| wrong(Problem::Tokenizer(error)))?;
        match tokenizer.get_vocab(true).into_values().max() {
            Some(highest) if highest as usize >= known => Err(wrong(Problem::Vocabulary { highest, known })),
            _ => Ok(Tokenizer(tokenizer)),
        }
    }

    /// The text of tokens, without the special ones and those that the tokenizer does not know.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, CaptionError> {
        self.0.decode(tokens, true).map_err(CaptionError::Words)
    }
}
