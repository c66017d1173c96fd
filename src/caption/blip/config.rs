//! `config.json`: the dimensions of the model, with transformers' defaults for missing settings.
//!
//! Source: `BlipTextConfig` and `BlipVisionConfig` of transformers 5. Each dimension is checked against a limit before memory is
//! allocated for it. The limits are several times the dimensions of the largest published BLIP.

use serde::Deserialize;
use std::path::Path;

use super::error::{OpenError, Problem};
use super::files::read_small;

/// Maximum number of tokens of a caption, including those that begin and end it. This is `max_length` of transformers 4, which
/// the model's authors used for their captions.
pub(super) const MAX_TOKENS: usize = 20;

const MODEL_TYPE: &str = "blip";

/// The largest published image encoder, BLIP-large's, has a width of 1024 and 24 layers.
const MAX_WIDTH: usize = 4096;
const MAX_INTERMEDIATE: usize = 16_384;
const MAX_LAYERS: usize = 64;
/// In pixels. Published models use 384 for captioning and 480 for question answering.
const MAX_IMAGE_SIZE: usize = 1024;
/// Memory and time of the attention in every layer grow with the square of the number of patches.
const MAX_PATCHES: usize = 4096;
const MAX_VOCABULARY: usize = 1 << 18;
const MAX_POSITIONS: usize = 1 << 16;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub vision: VisionConfig,
    pub text: TextConfig,
}

/// The settings of the image encoder, a ViT.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VisionConfig {
    pub width: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    /// Side of the image in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels; divides `image_size`.
    pub patch_size: usize,
    pub epsilon: f32,
}

impl VisionConfig {
    /// Returns the number of tokens: the class token, which represents the whole image, and one for each patch.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }
}

/// The settings of the text decoder, a BERT with cross attention.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextConfig {
    pub vocabulary: usize,
    pub width: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub positions: usize,
    pub epsilon: f32,
    /// The token that begins every caption: `bos_token_id`.
    pub begin: u32,
    /// The token that ends every caption: `sep_token_id`. BLIP does not use `eos_token_id`.
    pub end: u32,
    /// Whether the word embeddings serve as output weights if the file has none.
    pub tied: bool,
}

impl Config {
    pub fn read(file: &Path) -> Result<Self, OpenError> {
        let wrong = |problem| OpenError::new(file, problem);
        let raw: RawConfig = serde_json::from_slice(&read_small(file)?).map_err(|error| wrong(Problem::Json(error)))?;
        raw.check().map_err(wrong)
    }
}

/// The file's content before validation.
#[derive(Deserialize)]
#[serde(default)]
struct RawConfig {
    model_type: String,
    text_config: Option<RawTextConfig>,
    vision_config: Option<RawVisionConfig>,
    tie_word_embeddings: bool,
}

impl Default for RawConfig {
    fn default() -> Self {
        RawConfig { model_type: MODEL_TYPE.into(), text_config: None, vision_config: None, tie_word_embeddings: true }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct RawTextConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    bos_token_id: u32,
    sep_token_id: u32,
    tie_word_embeddings: bool,
}

impl Default for RawTextConfig {
    fn default() -> Self {
        RawTextConfig {
            vocab_size: 30_524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            // The default of transformers. The published checkpoints have 12 and set it explicitly.
            num_attention_heads: 8,
            max_position_embeddings: 512,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-12,
            bos_token_id: 30_522,
            sep_token_id: 102,
            tie_word_embeddings: true,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct RawVisionConfig {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: Side,
    patch_size: Side,
    hidden_act: String,
    layer_norm_eps: f32,
}

impl Default for RawVisionConfig {
    fn default() -> Self {
        RawVisionConfig {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: Side::One(384),
            patch_size: Side::One(16),
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

/// A side of a square. transformers 5 also accepts a height and a width, which must be equal for BLIP.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Side {
    One(usize),
    Two([usize; 2]),
}

impl Side {
    fn square_side(self, setting: &str) -> Result<usize, Problem> {
        match self {
            Side::One(side) => Ok(side),
            Side::Two([height, width]) if height == width => Ok(height),
            Side::Two(sides) => Err(invalid(setting, format!("{sides:?}"), "it must be square")),
        }
    }
}

impl RawConfig {
    fn check(self) -> Result<Config, Problem> {
        if self.model_type != MODEL_TYPE {
            return Err(invalid("model_type", self.model_type, "only blip is supported"));
        }
        let tied = self.tie_word_embeddings;
        Ok(Config {
            vision: self.vision_config.unwrap_or_default().check()?,
            text: self.text_config.unwrap_or_default().check(tied)?,
        })
    }
}

impl RawVisionConfig {
    fn check(self) -> Result<VisionConfig, Problem> {
        let image_size = self.image_size.square_side("vision_config.image_size")?;
        let patch_size = self.patch_size.square_side("vision_config.patch_size")?;
        within("vision_config.image_size", image_size, 1, MAX_IMAGE_SIZE)?;
        within("vision_config.patch_size", patch_size, 1, image_size)?;
        divides("vision_config.patch_size", patch_size, "image_size", image_size)?;
        let max_per_side = (MAX_PATCHES as f64).sqrt() as usize;
        if image_size / patch_size > max_per_side {
            let expected = format!("an image of {image_size} may have at most {max_per_side} × {max_per_side} patches");
            return Err(invalid("vision_config.patch_size", patch_size, &expected));
        }
        check_layers(
            "vision_config",
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
        )?;
        Ok(VisionConfig {
            width: self.hidden_size,
            intermediate: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            image_size,
            patch_size,
            epsilon: epsilon("vision_config", self.layer_norm_eps, &self.hidden_act)?,
        })
    }
}

impl RawTextConfig {
    fn check(self, tied: bool) -> Result<TextConfig, Problem> {
        within("text_config.vocab_size", self.vocab_size, 1, MAX_VOCABULARY)?;
        within("text_config.max_position_embeddings", self.max_position_embeddings, MAX_TOKENS, MAX_POSITIONS)?;
        within("text_config.bos_token_id", self.bos_token_id as usize, 0, self.vocab_size - 1)?;
        within("text_config.sep_token_id", self.sep_token_id as usize, 0, self.vocab_size - 1)?;
        check_layers(
            "text_config",
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
        )?;
        Ok(TextConfig {
            vocabulary: self.vocab_size,
            width: self.hidden_size,
            intermediate: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            positions: self.max_position_embeddings,
            epsilon: epsilon("text_config", self.layer_norm_eps, &self.hidden_act)?,
            begin: self.bos_token_id,
            end: self.sep_token_id,
            tied: tied || self.tie_word_embeddings,
        })
    }
}

fn check_layers(part: &str, [width, intermediate, layers, heads]: [usize; 4]) -> Result<(), Problem> {
    within(&format!("{part}.hidden_size"), width, 1, MAX_WIDTH)?;
    within(&format!("{part}.intermediate_size"), intermediate, 1, MAX_INTERMEDIATE)?;
    within(&format!("{part}.num_hidden_layers"), layers, 1, MAX_LAYERS)?;
    within(&format!("{part}.num_attention_heads"), heads, 1, width)?;
    divides(&format!("{part}.num_attention_heads"), heads, "hidden_size", width)
}

/// Checks the epsilon of the layer normalisations, and that the activation is the only supported one.
fn epsilon(part: &str, epsilon: f32, activation: &str) -> Result<f32, Problem> {
    if activation != "gelu" {
        return Err(invalid(&format!("{part}.hidden_act"), activation, "only gelu is supported"));
    }
    if (0.0..=1.0).contains(&epsilon) {
        Ok(epsilon)
    } else {
        Err(invalid(&format!("{part}.layer_norm_eps"), epsilon, "it must be from 0 to 1"))
    }
}

fn within(setting: &str, found: usize, min: usize, max: usize) -> Result<(), Problem> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(invalid(setting, found, &format!("it must be from {min} to {max}"))) }
}

fn divides(setting: &str, found: usize, whole: &str, size: usize) -> Result<(), Problem> {
    if size.is_multiple_of(found) {
        Ok(())
    } else {
        Err(invalid(setting, found, &format!("it must divide the {whole} of {size}")))
    }
}

fn invalid(setting: &str, found: impl ToString, expected: &str) -> Problem {
    Problem::Setting { setting: setting.into(), found: found.to_string(), expected: expected.into() }
}
