//! What an upload's pictures cost, in this process, beside sharp and libvips: `benches/README.md` tells how to run it.
#![expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]

mod memory;
mod peer;
mod report;
mod variants;

use std::path::{Path, PathBuf};
use std::time::Duration;

use image_service::imaging::{self, Limits, MadeThumbnail};
use peer::Peer;
use report::{Class, Row};

/// The service's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["memory-of", path] => memory::of_one(Path::new(path)),
        ["memory"] => memory::compare(&pictures()?),
        ["scaling"] => scaling(&pictures()?),
        ["variants"] => variants::compare(&pictures()?),
        [] | ["compare"] => compare(&pictures()?),
        other => Err(format!("no benchmark {other:?}; there are: compare, memory, scaling, variants").into()),
    }
}

/// The files of `BENCH_PICTURES`, in order.
fn pictures() -> Result<Vec<PathBuf>> {
    let folder = std::env::var("BENCH_PICTURES").map_err(|_| "BENCH_PICTURES names a folder of pictures")?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| std::fs::read(path).is_ok_and(|bytes| imaging::inspect(&bytes, &Limits::default()).is_ok()));
    paths.sort();
    Ok(paths)
}

/// Everything that an upload makes of a file. `None` when it is refused.
fn make(bytes: &[u8]) -> Option<Vec<MadeThumbnail>> {
    let limits = Limits::default();
    let header = imaging::inspect(bytes, &limits).ok()?;
    imaging::process(bytes, &header, &limits).ok().map(|processed| processed.thumbnails)
}

/// CPU time of each candidate in turns, picture by picture, then how near each came to the reference.
fn compare(paths: &[PathBuf]) -> Result<()> {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
    let mut peers = Peer::start_all()?;
    let mut quality = Peer::quality()?;
    let folder = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path)?;
        let Some(thumbnails) = make(&bytes) else {
            println!("{}: refused", path.display());
            continue;
        };
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); peers.len()];
        for _ in 0..rounds {
            let before = cpu();
            make(&bytes);
            ours.push((cpu() - before).as_secs_f64() * 1e3);
            for (peer, times) in peers.iter_mut().zip(&mut theirs) {
                times.extend(peer.cpu_ms(path, None)?);
            }
        }
        let made = folder.path().join("ours-medium");
        let medium = thumbnails.iter().find(|thumbnail| thumbnail.info.size.name() == "medium");
        std::fs::write(&made, &medium.ok_or("no medium thumbnail")?.bytes)?;
        let mut files = vec![made];
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

/// Pictures a second on one thread and on two.
fn scaling(paths: &[PathBuf]) -> Result<()> {
    let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let alone = timed(|| files.iter().for_each(|file| drop(make(file))));
        let both = timed(|| {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| files.iter().for_each(|file| drop(make(file))));
                }
            });
        });
        ratios.push(2.0 * alone.as_secs_f64() / both.as_secs_f64());
    }
    println!("two threads give {:.2} times one", report::median(&mut ratios));
    Ok(())
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

/// CPU time of this process, all threads.
#[expect(unsafe_code, reason = "no safe wrapper is among the dependencies")]
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid clock and a struct to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
