//! `config.json`: the sizes of the model, with the defaults that transformers has for what is left out.
//!
//! The source is `BlipTextConfig` and `BlipVisionConfig` of transformers 5. A size has a limit before anything is
//! allocated for it, several times what the largest published BLIP has.

use serde::Deserialize;
use std::path::Path;

use super::error::{OpenError, Problem};
use super::files::read_small;

/// Tokens of a caption, with the one that it begins with and the one that ends it: `max_length` of transformers 4, with
/// which the captions of the model's authors were made.
pub(super) const MAX_TOKENS: usize = 20;

const MODEL_TYPE: &str = "blip";

/// BLIP-large's image encoder has a width of 1024 and 24 layers; nothing published is larger.
const MAX_WIDTH: usize = 4096;
const MAX_INTERMEDIATE: usize = 16_384;
const MAX_LAYERS: usize = 64;
/// Pixels: 384 in captioning, 480 in question answering.
const MAX_IMAGE_SIZE: usize = 1024;
/// The attention of every layer takes memory and time by the square of them.
const MAX_PATCHES: usize = 4096;
const MAX_VOCABULARY: usize = 1 << 18;
const MAX_POSITIONS: usize = 1 << 16;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub vision: Vision,
    pub text: Text,
}

/// Of the image encoder, a ViT.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vision {
    pub width: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    /// Pixels of a side.
    pub image_size: usize,
    /// Pixels of a side; divides `image_size`.
    pub patch_size: usize,
    pub epsilon: f32,
}

impl Vision {
    /// One for each patch, and one before them for the whole picture.
    pub fn tokens(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + 1
    }
}

/// Of the text decoder, a BERT with cross attention.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub vocabulary: usize,
    pub width: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub positions: usize,
    pub epsilon: f32,
    /// The token that every caption begins with.
    pub begin: u32,
    /// The token that ends it: not the `eos_token_id`, which BLIP does not use.
    pub end: u32,
    /// Whether a file without output weights means those of the word embeddings.
    pub tied: bool,
}

impl Config {
    pub fn read(file: &Path) -> Result<Self, OpenError> {
        let wrong = |problem| OpenError::new(file, problem);
        let said: Said = serde_json::from_slice(&read_small(file)?).map_err(|error| wrong(Problem::Json(error)))?;
        said.check().map_err(wrong)
    }
}

/// The file as it is.
#[derive(Deserialize)]
#[serde(default)]
struct Said {
    model_type: String,
    text_config: Option<SaidOfText>,
    vision_config: Option<SaidOfVision>,
    tie_word_embeddings: bool,
}

impl Default for Said {
    fn default() -> Self {
        Said { model_type: MODEL_TYPE.into(), text_config: None, vision_config: None, tie_word_embeddings: true }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct SaidOfText {
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

impl Default for SaidOfText {
    fn default() -> Self {
        SaidOfText {
            vocab_size: 30_524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            // The checkpoints have 12, and say so.
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
struct SaidOfVision {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: Side,
    patch_size: Side,
    hidden_act: String,
    layer_norm_eps: f32,
}

impl Default for SaidOfVision {
    fn default() -> Self {
        SaidOfVision {
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

/// Transformers 5 takes a height and a width too. BLIP is made of squares.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Side {
    One(usize),
    Two([usize; 2]),
}

impl Side {
    fn of_square(self, setting: &str) -> Result<usize, Problem> {
        match self {
            Side::One(side) => Ok(side),
            Side::Two([height, width]) if height == width => Ok(height),
            Side::Two(sides) => Err(wrong(setting, format!("{sides:?}"), "it has to be square")),
        }
    }
}

impl Said {
    fn check(self) -> Result<Config, Problem> {
        if self.model_type != MODEL_TYPE {
            return Err(wrong("model_type", self.model_type, "only blip is known here"));
        }
        let tied = self.tie_word_embeddings;
        Ok(Config {
            vision: self.vision_config.unwrap_or_default().check()?,
            text: self.text_config.unwrap_or_default().check(tied)?,
        })
    }
}

impl SaidOfVision {
    fn check(self) -> Result<Vision, Problem> {
        let image_size = self.image_size.of_square("vision_config.image_size")?;
        let patch_size = self.patch_size.of_square("vision_config.patch_size")?;
        within("vision_config.image_size", image_size, 1, MAX_IMAGE_SIZE)?;
        within("vision_config.patch_size", patch_size, 1, image_size)?;
        divides("vision_config.patch_size", patch_size, "image_size", image_size)?;
        let most = (MAX_PATCHES as f64).sqrt() as usize;
        if image_size / patch_size > most {
            let expected = format!("an image of {image_size} may have at most {most} × {most} patches");
            return Err(wrong("vision_config.patch_size", patch_size, &expected));
        }
        check_layers(
            "vision_config",
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
        )?;
        Ok(Vision {
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

impl SaidOfText {
    fn check(self, tied: bool) -> Result<Text, Problem> {
        within("text_config.vocab_size", self.vocab_size, 1, MAX_VOCABULARY)?;
        within("text_config.max_position_embeddings", self.max_position_embeddings, MAX_TOKENS, MAX_POSITIONS)?;
        within("text_config.bos_token_id", self.bos_token_id as usize, 0, self.vocab_size - 1)?;
        within("text_config.sep_token_id", self.sep_token_id as usize, 0, self.vocab_size - 1)?;
        check_layers(
            "text_config",
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads],
        )?;
        Ok(Text {
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

/// What the layers' normalisations add to the variance. The activation is looked at here because nothing but one is known.
fn epsilon(part: &str, epsilon: f32, activation: &str) -> Result<f32, Problem> {
    if activation != "gelu" {
        return Err(wrong(&format!("{part}.hidden_act"), activation, "only gelu is known here"));
    }
    if (0.0..=1.0).contains(&epsilon) {
        Ok(epsilon)
    } else {
        Err(wrong(&format!("{part}.layer_norm_eps"), epsilon, "it has to be from 0 to 1"))
    }
}

fn within(setting: &str, found: usize, least: usize, most: usize) -> Result<(), Problem> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(wrong(setting, found, &format!("it has to be from {least} to {most}")))
    }
}

fn divides(setting: &str, found: usize, whole: &str, size: usize) -> Result<(), Problem> {
    if size.is_multiple_of(found) {
        Ok(())
    } else {
        Err(wrong(setting, found, &format!("it has to divide the {whole} of {size}")))
    }
}

fn wrong(setting: &str, found: impl ToString, expected: &str) -> Problem {
    Problem::Setting { setting: setting.into(), found: found.to_string(), expected: expected.into() }
}
