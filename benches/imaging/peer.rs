//! The other candidates: processes that live as long as the benchmark, take a path a line, and answer a line of JSON.

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

/// How near a thumbnail came to the reference.
#[derive(Clone, Copy)]
pub struct Score {
    pub psnr: f64,
    pub ssim: f64,
}

impl Peer {
    /// Those whose environments are named.
    pub fn start_all() -> Result<Vec<Peer>> {
        let sharp = std::env::var("BENCH_SHARP").map(|_| "node".to_owned());
        let vips = std::env::var("BENCH_VIPS_PYTHON");
        let mut started = Vec::new();
        for (name, program, script) in [("sharp", sharp, "imaging_sharp.mjs"), ("vips", vips, "imaging_vips.py")] {
            match program {
                Ok(program) => started.push(Peer::start(name, &program, script)?),
                Err(_) => println!("without {name}"),
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

    /// CPU of one picture; `None` when the peer refuses it. Files go to `folder`, if there is one.
    pub fn cpu_ms(&mut self, path: &Path, folder: Option<&Path>) -> Result<Option<f64>> {
        let folder = folder.map(|folder| format!("\t{}", folder.display())).unwrap_or_default();
        let answer = self.ask(&format!("{}{folder}", path.display()))?;
        Ok(answer["cpu_us"].as_f64().map(|micros| micros / 1e3))
    }

    /// A score for each file that is there.
    pub fn scores(&mut self, original: &Path, files: &[PathBuf]) -> Result<Vec<Score>> {
        let paths: Vec<String> =
            std::iter::once(original).chain(files.iter().map(PathBuf::as_path)).map(|path| path.display().to_string()).collect();
        let answer = self.ask(&paths.join("\t"))?;
        let number = |score: &Value, name: &str| score[name].as_f64().unwrap_or(f64::NAN);
        let scores = answer.as_array().ok_or("no scores")?.iter();
        Ok(scores.map(|score| Score { psnr: number(score, "psnr"), ssim: number(score, "ssim") }).collect())
    }

    fn ask(&mut self, line: &str) -> Result<Value> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(|error| format!("{} answered {answer:?}: {error}", self.name).into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
