//! The image encoder: a vision transformer with normalisation before each half of a layer (pre-norm).
//!
//! The rows (one for each token) are divided among the threads once, for all layers. Rows depend on each other only in attention:
//! there, all threads wait until the keys and values of all rows are gathered.
//!
//! Source: `BlipVisionModel` of transformers; Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::ops::Range;

use super::attention::KeyValues;
use super::config::VisionConfig;
use super::error::{CaptionError, OpenError, ShouldStop, check_stop};
use super::layers::{Linear, Norm};
use super::preprocess::Patches;
use super::tensors::{AddRows, values};
use super::weights::Weights;

pub(super) struct Encoder {
    config: VisionConfig,
    patch_projection: Tensor,
    /// The position embedding of each row, plus the other summands that are the same for every image.
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
    mlp_in: Linear,
    mlp_out: Linear,
}

impl Encoder {
    pub fn read(weights: &Weights, config: &VisionConfig) -> Result<Self, OpenError> {
        let VisionConfig { width, patch_size: patch, epsilon, .. } = *config;
        let at = "vision_model.embeddings";
        let name = format!("{at}.patch_embedding.weight");
        let patch_projection = weights.tensor(&name, &[width, 3, patch, patch], (width, 3 * patch * patch))?;
        Ok(Encoder {
            config: config.clone(),
            patch_projection,
            positions: read_positions(weights, at, config)?,
            layers: (0..config.layers)
                .map(|layer| Layer::read(weights, &format!("vision_model.encoder.layers.{layer}"), config))
                .collect::<Result<_, _>>()?,
            norm: Norm::read(weights, "vision_model.post_layernorm", width, epsilon)?,
        })
    }

    /// Returns a row of `width` numbers for each token: the class token first, then the patches.
    pub fn encode(&self, patches: &Patches, stop: ShouldStop<'_>) -> Result<Tensor, CaptionError> {
        let mut parts: Vec<Tensor> =
            self.row_ranges().into_par_iter().map(|rows| self.embed(patches, rows)).collect::<Result<_, _>>()?;
        for layer in &self.layers {
            parts = layer.apply(parts, self.config.heads, stop)?;
        }
        let mut rows = Vec::with_capacity(self.config.tokens() * self.config.width);
        for part in &parts {
            rows.extend_from_slice(&values(&self.norm.rows(part)?)?);
        }
        Ok(Tensor::from_vec(rows, (self.config.tokens(), self.config.width), &Device::Cpu)?)
    }

    /// Returns the rows for each thread.
    fn row_ranges(&self) -> Vec<Range<usize>> {
        let (tokens, threads) = (self.config.tokens(), rayon::current_num_threads());
        let share = tokens.div_ceil(threads);
        (0..tokens).step_by(share).map(|from| from..tokens.min(from + share)).collect()
    }

    fn embed(&self, patches: &Patches, rows: Range<usize>) -> candle_core::Result<Tensor> {
        let (width, length) = self.patch_projection.dims2()?;
        let mut planes = vec![0.0; rows.len() * length];
        for (row, planes) in rows.clone().zip(planes.chunks_exact_mut(length)) {
            // The first row is the class token, which has no patch.
            if let Some(index) = row.checked_sub(1) {
                patches.write(index, planes);
            }
        }
        let planes = Tensor::from_vec(planes, (rows.len(), length), &Device::Cpu)?;
        let embedded = planes.matmul(&self.patch_projection.t()?)?;
        let positions = self.positions.narrow(0, rows.start, rows.len())?;
        embedded.inplace_op2(&positions, &AddRows(&vec![0.0; width]))?;
        Ok(embedded)
    }
}

/// Reads the position embeddings and adds the class embedding to the first row and the patches' bias to the others.
fn read_positions(weights: &Weights, at: &str, config: &VisionConfig) -> Result<Tensor, OpenError> {
    let (tokens, width) = (config.tokens(), config.width);
    let mut positions = weights.values(&format!("{at}.position_embedding"), &[1, tokens, width])?;
    let class = weights.values(&format!("{at}.class_embedding"), &[1, 1, width])?;
    let bias = weights.values(&format!("{at}.patch_embedding.bias"), &[width])?;
    for (row, position) in positions.chunks_exact_mut(width).enumerate() {
        for (number, summand) in position.iter_mut().zip(if row == 0 { &class } else { &bias }) {
            *number += summand;
        }
    }
    weights.make(positions, (tokens, width))
}

impl Layer {
    fn read(weights: &Weights, at: &str, config: &VisionConfig) -> Result<Self, OpenError> {
        let VisionConfig { width, intermediate, epsilon, .. } = *config;
        let linear =
            |name: &str, from, to| weights.check_tensor(Linear::read(weights, &format!("{at}.{name}"), from, to)?.by_columns());
        let norm = |name: &str| Norm::read(weights, &format!("{at}.{name}"), width, epsilon);
        Ok(Layer {
            attention_norm: norm("layer_norm1")?,
            attention: linear("self_attn.qkv", width, 3 * width)?,
            projection: linear("self_attn.projection", width, width)?,
            norm: norm("layer_norm2")?,
            mlp_in: linear("mlp.fc1", width, intermediate)?,
            mlp_out: linear("mlp.fc2", intermediate, width)?,
        })
    }

    fn apply(&self, parts: Vec<Tensor>, heads: usize, stop: ShouldStop<'_>) -> Result<Vec<Tensor>, CaptionError> {
        check_stop(stop)?;
        let queries: Vec<Tensor> =
            parts.par_iter().map(|rows| self.attention.rows(&self.attention_norm.rows(rows)?)).collect::<Result<_, _>>()?;
        check_stop(stop)?;
        let key_values = KeyValues::gather(&queries, heads)?;
        parts
            .into_par_iter()
            .zip(queries)
            .map(|(rows, queries)| {
                self.projection.add_rows(&key_values.rows(&queries)?, &rows)?;
                check_stop(stop)?;
                let widened = self.mlp_in.rows_gelu(&self.norm.rows(&rows)?)?;
                check_stop(stop)?;
                self.mlp_out.add_rows(&widened, &rows)?;
                Ok(rows)
            })
            .collect()
    }
}
