//! BLIP, a model that describes an image in a sentence.
//!
//! [`Blip::open`] reads a directory in Hugging Face's layout (`config.json`, `model.safetensors`, `tokenizer.json`).
//! [`Blip::caption`] generates a caption without a prompt by greedy decoding; settings for other strategies, such as `num_beams`,
//! are ignored. It computes in `f32` and agrees with transformers to the fourth decimal of every logit.
//!
//! It runs only on the threads of the [`rayon::ThreadPool`] in which it is called. candle computes the large matrix products;
//! `kernels` has the rest.
//!
//! candle reads `/proc/cpuinfo` before each product, about a hundred times per caption, unless the environment variable
//! `RAYON_NUM_THREADS` is set to any value. This is slow on machines with many processors.
//!
//! Source: Li et al. 2022, <https://arxiv.org/abs/2201.12086>, and `models/blip` of transformers 5.

mod attention;
mod config;
mod error;
mod files;
mod kernels;
mod layers;
mod preprocess;
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
use error::ShouldStop;
pub use error::{CaptionError, OpenError, Problem};
use preprocess::Patches;
pub use preprocess::RgbImage;
use text::Decoder;
use tokenizer::Tokenizer;
use vision::Encoder;
use weights::Weights;

/// A model: about 900 MB for BLIP-base. It is immutable, so any number of threads can use it concurrently.
pub struct Blip {
    config: Config,
    encoder: Encoder,
    decoder: Decoder,
    tokenizer: Tokenizer,
}

/// Omits the weights.
impl fmt::Debug for Blip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Blip").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Blip {
    /// Reads a model, which blocks for about a second. The files are not needed afterwards.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        disable_gemm_threads();
        let config = Config::read(&folder.join("config.json"))?;
        let weights = Weights::open(&folder.join("model.safetensors"))?;
        let encoder = Encoder::read(&weights, &config.vision)?;
        let decoder = Decoder::read(&weights, &config.text, config.vision.width)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), config.text.vocabulary)?;
        Ok(Blip { config, encoder, decoder, tokenizer })
    }

    /// Returns the side in pixels of the square to which every image is resized.
    pub fn image_size(&self) -> u32 {
        self.config.vision.image_size as u32
    }

    /// Returns a caption of at most 19 tokens, most of which are words. It may be empty.
    ///
    /// Any of the threads calls `stop` several times a second; `true` stops the work with [`CaptionError::Stopped`].
    /// Memory: about 60 MB for BLIP-base, in addition to the image.
    pub fn caption(&self, image: RgbImage<'_>, stop: ShouldStop<'_>) -> Result<String, CaptionError> {
        self.tokenizer.decode(&self.tokens(image, stop, |_| ())?)
    }

    /// Returns the caption's tokens. `each` receives the logits for each token, including the final one.
    fn tokens(&self, image: RgbImage<'_>, stop: ShouldStop<'_>, each: impl FnMut(&[f32])) -> Result<Vec<u32>, CaptionError> {
        self.decoder.generate(&self.encode(image, stop)?, stop, each)
    }

    fn encode(&self, image: RgbImage<'_>, stop: ShouldStop<'_>) -> Result<Tensor, CaptionError> {
        let patches = Patches::new(image, self.config.vision.image_size, self.config.vision.patch_size)?;
        self.encoder.encode(&patches, stop)
    }
}

/// Makes candle compute each product on the calling thread. By default it splits products by the machine's number of cores,
/// regardless of the pool. This module divides the work itself; with nested splits, each part would pack the same matrix again.
fn disable_gemm_threads() {
    gemm::set_threading_threshold(usize::MAX);
}
