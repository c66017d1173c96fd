//! BLIP: what is to be seen in a picture, in a sentence.
//!
//! [`Blip::open`] reads a folder as Hugging Face has it (`config.json`, `model.safetensors`, `tokenizer.json`), and
//! [`Blip::caption`] writes a caption without being prompted, token by token the most likely: settings of other ways to write, as
//! `num_beams`, are not read. It computes in `f32`, and agrees with transformers to the fourth decimal of every logit.
//!
//! It works on the threads of the [`rayon::ThreadPool`] that it is called in, and on no others. Large products of matrices
//! are candle's; the rest is in `kernels`.
//!
//! candle reads `/proc/cpuinfo` before each of those products, about a hundred of them to a caption, unless the environment
//! has a `RAYON_NUM_THREADS`, whatever its value: a pity on machines of many processors.
//!
//! The source: Li et al. 2022, <https://arxiv.org/abs/2201.12086>, and `models/blip` of transformers 5.

mod attention;
mod config;
mod error;
mod files;
mod kernels;
mod layers;
mod picture;
mod tensors;
mod text;
mod tokenizer;
mod vision;
mod weights;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use candle_core::Tensor;
use config::Config;
use error::Stop;
pub use error::{CaptionError, OpenError, Problem};
use picture::Patches;
pub use picture::Picture;
use text::Decoder;
use tokenizer::Tokenizer;
use vision::Encoder;
use weights::Weights;

/// A model: about 900 MB for BLIP-base. Nothing in it changes, so any number of threads may ask it at once.
pub struct Blip {
    config: Config,
    encoder: Encoder,
    decoder: Decoder,
    tokenizer: Tokenizer,
}

/// Without its numbers.
impl fmt::Debug for Blip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Blip").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Blip {
    /// Reads a model, which blocks for about a second. The files are not needed afterwards.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        multiply_on_the_callers_thread();
        let config = Config::read(&folder.join("config.json"))?;
        let weights = Weights::open(&folder.join("model.safetensors"))?;
        let encoder = Encoder::read(&weights, &config.vision)?;
        let decoder = Decoder::read(&weights, &config.text, config.vision.width)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), config.text.vocabulary)?;
        Ok(Blip { config, encoder, decoder, tokenizer })
    }

    /// Pixels of a side of the square that every picture is squashed to.
    pub fn image_size(&self) -> u32 {
        self.config.vision.image_size as u32
    }

    /// The caption: at most 19 tokens, of which most are words. May be empty.
    ///
    /// `stop` is asked several times a second, by any of the threads; true ends the work with [`CaptionError::Stopped`].
    /// Memory: about 60 MB for BLIP-base, and what the picture takes.
    pub fn caption(&self, picture: Picture<'_>, stop: Stop<'_>) -> Result<String, CaptionError> {
        self.tokenizer.decode(&self.tokens(picture, stop, |_| ())?)
    }

    /// The tokens of the caption. `each` sees the logits that each of them, and the end, is chosen by.
    fn tokens(&self, picture: Picture<'_>, stop: Stop<'_>, each: impl FnMut(&[f32])) -> Result<Vec<u32>, CaptionError> {
        self.decoder.write(&self.encode(picture, stop)?, stop, each)
    }

    fn encode(&self, picture: Picture<'_>, stop: Stop<'_>) -> Result<Tensor, CaptionError> {
        let patches = Patches::cut(picture, self.config.vision.image_size, self.config.vision.patch_size)?;
        self.encoder.encode(&patches, stop)
    }
}

/// candle has its products computed in as many pieces as the machine has cores, whatever the pool. We divide the work
/// ourselves; in pieces of pieces, each would prepare the same matrix again.
fn multiply_on_the_callers_thread() {
    gemm::set_threading_threshold(usize::MAX);
}
