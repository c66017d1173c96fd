//! The process itself: how soon it is ready, and its memory when idle and after a burst of large uploads.

use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, closed_loop, post_image};
use crate::measure::{median, number};
use crate::pictures;
use crate::server::Server;

const BURST: usize = 200;
const CLIENTS: usize = 16;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 15)?;
    let requests: Vec<_> = pictures::large()?.iter().map(|picture| post_image(&picture.name, &picture.bytes)).collect();
    for backend in Backend::all().await? {
        println!("\n{}", backend.name());
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (_folder, settings) = backend.settings("bench_process").await?;
            first.push(Server::image_service(&settings)?.ready_after.as_secs_f64() * 1000.0);
            again.push(Server::image_service(&settings)?.ready_after.as_secs_f64() * 1000.0);
        }
        println!("ready after {:.0} ms on nothing, {:.0} ms on what is there", median(&first), median(&again));
        let (_folder, settings) = backend.settings("bench_process").await?;
        let server = Server::image_service(&settings)?;
        sleep(Duration::from_secs(2));
        println!("idle {:.0} MiB", server.memory_mib()?);
        let load = closed_loop(server.address, CLIENTS, &requests, Until::Requests(BURST))?;
        println!("after {BURST} uploads of 12 to 16 MP, {CLIENTS} at once, {} stored:", load.done);
        println!("  peak {:.0} MiB, at the end {:.0} MiB", server.peak_memory_mib()?, server.memory_mib()?);
        sleep(Duration::from_secs(20));
        println!("  20 s later {:.0} MiB", server.memory_mib()?);
    }
    Ok(())
}
