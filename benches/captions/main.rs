//! The cost of a caption: the service's model code compared with transformers, with the same `f32` weights.
//!
//! They take turns, each in a separate process, with one thread and with two. Prefer the CPU times, because other work on the
//! machine affects them less than wall-clock times. `benches/README.md` has the commands and the latest figures.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use image_service::caption::blip::{Blip, RgbImage};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Captions per process, not counting the first, which warms up.
const CAPTIONS: usize = 3;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let folder = variable("BENCH_CAPTION_MODEL")?;
    if let [only, threads] = arguments.as_slice()
        && only == "--ours"
    {
        println!("{}", ours(Path::new(&folder), threads.parse()?)?);
        return Ok(());
    }
    let (python, rounds) = (variable("BENCH_CAPTION_PYTHON")?, variable("BENCH_ROUNDS").map_or(Ok(5), |text| text.parse())?);
    for threads in [1, 2] {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            peers.push(run(&mut peer(&python, &folder, threads))?);
            ours.push(run(Command::new(std::env::current_exe()?).args(["--ours", &threads.to_string()]))?);
        }
        report(threads, &ours, &peers)?;
    }
    Ok(())
}

fn peer(python: &str, folder: &str, threads: usize) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/captions_transformers.py");
    let mut command = Command::new(python);
    command.arg(program).args([folder, "--threads", &threads.to_string(), "--repeats", &(CAPTIONS + 1).to_string()]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a process and parses its output.
fn run(command: &mut Command) -> Result<Value> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures the service's model code. The result has the same keys as that of the peer.
fn ours(folder: &Path, threads: usize) -> Result<Value> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let (opened, open_wall, open_cpu) = timed(|| Blip::open(folder));
    let blip = opened?;
    let (rss_loaded, size) = (memory("VmRSS:")?, blip.image_size());
    let rgb = test_image(size);
    let image = RgbImage { width: size, height: size, rgb: &rgb };
    let (mut walls, mut cpus, mut caption) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..=CAPTIONS {
        let (result, wall, cpu) = timed(|| pool.install(|| blip.caption(image, &|| false)));
        caption = result?;
        walls.push(wall);
        cpus.push(cpu);
    }
    Ok(json!({
        "open_wall": open_wall, "open_cpu": open_cpu, "caption_wall": walls, "caption_cpu": cpus, "caption": caption,
        "rss_loaded": rss_loaded, "rss_peak": memory("VmHWM:")?,
    }))
}

/// Returns the result, the wall-clock seconds and the CPU seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let result = work();
    (result, wall.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A value of `/proc/self/status` in MiB.
fn memory(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(value.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// The same image as `test_image` of the peer.
fn test_image(size: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [x * x / size + 3 * y, 2 * x + y * y / size, x * y / 7].map(|value| value as u8);
    (0..size).flat_map(|y| (0..size).flat_map(move |x| pixel(x, y))).collect()
}

fn report(threads: usize, ours: &[Value], peers: &[Value]) -> Result<()> {
    let same = ours.iter().chain(peers).all(|run| run["caption"] == ours[0]["caption"]);
    if !same {
        return Err(format!("the captions differ: {:?} and {:?}", ours[0]["caption"], peers[0]["caption"]).into());
    }
    println!("\n{threads} threads, {} rounds of {CAPTIONS} captions, all identical: {}", ours.len(), ours[0]["caption"]);
    println!("{:38} {:>10} {:>14} {:>8}", "", "ours", "transformers", "ratio");
    let captions = |runs: &[Value], key: &str| {
        let all = runs.iter().flat_map(|run| run[key].as_array().cloned().unwrap_or_default().into_iter().skip(1));
        median(all.filter_map(|value| value.as_f64()).collect())
    };
    let single = |runs: &[Value], key: &str| median(runs.iter().filter_map(|run| run[key].as_f64()).collect());
    for (metric, ours, peer) in [
        ("CPU seconds per caption", captions(ours, "caption_cpu"), captions(peers, "caption_cpu")),
        ("wall-clock seconds per caption", captions(ours, "caption_wall"), captions(peers, "caption_wall")),
        ("CPU seconds to open the model", single(ours, "open_cpu"), single(peers, "open_cpu")),
        ("wall-clock seconds to open the model", single(ours, "open_wall"), single(peers, "open_wall")),
        ("memory with the model open, MiB", single(ours, "rss_loaded"), single(peers, "rss_loaded")),
        ("peak memory, MiB", single(ours, "rss_peak"), single(peers, "rss_peak")),
    ] {
        println!("{metric:38} {ours:>10.2} {peer:>14.2} {:>8.2}", ours / peer);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
