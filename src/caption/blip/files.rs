//! The small files of a model, read whole, but never more of them than is reasonable.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{OpenError, Problem};

/// The largest `tokenizer.json` of a BERT has about 3 MB, `config.json` some kilobytes.
const MAX_BYTES: u64 = 32 << 20;

pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, OpenError> {
    let (file, bytes) = open(path)?;
    if bytes > MAX_BYTES {
        return Err(OpenError::new(path, Problem::TooLarge { bytes, limit: MAX_BYTES }));
    }
    let mut content = Vec::with_capacity(bytes as usize);
    // It may have grown in the meantime.
    file.take(MAX_BYTES).read_to_end(&mut content).map_err(|error| OpenError::new(path, Problem::Read(error)))?;
    Ok(content)
}

/// A file and its length in bytes. Opening a pipe would wait for its other end, so what the file is comes first.
pub(super) fn open(path: &Path) -> Result<(File, u64), OpenError> {
    let failed = |error| OpenError::new(path, Problem::Read(error));
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(OpenError::new(path, Problem::NotAFile));
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}
