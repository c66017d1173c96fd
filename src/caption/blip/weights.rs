//! `model.safetensors`: the header, and the tensors converted to `f32`.
//!
//! The file is not memory-mapped: if it were truncated or overwritten while the service runs, the process would crash or use a
//! changed model. Each tensor is read on request into its own memory, so that the model is never in memory twice. Allocations
//! never exceed what the file's length accounts for.
//!
//! Format: <https://huggingface.co/docs/safetensors/index#format>.

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{OpenError, Problem};
use super::files;

/// BLIP-large's header has about 120 kB.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The size of one read: it stays in the L2 cache until it is converted.
const CHUNK_BYTES: usize = 256 << 10;

pub(super) struct Weights {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// The offset of the tensors' data in the file.
    start: u64,
}

impl Weights {
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (file, length) = files::open(path)?;
        let (metadata, start) = read_header(&file, length).map_err(|problem| OpenError::new(path, problem))?;
        Ok(Weights { path: path.to_owned(), file, metadata, start })
    }

    pub fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// Reads the numbers of a tensor, row by row.
    ///
    /// # Errors
    /// The tensor is missing, has another shape, or has a number that is not finite.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, OpenError> {
        let mut values = Vec::with_capacity(self.check(name, shape)?.shape.iter().product());
        self.append(&mut values, name, shape)?;
        Ok(values)
    }

    /// Reads a tensor of this `shape` and reshapes it to a matrix.
    pub fn tensor(&self, name: &str, shape: &[usize], matrix_shape: (usize, usize)) -> Result<Tensor, OpenError> {
        self.make(self.values(name, shape)?, matrix_shape)
    }

    pub fn matrix(&self, name: &str, [rows, columns]: [usize; 2]) -> Result<Tensor, OpenError> {
        self.tensor(name, &[rows, columns], (rows, columns))
    }

    /// Reads several matrices of one shape and stacks them vertically.
    pub fn stacked(&self, names: &[String], [rows, columns]: [usize; 2]) -> Result<Tensor, OpenError> {
        for name in names {
            self.check(name, &[rows, columns])?;
        }
        let mut values = Vec::with_capacity(names.len() * rows * columns);
        for name in names {
            self.append(&mut values, name, &[rows, columns])?;
        }
        self.make(values, (names.len() * rows, columns))
    }

    pub fn make(&self, values: Vec<f32>, shape: (usize, usize)) -> Result<Tensor, OpenError> {
        self.check_tensor(Tensor::from_vec(values, shape, &Device::Cpu))
    }

    /// Converts candle's error for a tensor from this file.
    pub fn check_tensor<T>(&self, result: candle_core::Result<T>) -> Result<T, OpenError> {
        result.map_err(|error| self.wrong(Problem::Tensor(error)))
    }

    fn wrong(&self, problem: Problem) -> OpenError {
        OpenError::new(&self.path, problem)
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, OpenError> {
        let info = self.metadata.info(name).ok_or_else(|| self.wrong(Problem::Missing(name.into())))?;
        if info.shape != shape {
            let (expected, found) = (shape.to_vec(), info.shape.clone());
            return Err(self.wrong(Problem::Shape { name: name.into(), expected, found }));
        }
        Ok(info)
    }

    fn append(&self, values: &mut Vec<f32>, name: &str, shape: &[usize]) -> Result<(), OpenError> {
        let info = self.check(name, shape)?;
        let finite = match info.dtype {
            Dtype::F32 => self.convert(info, values, f32::from_le_bytes),
            Dtype::F16 => self.convert(info, values, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.convert(info, values, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            other => Err(self.wrong(Problem::Type { name: name.into(), found: format!("{other:?}") })),
        }?;
        if finite { Ok(()) } else { Err(self.wrong(Problem::NotFinite(name.into()))) }
    }

    /// Reads and converts a tensor's numbers. Returns whether all are finite.
    fn convert<const N: usize>(
        &self,
        info: &TensorInfo,
        values: &mut Vec<f32>,
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<bool, OpenError> {
        let (from, to) = info.data_offsets;
        let mut buffer = vec![0; CHUNK_BYTES.min(to - from)];
        let mut finite = true;
        for at in (from..to).step_by(CHUNK_BYTES) {
            let chunk = &mut buffer[..CHUNK_BYTES.min(to - at)];
            self.file.read_exact_at(chunk, self.start + at as u64).map_err(|error| self.wrong(Problem::Read(error)))?;
            let read = values.len();
            values.extend(chunk.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
            finite &= values[read..].iter().fold(true, |finite, value| finite & value.is_finite());
        }
        Ok(finite)
    }
}

/// Reads the header and checks its consistency and the length of the file. Returns the offset of the data too.
fn read_header(file: &File, length: u64) -> Result<(Metadata, u64), Problem> {
    let mut size = [0; 8];
    if length < 8 {
        return Err(Problem::NotSafetensors("it is too short"));
    }
    file.read_exact_at(&mut size, 0).map_err(Problem::Read)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER_BYTES {
        return Err(Problem::NotSafetensors("its header exceeds the size limit"));
    }
    if size > length - 8 {
        return Err(Problem::NotSafetensors("its header is longer than the file"));
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8).map_err(Problem::Read)?;
    // Deserialisation checks that the tensors follow each other without gaps and that their lengths match their shapes.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(Problem::Header)?;
    let start = 8 + size;
    let expected = start.saturating_add(metadata.data_len() as u64);
    if expected != length {
        return Err(Problem::Length { expected, found: length });
    }
    Ok((metadata, start))
}
