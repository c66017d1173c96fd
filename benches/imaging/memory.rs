//! How much one image adds to the peak memory of a process. Each image is measured in a separate process.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process};

pub fn compare(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let mut command = Command::new(std::env::current_exe()?);
        // Makes glibc return large blocks to the system. Otherwise, it would keep the memory of the first large image.
        command.arg("memory-of").arg(path).env("MALLOC_MMAP_THRESHOLD_", (128 << 10).to_string());
        let output = command.output()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name:36} {}", String::from_utf8_lossy(&output.stdout).trim());
    }
    Ok(())
}

/// Prints how much the peak of resident memory grows, not counting the file, and how much more memory is resident after
/// processing the file 200 times.
pub fn of_one(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let (peak, resident) = (status("VmHWM")?, status("VmRSS")?);
    process(&bytes);
    let growth = status("VmHWM")?.saturating_sub(peak.min(resident));
    for _ in 0..200 {
        process(&bytes);
    }
    let kept = status("VmRSS")?.saturating_sub(resident);
    println!("peak +{:5.1} MiB, +{:5.1} MiB after 200 repetitions", growth as f64 / 1024.0, kept as f64 / 1024.0);
    Ok(())
}

/// A value of `/proc/self/status` in KiB.
fn status(name: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
