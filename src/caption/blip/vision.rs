//! The image encoder: a vision transformer, normalised before each half of a layer.
//!
//! The rows of a picture, one for each patch, are divided among the threads for the whole way. Only in attention do they
//! need each other: there, all wait until the keys and values of all are gathered.
//!
//! The source: `BlipVisionModel` of transformers; Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::ops::Range;

use super::attention::Memory;
use super::config::Vision;
use super::error::{CaptionError, OpenError, Stop, go_on};
use super::layers::{Linear, Norm};
use super::picture::Patches;
use super::tensors::{AddRows, values};
use super::weights::Weights;

pub(super) struct Encoder {
    config: Vision,
    patches: Tensor,
    /// Of each row: its position, and what else is the same for every picture.
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
}

struct Layer {
    attention_norm: Norm,
    /// Queries, keys and values.
    attention: Linear,
    projection: Linear,
    norm: Norm,
    widen: Linear,
    narrow: Linear,
}

impl Encoder {
    pub fn read(weights: &Weights, config: &Vision) -> Result<Self, OpenError> {
        let Vision { width, patch_size: patch, epsilon, .. } = *config;
        let at = "vision_model.embeddings";
        let name = format!("{at}.patch_embedding.weight");
        let patches = weights.tensor(&name, &[width, 3, patch, patch], (width, 3 * patch * patch))?;
        Ok(Encoder {
            config: config.clone(),
            patches,
            positions: read_positions(weights, at, config)?,
            layers: (0..config.layers)
                .map(|layer| Layer::read(weights, &format!("vision_model.encoder.layers.{layer}"), config))
                .collect::<Result<_, _>>()?,
            norm: Norm::read(weights, "vision_model.post_layernorm", width, epsilon)?,
        })
    }

    /// A row for the whole picture and one for each patch, each of `width` numbers.
    pub fn encode(&self, patches: &Patches, stop: Stop<'_>) -> Result<Tensor, CaptionError> {
        let mut parts: Vec<Tensor> =
            self.shares().into_par_iter().map(|rows| self.embed(patches, rows)).collect::<Result<_, _>>()?;
        for layer in &self.layers {
            parts = layer.apply(parts, self.config.heads, stop)?;
        }
        let mut rows = Vec::with_capacity(self.config.tokens() * self.config.width);
        for part in &parts {
            rows.extend_from_slice(&values(&self.norm.rows(part)?)?);
        }
        Ok(Tensor::from_vec(rows, (self.config.tokens(), self.config.width), &Device::Cpu)?)
    }

    /// The rows that each thread has.
    fn shares(&self) -> Vec<Range<usize>> {
        let (tokens, threads) = (self.config.tokens(), rayon::current_num_threads());
        let share = tokens.div_ceil(threads);
        (0..tokens).step_by(share).map(|from| from..tokens.min(from + share)).collect()
    }

    fn embed(&self, patches: &Patches, rows: Range<usize>) -> candle_core::Result<Tensor> {
        let (width, length) = self.patches.dims2()?;
        let mut planes = vec![0.0; rows.len() * length];
        for (row, planes) in rows.clone().zip(planes.chunks_exact_mut(length)) {
            // The first row is of the whole picture, of no patch.
            if let Some(index) = row.checked_sub(1) {
                patches.write(index, planes);
            }
        }
        let planes = Tensor::from_vec(planes, (rows.len(), length), &Device::Cpu)?;
        let embedded = planes.matmul(&self.patches.t()?)?;
        let positions = self.positions.narrow(0, rows.start, rows.len())?;
        embedded.inplace_op2(&positions, &AddRows(&vec![0.0; width]))?;
        Ok(embedded)
    }
}

/// The positions, to which the first row's embedding and the patches' bias are added once and for all.
fn read_positions(weights: &Weights, at: &str, config: &Vision) -> Result<Tensor, OpenError> {
    let (tokens, width) = (config.tokens(), config.width);
    let mut positions = weights.values(&format!("{at}.position_embedding"), &[1, tokens, width])?;
    let whole = weights.values(&format!("{at}.class_embedding"), &[1, 1, width])?;
    let bias = weights.values(&format!("{at}.patch_embedding.bias"), &[width])?;
    for (row, position) in positions.chunks_exact_mut(width).enumerate() {
        for (number, more) in position.iter_mut().zip(if row == 0 { &whole } else { &bias }) {
            *number += more;
        }
    }
    weights.make(positions, (tokens, width))
}

impl Layer {
    fn read(weights: &Weights, at: &str, config: &Vision) -> Result<Self, OpenError> {
        let Vision { width, intermediate, epsilon, .. } = *config;
        let linear = |name: &str, from, to| weights.made(Linear::read(weights, &format!("{at}.{name}"), from, to)?.by_columns());
        let norm = |name: &str| Norm::read(weights, &format!("{at}.{name}"), width, epsilon);
        Ok(Layer {
            attention_norm: norm("layer_norm1")?,
            attention: linear("self_attn.qkv", width, 3 * width)?,
            projection: linear("self_attn.projection", width, width)?,
            norm: norm("layer_norm2")?,
            widen: linear("mlp.fc1", width, intermediate)?,
            narrow: linear("mlp.fc2", intermediate, width)?,
        })
    }

    fn apply(&self, parts: Vec<Tensor>, heads: usize, stop: Stop<'_>) -> Result<Vec<Tensor>, CaptionError> {
        go_on(stop)?;
        let queries: Vec<Tensor> =
            parts.par_iter().map(|rows| self.attention.rows(&self.attention_norm.rows(rows)?)).collect::<Result<_, _>>()?;
        go_on(stop)?;
        let memory = Memory::gather(&queries, heads)?;
        parts
            .into_par_iter()
            .zip(queries)
            .map(|(rows, queries)| {
                self.projection.add_rows(&memory.rows(&queries)?, &rows)?;
                go_on(stop)?;
                let widened = self.widen.rows_gelu(&self.norm.rows(&rows)?)?;
                go_on(stop)?;
                self.narrow.add_rows(&widened, &rows)?;
                Ok(rows)
            })
            .collect()
    }
}
