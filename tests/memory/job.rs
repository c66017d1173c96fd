//! Runs one operation on an image, in a process that does nothing else.

use std::fmt;
use std::path::Path;
use std::process::Command;

use image_service::imaging::{self, Error, Header, Limits};
use image_service::model::image::Format;
use image_service::model::rendering::{Fit, Rendering};

use crate::allocator;

const FILE: &str = "MEMORY_TEST_FILE";
const JOB: &str = "MEMORY_TEST_JOB";

/// The prefix of the line in which the process reports its measurements.
const ANSWER: &str = "measured: ";

/// Measurements, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Reserved according to the header.
    pub reserved: u64,
    /// Allocated by Rust, at the peak.
    pub allocated: u64,
    /// Growth of the process's resident memory, at the peak.
    pub resident: u64,
    /// Allocated by Rust while the header was inspected.
    pub inspecting: u64,
    pub accepted: bool,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let Self { reserved, allocated, resident, inspecting, accepted } = *self;
        write!(
            f,
            "{:6.1} MiB reserved, {:6.1} allocated, {:6.1} resident, {:4.1} for the header, {}",
            mib(reserved),
            mib(allocated),
            mib(resident),
            mib(inspecting),
            if accepted { "accepted" } else { "rejected" }
        )
    }
}

pub fn in_separate_process(file: &Path, job: &str) -> Measured {
    let output = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(["one_job", "--exact", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(JOB, job)
        // Returns freed memory to the system, so that memory that is used consecutively is not counted twice.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "65536")
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = text.split_once(ANSWER).map(|(_, answer)| answer.lines().next().unwrap_or_default());
    let numbers: Vec<u64> = answer.unwrap_or_default().split(' ').filter_map(|number| number.parse().ok()).collect();
    let &[reserved, allocated, resident, inspecting, accepted] = numbers.as_slice() else {
        panic!("{} as {job}: {output:?}", file.display());
    };
    Measured { reserved, allocated, resident, inspecting, accepted: accepted == 1 }
}

/// Runs the job that the environment names; does nothing if there is none.
pub fn run() {
    let (Some(file), Some(job)) = (std::env::var_os(FILE), std::env::var_os(JOB)) else { return };
    let bytes = std::fs::read(file).expect("a file");
    let job = job.to_str().expect("a name");
    // Warms up: loads most of the code and everything that is set up only once.
    for warm in crate::corpus::small() {
        attempt(job, &warm).1.expect("a small image");
    }
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let before = resident("VmRSS:");
    let (((inspecting, reserved), outcome), allocated) = allocator::peak_of(|| attempt(job, &bytes));
    let resident = resident("VmHWM:").saturating_sub(before);
    println!("{ANSWER}{reserved} {allocated} {resident} {inspecting} {}", u64::from(outcome.is_ok()));
}

/// Returns what the inspection of the header allocated, what the header reserves, and the outcome of the job.
fn attempt(job: &str, bytes: &[u8]) -> ((u64, u64), Result<(), Error>) {
    let limits = Limits { min_side: 1, ..Limits::default() };
    let (header, inspecting) = allocator::peak_of(|| match job {
        "upload" => imaging::inspect(bytes, &limits),
        "variant" => imaging::inspect_stored(bytes, &limits, &rendering(bytes, &limits)?),
        _ => imaging::inspect_for_pixels(bytes, &limits, 384),
    });
    let header = match header {
        Ok(header) => header,
        Err(error) => return ((inspecting, 0), Err(error)),
    };
    let done = match job {
        "upload" => imaging::process(bytes, &header, &limits).map(drop),
        "variant" => rendering(bytes, &limits).and_then(|wanted| imaging::render(bytes, &header, &limits, &wanted)).map(drop),
        _ => imaging::pixels(bytes, &header, &limits).map(drop),
    };
    ((inspecting, header.weight_bytes), done)
}

fn rendering(bytes: &[u8], limits: &Limits) -> Result<Rendering, Error> {
    let Header { width, height, .. } = imaging::inspect(bytes, limits)?;
    let wanted = Rendering::new((width, height), (Some(640), None), Fit::Contain, Format::Webp, 80);
    Ok(wanted.expect("one side is enough"))
}

/// Returns a line of `/proc/self/status`, in bytes.
fn resident(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}
