//! The text decoder: a BERT with cross attention to the image in every layer, and normalisation after each part of a layer
//! (post-norm).
//!
//! It generates one token at a time. The keys and values of earlier tokens are cached; those of the image are computed once.
//!
//! Source: `BlipTextLMHeadModel` of transformers; Li et al. 2022, <https://arxiv.org/abs/2201.12086>.

use candle_core::{Result as TensorResult, Tensor};
use rayon::prelude::*;

use super::attention::{CrossAttention, KvCache};
use super::config::{MAX_TOKENS, TextConfig};
use super::error::{CaptionError, OpenError, ShouldStop, check_stop};
use super::layers::{Linear, Norm};
use super::tensors::values;
use super::weights::Weights;

pub(super) struct Decoder {
    config: TextConfig,
    word_embeddings: Tensor,
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
    cross_query: Linear,
    cross_key: Linear,
    cross_value: Linear,
    cross_output: Linear,
    cross_norm: Norm,
    mlp_in: Linear,
    mlp_out: Linear,
    norm: Norm,
}

impl Decoder {
    /// Reads the decoder's weights. `encoded_width` is the length of the image encoder's rows.
    pub fn read(weights: &Weights, config: &TextConfig, encoded_width: usize) -> Result<Self, OpenError> {
        let TextConfig { vocabulary, width, epsilon, .. } = *config;
        let (bert, head) = ("text_decoder.bert", "text_decoder.cls.predictions");
        let embeddings = format!("{bert}.embeddings");
        let word_embeddings = weights.matrix(&format!("{embeddings}.word_embeddings.weight"), [vocabulary, width])?;
        let output = read_output(weights, head, &word_embeddings, config)?;
        Ok(Decoder {
            config: config.clone(),
            word_embeddings,
            positions: weights.matrix(&format!("{embeddings}.position_embeddings.weight"), [config.positions, width])?,
            norm: Norm::read(weights, &format!("{embeddings}.LayerNorm"), width, epsilon)?,
            layers: (0..config.layers)
                .map(|layer| Layer::read(weights, &format!("{bert}.encoder.layer.{layer}"), config, encoded_width))
                .collect::<Result<_, _>>()?,
            transform: Linear::read(weights, &format!("{head}.transform.dense"), width, width)?,
            transform_norm: Norm::read(weights, &format!("{head}.transform.LayerNorm"), width, epsilon)?,
            output,
        })
    }

    /// Generates a caption by greedy decoding: takes the most likely token at each step. The result excludes the tokens that
    /// begin and end the caption.
    ///
    /// `each` receives the logits of every step.
    pub fn generate(
        &self,
        encoded: &Tensor,
        stop: ShouldStop<'_>,
        mut each: impl FnMut(&[f32]),
    ) -> Result<Vec<u32>, CaptionError> {
        let cross_attentions = self.cross_attentions(encoded, stop)?;
        let mut caches: Vec<KvCache> = self.layers.iter().map(|_| KvCache::default()).collect();
        let mut tokens = vec![self.config.begin];
        while let (true, Some(last)) = (tokens.len() < MAX_TOKENS, tokens.last()) {
            let mut row = self.embed(*last as usize, tokens.len() - 1)?;
            for ((layer, cache), cross_attention) in self.layers.iter().zip(&mut caches).zip(&cross_attentions) {
                check_stop(stop)?;
                row = layer.apply(row, cache, cross_attention, self.config.heads)?;
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

    /// Computes each layer's keys and values of the image.
    fn cross_attentions(&self, encoded: &Tensor, stop: ShouldStop<'_>) -> Result<Vec<CrossAttention>, CaptionError> {
        self.layers
            .par_iter()
            .map(|layer| {
                check_stop(stop)?;
                let keys = layer.cross_key.rows(encoded)?;
                check_stop(stop)?;
                Ok(CrossAttention::gather(&keys, layer.cross_value.columns(encoded)?, self.config.heads)?)
            })
            .collect()
    }

    fn embed(&self, token: usize, position: usize) -> TensorResult<Vec<f32>> {
        let width = self.config.width;
        let row = values(&self.word_embeddings)?[token * width..][..width].to_vec();
        Ok(self.norm.sum(row, &values(&self.positions)?[position * width..][..width]))
    }

    fn predict(&self, row: &[f32]) -> TensorResult<Vec<f32>> {
        self.output.row(&self.transform_norm.row(&self.transform.row_gelu(row)?))
    }
}

/// Reads the output layer. In all published BLIPs its weights are the word embeddings, whether the file has a copy of them or
/// not.
fn read_output(weights: &Weights, head: &str, word_embeddings: &Tensor, config: &TextConfig) -> Result<Linear, OpenError> {
    let weight = format!("{head}.decoder.weight");
    let bias = Some(format!("{head}.decoder.bias")).filter(|name| weights.has(name)).unwrap_or(format!("{head}.bias"));
    let bias = weights.values(&bias, &[config.vocabulary])?;
    if config.tied && !weights.has(&weight) {
        return Ok(Linear::new(word_embeddings.clone(), bias));
    }
    let own = weights.matrix(&weight, [config.vocabulary, config.width])?;
    let copy = weights.check_tensor(equal(&own, word_embeddings))?;
    Ok(Linear::new(if copy { word_embeddings.clone() } else { own }, bias))
}

fn equal(one: &Tensor, other: &Tensor) -> TensorResult<bool> {
    Ok(*values(one)? == *values(other)?)
}

/// Returns the token with the largest logit, the first one if several are equal.
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
    fn read(weights: &Weights, at: &str, config: &TextConfig, encoded_width: usize) -> Result<Self, OpenError> {
        let TextConfig { width, intermediate, epsilon, .. } = *config;
        let linear = |name: &str, from, to| Linear::read(weights, &format!("{at}.{name}"), from, to);
        let own = ["query", "key", "value"].map(|name| format!("{at}.attention.self.{name}"));
        let norm = |name: &str| Norm::read(weights, &format!("{at}.{name}"), width, epsilon);
        Ok(Layer {
            attention: Linear::read_stacked(weights, &own, width, width)?,
            attention_output: linear("attention.output.dense", width, width)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            cross_query: linear("crossattention.self.query", width, width)?,
            cross_key: weights.check_tensor(linear("crossattention.self.key", encoded_width, width)?.by_columns())?,
            cross_value: linear("crossattention.self.value", encoded_width, width)?,
            cross_output: linear("crossattention.output.dense", width, width)?,
            cross_norm: norm("crossattention.output.LayerNorm")?,
            mlp_in: linear("intermediate.dense", width, intermediate)?,
            mlp_out: linear("output.dense", intermediate, width)?,
            norm: norm("output.LayerNorm")?,
        })
    }

    fn apply(
        &self,
        row: Vec<f32>,
        cache: &mut KvCache,
        cross_attention: &CrossAttention,
        heads: usize,
    ) -> TensorResult<Vec<f32>> {
        let attended = cache.row(&self.attention.row(&row)?, heads);
        let row = self.attention_norm.sum(self.attention_output.row(&attended)?, &row);
        let attended = cross_attention.row(&self.cross_query.row(&row)?)?;
        let row = self.cross_norm.sum(self.cross_output.row(&attended)?, &row);
        let widened = self.mlp_in.row_gelu(&row)?;
        Ok(self.norm.sum(self.mlp_out.row(&widened)?, &row))
    }
}
