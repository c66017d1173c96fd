//! The compared programs: they run as long as the benchmark, read one path per line, and respond with one line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::Result;

pub struct Peer {
    pub name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// How close a thumbnail is to the reference.
#[derive(Clone, Copy)]
pub struct Score {
    pub psnr: f64,
    pub ssim: f64,
}

impl Peer {
    /// Starts the peers whose environment variables are set.
    pub fn start_all() -> Result<Vec<Peer>> {
        let sharp = std::env::var("BENCH_SHARP").map(|_| "node".to_owned());
        let vips = std::env::var("BENCH_VIPS_PYTHON");
        let mut started = Vec::new();
        for (name, program, script) in [("sharp", sharp, "imaging_sharp.mjs"), ("vips", vips, "imaging_vips.py")] {
            match program {
                Ok(program) => started.push(Peer::start(name, &program, script)?),
                Err(_) => println!("skipping {name}: its environment variable is not set"),
            }
        }
        Ok(started)
    }

    pub fn quality() -> Result<Option<Peer>> {
        let Ok(python) = std::env::var("BENCH_VIPS_PYTHON") else { return Ok(None) };
        Peer::start("quality", &python, "imaging_quality.py").map(Some)
    }

    fn start(name: &'static str, program: &str, script: &str) -> Result<Peer> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(script);
        let mut child = Command::new(program).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { return Err("no pipes".into()) };
        Ok(Peer { name, child, input, output: BufReader::new(output) })
    }

    /// Returns the CPU time for one image, or `None` if the peer rejects it. Writes the thumbnails to `folder`, if given.
    pub fn cpu_ms(&mut self, path: &Path, folder: Option<&Path>) -> Result<Option<f64>> {
        let folder = folder.map(|folder| format!("\t{}", folder.display())).unwrap_or_default();
        let response = self.request(&format!("{}{folder}", path.display()))?;
        Ok(response["cpu_us"].as_f64().map(|micros| micros / 1e3))
    }

    /// Returns a score for each of the files, compared with the original.
    pub fn scores(&mut self, original: &Path, files: &[PathBuf]) -> Result<Vec<Score>> {
        let paths: Vec<String> =
            std::iter::once(original).chain(files.iter().map(PathBuf::as_path)).map(|path| path.display().to_string()).collect();
        let response = self.request(&paths.join("\t"))?;
        let number = |score: &Value, name: &str| score[name].as_f64().unwrap_or(f64::NAN);
        let scores = response.as_array().ok_or("no scores")?.iter();
        Ok(scores.map(|score| Score { psnr: number(score, "psnr"), ssim: number(score, "ssim") }).collect())
    }

    fn request(&mut self, line: &str) -> Result<Value> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let mut response = String::new();
        self.output.read_line(&mut response)?;
        serde_json::from_str(&response).map_err(|error| format!("{} responded {response:?}: {error}", self.name).into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
