//! Files that are read from the kernel's page cache if possible, without waiting for the disk.
//!
//! A read that may wait for the disk needs a blocking thread, and the switch to it and back costs more than the read of a small
//! object. Data that is read often is in the page cache, so it is tried there first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Where a file may be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFrom {
    /// The page cache only. What is not there gives [`io::ErrorKind::WouldBlock`].
    PageCache,
    /// The page cache or the disk, which blocks.
    Disk,
}

/// Opens a file for reading.
pub(super) fn open(path: &Path, from: ReadFrom) -> io::Result<File> {
    match from {
        ReadFrom::PageCache => open_cached(path),
        ReadFrom::Disk => File::open(path),
    }
}

/// Fills `buffer` from an offset of the file.
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64, from: ReadFrom) -> io::Result<()> {
    match from {
        ReadFrom::PageCache => read_cached(file, buffer, offset),
        ReadFrom::Disk => file.read_exact_at(buffer, offset),
    }
}

#[cfg(target_os = "linux")]
fn open_cached(path: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

    match openat2(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::NOENT) => Err(io::ErrorKind::NotFound.into()),
        // Not in the cache, or not supported by the kernel, the file system or the sandbox.
        Err(_) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(target_os = "linux")]
fn read_cached(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    while !buffer.is_empty() {
        match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            // The end of the file, or, with Linux 5.9 and 5.10, not in the cache. The disk decides.
            Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
            Ok(bytes) => {
                buffer = &mut buffer[bytes..];
                offset += bytes as u64;
            }
            Err(Errno::INTR) => {}
            // Not in the cache, or not supported by the kernel, the file system or the sandbox.
            Err(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open_cached(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..100_000_u32).map(|place| place as u8).collect();
        std::fs::write(&path, &content).unwrap();
        for from in [ReadFrom::PageCache, ReadFrom::Disk] {
            // Kernels, file systems and sandboxes without support for the page cache answer `WouldBlock`.
            let unsupported = |error: &io::Error| from == ReadFrom::PageCache && error.kind() == io::ErrorKind::WouldBlock;
            let file = match open(&path, from) {
                Err(error) if unsupported(&error) => continue,
                file => file.unwrap(),
            };
            let mut buffer = vec![0; 50_000];
            match read_exact_at(&file, &mut buffer, 1000, from) {
                Err(error) if unsupported(&error) => continue,
                read => read.unwrap(),
            }
            assert_eq!(buffer, content[1000..51_000], "{from:?}");
            let expected = match from {
                ReadFrom::PageCache => io::ErrorKind::WouldBlock,
                ReadFrom::Disk => io::ErrorKind::UnexpectedEof,
            };
            let error = read_exact_at(&file, &mut buffer, 60_000, from).unwrap_err();
            assert_eq!(error.kind(), expected, "{from:?}");
            let error = open(&folder.path().join("other"), from).unwrap_err();
            assert!(error.kind() == io::ErrorKind::NotFound || unsupported(&error), "{from:?}: {error}");
        }
    }
}
