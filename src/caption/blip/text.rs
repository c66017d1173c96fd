//! The text decoder: a BERT that looks at the picture in every layer, normalised after each part of one.
//!
//! It goes token by token. What the tokens so far leave behind for the next is kept, and what the picture is to every
//! token is computed once.
//!
//! The source: `BlipTextLMHeadModel` of transformers; Li et al. 2022, <https://arxiv.org/abs/2201.12086>.

use candle_core::{Result as TensorResult, Tensor};
use rayon::prelude::*;

use super::attention::{Past, View};
use super::config::{MAX_TOKENS, Text};
use super::error::{CaptionError, OpenError, Stop, go_on};
use super::layers::{Linear, Norm};
use super::tensors::values;
use super::weights::Weights;

pub(super) struct Decoder {
    config: Text,
    words: Tensor,
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    transform: Linear,
    transform_norm: Norm,
    output: Linear,
}

struct Layer {
    /// Queries, keys and values.
    attention: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    picture_query: Linear,
    picture_key: Linear,
    picture_value: Linear,
    picture_output: Linear,
    picture_norm: Norm,
    widen: Linear,
    narrow: Linear,
    norm: Norm,
}

impl Decoder {
    /// `encoded` is how long the image encoder's rows are.
    pub fn read(weights: &Weights, config: &Text, encoded: usize) -> Result<Self, OpenError> {
        let Text { vocabulary, width, epsilon, .. } = *config;
        let (bert, head) = ("text_decoder.bert", "text_decoder.cls.predictions");
        let embeddings = format!("{bert}.embeddings");
        let words = weights.matrix(&format!("{embeddings}.word_embeddings.weight"), [vocabulary, width])?;
        let output = read_output(weights, head, &words, config)?;
        Ok(Decoder {
            config: config.clone(),
            words,
            positions: weights.matrix(&format!("{embeddings}.position_embeddings.weight"), [config.positions, width])?,
            norm: Norm::read(weights, &format!("{embeddings}.LayerNorm"), width, epsilon)?,
            layers: (0..config.layers)
                .map(|layer| Layer::read(weights, &format!("{bert}.encoder.layer.{layer}"), config, encoded))
                .collect::<Result<_, _>>()?,
            transform: Linear::read(weights, &format!("{head}.transform.dense"), width, width)?,
            transform_norm: Norm::read(weights, &format!("{head}.transform.LayerNorm"), width, epsilon)?,
            output,
        })
    }

    /// The most likely caption, token by token ("greedy"): without the tokens that begin and end it.
    ///
    /// `each` is shown how likely each token is to come next, whenever one is chosen, as logits.
    pub fn write(&self, encoded: &Tensor, stop: Stop<'_>, mut each: impl FnMut(&[f32])) -> Result<Vec<u32>, CaptionError> {
        let views = self.look(encoded, stop)?;
        let mut pasts: Vec<Past> = self.layers.iter().map(|_| Past::default()).collect();
        let mut tokens = vec![self.config.begin];
        while let (true, Some(last)) = (tokens.len() < MAX_TOKENS, tokens.last()) {
            let mut row = self.embed(*last as usize, tokens.len() - 1)?;
            for ((layer, past), view) in self.layers.iter().zip(&mut pasts).zip(&views) {
                go_on(stop)?;
                row = layer.apply(row, past, view, self.config.heads)?;
            }
            let logits = self.predict(&row)?;
            each(&logits);
            match most_likely(&logits)? {
                end if end == self.config.end => break,
                token => tokens.push(token),
            }
        }
        Ok(tokens.split_off(1))
    }

    /// What the picture is to each layer.
    fn look(&self, encoded: &Tensor, stop: Stop<'_>) -> Result<Vec<View>, CaptionError> {
        self.layers
            .par_iter()
            .map(|layer| {
                go_on(stop)?;
                let keys = layer.picture_key.rows(encoded)?;
                go_on(stop)?;
                Ok(View::gather(&keys, layer.picture_value.columns(encoded)?, self.config.heads)?)
            })
            .collect()
    }

    fn embed(&self, token: usize, position: usize) -> TensorResult<Vec<f32>> {
        let width = self.config.width;
        let row = values(&self.words)?[token * width..][..width].to_vec();
        Ok(self.norm.sum(row, &values(&self.positions)?[position * width..][..width]))
    }

    fn predict(&self, row: &[f32]) -> TensorResult<Vec<f32>> {
        self.output.row(&self.transform_norm.row(&self.transform.row_gelu(row)?))
    }
}

/// The output weights are the word embeddings, in all published BLIPs, whether the file has a copy of them or not.
fn read_output(weights: &Weights, head: &str, words: &Tensor, config: &Text) -> Result<Linear, OpenError> {
    let weight = format!("{head}.decoder.weight");
    let bias = Some(format!("{head}.decoder.bias")).filter(|name| weights.has(name)).unwrap_or(format!("{head}.bias"));
    let bias = weights.values(&bias, &[config.vocabulary])?;
    if config.tied && !weights.has(&weight) {
        return Ok(Linear::new(words.clone(), bias));
    }
    let own = weights.matrix(&weight, [config.vocabulary, config.width])?;
    let copy = weights.made(equal(&own, words))?;
    Ok(Linear::new(if copy { words.clone() } else { own }, bias))
}

fn equal(one: &Tensor, other: &Tensor) -> TensorResult<bool> {
    Ok(*values(one)? == *values(other)?)
}

/// The first one, should several be.
fn most_likely(logits: &[f32]) -> Result<u32, CaptionError> {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in (0..).zip(logits) {
        if !logit.is_finite() {
            return Err(CaptionError::Overflow);
        }
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    Ok(best.0)
}

impl Layer {
    fn read(weights: &Weights, at: &str, config: &Text, encoded: usize) -> Result<Self, OpenError> {
        let Text { width, intermediate, epsilon, .. } = *config;
        let linear = |name: &str, from, to| Linear::read(weights, &format!("{at}.{name}"), from, to);
        let own = ["query", "key", "value"].map(|name| format!("{at}.attention.self.{name}"));
        let norm = |name: &str| Norm::read(weights, &format!("{at}.{name}"), width, epsilon);
        Ok(Layer {
            attention: Linear::read_stacked(weights, &own, width, width)?,
            attention_output: linear("attention.output.dense", width, width)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            picture_query: linear("crossattention.self.query", width, width)?,
            picture_key: weights.made(linear("crossattention.self.key", encoded, width)?.by_columns())?,
            picture_value: linear("crossattention.self.value", encoded, width)?,
            picture_output: linear("crossattention.output.dense", width, width)?,
            picture_norm: norm("crossattention.output.LayerNorm")?,
            widen: linear("intermediate.dense", width, intermediate)?,
            narrow: linear("output.dense", intermediate, width)?,
            norm: norm("output.LayerNorm")?,
        })
    }

    fn apply(&self, row: Vec<f32>, past: &mut Past, view: &View, heads: usize) -> TensorResult<Vec<f32>> {
        let found = past.row(&self.attention.row(&row)?, heads);
        let row = self.attention_norm.sum(self.attention_output.row(&found)?, &row);
        let found = view.row(&self.picture_query.row(&row)?)?;
        let row = self.picture_norm.sum(self.picture_output.row(&found)?, &row);
        let widened = self.widen.row_gelu(&row)?;
        Ok(self.norm.sum(self.narrow.row(&widened)?, &row))
    }
}
