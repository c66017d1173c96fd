//! Opens and reads a model's files, with a size limit for the small ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{OpenError, Problem};

/// The largest `tokenizer.json` of a BERT has about 3 MB, a `config.json` a few kilobytes.
const MAX_BYTES: u64 = 32 << 20;

/// Reads a whole file of at most [`MAX_BYTES`].
pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, OpenError> {
    let (file, bytes) = open(path)?;
    if bytes > MAX_BYTES {
        return Err(OpenError::new(path, Problem::TooLarge { bytes, limit: MAX_BYTES }));
    }
    let mut content = Vec::with_capacity(bytes as usize);
    // The file may have grown meanwhile.
    file.take(MAX_BYTES).read_to_end(&mut content).map_err(|error| OpenError::new(path, Problem::Read(error)))?;
    Ok(content)
}

/// Opens a regular file and returns its length in bytes. Checks the file type first: opening a pipe would block until it has a
/// writer.
pub(super) fn open(path: &Path) -> Result<(File, u64), OpenError> {
    let failed = |error| OpenError::new(path, Problem::Read(error));
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(OpenError::new(path, Problem::NotAFile));
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}
