//! `tokenizer.json`: converts tokens to text.

use std::collections::HashSet;
use std::path::Path;

use super::error::{CaptionError, OpenError, Problem};
use super::files::read_small;

pub(super) struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads the tokenizer. `vocabulary` is the number of tokens of the model. The tokenizer may have a few less, because the
    /// model has extra tokens that begin a caption or a search, and tables are rounded up.
    pub fn open(file: &Path, vocabulary: usize) -> Result<Self, OpenError> {
        let wrong = |problem| OpenError::new(file, problem);
        let tokenizer = tokenizers::Tokenizer::from_bytes(read_small(file)?).map_err(|error| wrong(Problem::Tokenizer(error)))?;
        let ids: HashSet<u32> = tokenizer.get_vocab(true).into_values().collect();
        match ids.iter().max() {
            Some(highest) if *highest as usize >= vocabulary => Err(wrong(Problem::TokenId { highest: *highest, vocabulary })),
            _ if ids.len() + vocabulary / 100 + 2 < vocabulary => {
                Err(wrong(Problem::TokenCount { tokens: ids.len(), vocabulary }))
            }
            _ => Ok(Tokenizer(tokenizer)),
        }
    }

    /// Returns the text of tokens. Skips special and unknown tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, CaptionError> {
        self.0.decode(tokens, true).map_err(CaptionError::Decode)
    }
}
