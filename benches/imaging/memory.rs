//! By how much one picture grows a process at its peak: a process of its own for each picture.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, make};

pub fn compare(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let mut command = Command::new(std::env::current_exe()?);
        // This process has glibc's allocator, which otherwise keeps what it got for the first large picture.
        command.arg("memory-of").arg(path).env("MALLOC_MMAP_THRESHOLD_", (128 << 10).to_string());
        let output = command.output()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:36} {}", String::from_utf8_lossy(&output.stdout).trim());
    }
    Ok(())
}

/// Prints how much the peak of resident memory grew, not counting the file, and how much is kept after 200 times.
pub fn of_one(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let (peak, resident) = (status("VmHWM")?, status("VmRSS")?);
    make(&bytes);
    let grown = status("VmHWM")?.saturating_sub(peak.min(resident));
    for _ in 0..200 {
        make(&bytes);
    }
    let kept = status("VmRSS")?.saturating_sub(resident);
    println!("grows by {:5.1} MiB, keeps {:5.1} MiB after 200", grown as f64 / 1024.0, kept as f64 / 1024.0);
    Ok(())
}

/// KiB, from `/proc/self/status`.
fn status(name: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
