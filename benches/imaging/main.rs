//! Image processing of an upload, measured in this process and compared with sharp and libvips.
//!
//! `benches/README.md` has the commands.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod memory;
mod peer;
mod report;
mod variants;

use std::path::{Path, PathBuf};
use std::time::Duration;

use image_service::imaging::{self, Limits, MadeThumbnail};
use peer::Peer;
use report::{Class, Row};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["memory-of", path] => memory::of_one(Path::new(path)),
        ["memory"] => memory::compare(&images()?),
        ["scaling"] => scaling(&images()?),
        ["variants"] => variants::compare(&images()?),
        [] | ["compare"] => compare(&images()?),
        other => Err(format!("there is no benchmark {other:?}; the names are: compare, memory, scaling, variants").into()),
    }
}

/// The images in the directory `BENCH_IMAGES`, sorted by name.
fn images() -> Result<Vec<PathBuf>> {
    let folder = std::env::var("BENCH_IMAGES").map_err(|_| "BENCH_IMAGES must be a directory of images")?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| std::fs::read(path).is_ok_and(|bytes| imaging::inspect(&bytes, &Limits::default()).is_ok()));
    paths.sort();
    Ok(paths)
}

/// Processes a file like an upload. Returns `None` if it is rejected.
fn process(bytes: &[u8]) -> Option<Vec<MadeThumbnail>> {
    let limits = Limits::default();
    let header = imaging::inspect(bytes, &limits).ok()?;
    imaging::process(bytes, &header, &limits).ok().map(|processed| processed.thumbnails)
}

/// Measures CPU time per image, in turns with the peers, and the quality of each program's thumbnails.
fn compare(paths: &[PathBuf]) -> Result<()> {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
    let mut peers = Peer::start_all()?;
    let mut quality = Peer::quality()?;
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path)?;
        let Some(thumbnails) = process(&bytes) else {
            println!("{}: rejected", path.display());
            continue;
        };
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); peers.len()];
        for _ in 0..rounds {
            let before = cpu();
            process(&bytes);
            ours.push((cpu() - before).as_secs_f64() * 1e3);
            for (peer, times) in peers.iter_mut().zip(&mut theirs) {
                times.extend(peer.cpu_ms(path, None)?);
            }
        }
        let ours_medium = folder.path().join("ours-medium");
        let medium = thumbnails.iter().find(|thumbnail| thumbnail.info.size.name() == "medium");
        std::fs::write(&ours_medium, &medium.ok_or("no medium thumbnail")?.bytes)?;
        let mut files = vec![ours_medium];
        for peer in &mut peers {
            peer.cpu_ms(path, Some(folder.path()))?;
            files.push(folder.path().join(format!("{}-medium", peer.name)));
        }
        let scores = quality.as_mut().map(|quality| quality.scores(path, &files)).transpose()?.unwrap_or_default();
        let row = Row::new(path, Class::of(&bytes), ours, theirs, scores);
        println!("{row}");
        rows.push(row);
    }
    report::summarise(&rows, &peers);
    Ok(())
}

/// Compares the throughput of two threads with that of one.
fn scaling(paths: &[PathBuf]) -> Result<()> {
    let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let one_thread = timed(|| files.iter().for_each(|file| drop(process(file))));
        let two_threads = timed(|| {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| files.iter().for_each(|file| drop(process(file))));
                }
            });
        });
        ratios.push(2.0 * one_thread.as_secs_f64() / two_threads.as_secs_f64());
    }
    println!("two threads are {:.2} times as fast as one", report::median(&mut ratios));
    Ok(())
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

/// CPU time of all threads of this process.
#[expect(unsafe_code, reason = "`libc::clock_gettime` is unsafe")]
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock ID is valid, and `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
