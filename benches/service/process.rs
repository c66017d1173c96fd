//! Startup time, and memory when idle and after a burst of large uploads.

use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, closed_loop, post_image};
use crate::images;
use crate::measure::{median, number};
use crate::server::Server;

const BURST: usize = 200;
const CLIENTS: usize = 16;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 15)?;
    let requests: Vec<_> = images::large()?.iter().map(|image| post_image(&image.name, &image.bytes)).collect();
    for backend in Backend::all().await? {
        println!("\n{}", backend.name());
        let (mut without_data, mut with_data) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (_folder, settings) = backend.settings("bench_process").await?;
            without_data.push(Server::image_service(&settings)?.ready_after.as_secs_f64() * 1000.0);
            with_data.push(Server::image_service(&settings)?.ready_after.as_secs_f64() * 1000.0);
        }
        println!("ready after {:.0} ms without data, {:.0} ms with existing data", median(&without_data), median(&with_data));
        let (_folder, settings) = backend.settings("bench_process").await?;
        let server = Server::image_service(&settings)?;
        sleep(Duration::from_secs(2));
        println!("idle {:.0} MiB", server.memory_mib()?);
        let load = closed_loop(server.address, CLIENTS, &requests, Until::Requests(BURST))?;
        println!("after {BURST} uploads of 12 to 16 MP, {CLIENTS} at a time, {} of them successful:", load.succeeded);
        println!("  peak {:.0} MiB, at the end {:.0} MiB", server.peak_memory_mib()?, server.memory_mib()?);
        sleep(Duration::from_secs(20));
        println!("  20 s later {:.0} MiB", server.memory_mib()?);
    }
    Ok(())
}
