//! Benchmarks of the service from outside: the release binary as a process, loaded over HTTP.
//!
//! One file a question. Nothing here asserts a time: what is compared runs in turns within one run, and what is printed
//! are medians, CPU time and ratios. `benches/README.md` has the commands and the last figures.
#![expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]

mod backend;
mod callers;
mod captions;
mod client;
mod collections;
mod fill;
mod imports;
mod links;
mod listing;
mod measure;
mod memory;
mod pictures;
mod presign;
mod process;
mod random;
mod requests;
mod server;
mod uploads;
#[path = "../../tests/pictures/webp.rs"]
#[expect(dead_code, clippy::expect_used, reason = "it is for tests, which use the rest")]
mod webp_files;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

const NAMES: &str = "listing, collections, requests, callers, presign, uploads, imports, links, captions, memory, process";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if names.is_empty() {
        return Err(format!("say which: cargo bench --bench service -- NAME…, of {NAMES}").into());
    }
    for name in names {
        println!("\n# {name}");
        match name.as_str() {
            "listing" => listing::run().await?,
            "collections" => collections::run().await?,
            "requests" => requests::run().await?,
            "callers" => callers::run().await?,
            "presign" => presign::run().await?,
            "uploads" => uploads::run().await?,
            "imports" => imports::run().await?,
            "links" => links::run().await?,
            "captions" => captions::run().await?,
            "memory" => memory::run().await?,
            "process" => process::run().await?,
            other => return Err(format!("there is no benchmark {other:?}, only {NAMES}").into()),
        }
    }
    Ok(())
}
