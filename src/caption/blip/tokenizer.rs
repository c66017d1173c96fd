//! `tokenizer.json`: the words that tokens stand for.

use std::collections::HashSet;
use std::path::Path;

use super::error::{CaptionError, OpenError, Problem};
use super::files::read_small;

pub(super) struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// `known` is how many tokens the model has. The tokenizer may have a few less: those that begin a caption or a search are
    /// not words, and tables are rounded up.
    pub fn open(file: &Path, known: usize) -> Result<Self, OpenError> {
        let wrong = |problem| OpenError::new(file, problem);
        let tokenizer = tokenizers::Tokenizer::from_bytes(read_small(file)?).map_err(|error| wrong(Problem::Tokenizer(error)))?;
        let words: HashSet<u32> = tokenizer.get_vocab(true).into_values().collect();
        match words.iter().max() {
            Some(highest) if *highest as usize >= known => Err(wrong(Problem::Vocabulary { highest: *highest, known })),
            _ if words.len() + known / 100 + 2 < known => Err(wrong(Problem::Words { words: words.len(), known })),
            _ => Ok(Tokenizer(tokenizer)),
        }
    }

    /// The text of tokens, without the special ones and those that the tokenizer does not know.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, CaptionError> {
        self.0.decode(tokens, true).map_err(CaptionError::Words)
    }
}
