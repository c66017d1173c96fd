//! Black-box benchmarks: they start the release binary as a separate process and send requests over HTTP.
//!
//! Each benchmark has its own file. None asserts a time: compared programs take turns within one run, and the output is
//! medians, CPU times and ratios. `benches/README.md` has the commands and the latest figures.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod backend;
mod callers;
mod captions;
mod client;
mod collections;
mod cpu;
mod fill;
mod gallery;
mod images;
mod imports;
mod listing;
mod measure;
mod memory;
mod nginx;
mod presign;
mod process;
mod random;
mod receiving;
mod requests;
mod server;
mod serving;
mod tus;
mod upload_methods;
mod uploads;
#[path = "../../tests/pictures/webp.rs"]
#[expect(dead_code, clippy::expect_used, reason = "shared with the tests, which use the rest")]
mod webp;
mod wrk;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

const NAMES: &str = "listing, collections, requests, callers, presign, uploads, upload-methods, imports, serving, gallery, scaling, captions, memory, process";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if names.is_empty() {
        return Err(format!("usage: cargo bench --bench service -- NAME…; the names are: {NAMES}").into());
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
            "upload-methods" => upload_methods::run().await?,
            "imports" => imports::run().await?,
            "serving" => serving::run().await?,
            "gallery" => gallery::gallery().await?,
            "scaling" => gallery::scaling().await?,
            "captions" => captions::run().await?,
            "memory" => memory::run().await?,
            "process" => process::run().await?,
            other => return Err(format!("there is no benchmark {other:?}; the names are: {NAMES}").into()),
        }
    }
    Ok(())
}
