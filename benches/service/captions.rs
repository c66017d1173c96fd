//! The effect of captions on uploads: a service that constantly creates captions with the model in `BENCH_CAPTION_MODEL`,
//! compared with two services that create none. The difference between those two is noise.
//!
//! The services take turns. All others are stopped with SIGSTOP, because a running model would slow down every service.

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, post_image};
use crate::images;
use crate::measure::{Series, number};
use crate::server::Server;

pub async fn run() -> Result<()> {
    let Ok(model) = std::env::var("BENCH_CAPTION_MODEL") else {
        println!("BENCH_CAPTION_MODEL (the directory of a model) is not set: skipping");
        return Ok(());
    };
    let rounds = number("BENCH_ROUNDS", 9)?;
    let requests: Vec<Vec<u8>> = images::all()?.iter().map(|image| post_image(&image.name, &image.bytes)).collect();
    let mut contenders = Vec::new();
    for name in ["without captions", "control", "with captions"] {
        let backend = Backend::Embedded;
        let (folder, mut settings) = backend.settings("bench_captions").await?;
        if name == "with captions" {
            settings.push(("CAPTION_MODEL_DIR", model.clone()));
        }
        contenders.push((name, Server::image_service(&settings)?, backend, folder));
    }
    println!("{} images, each uploaded twice in each of {rounds} rounds", requests.len());
    // Warms up, and queues enough images to keep the model busy during the measurement.
    for (_, server, backend, _) in &contenders {
        Series::default().round(server, backend, 8, &requests, Until::Requests(2 * requests.len()))?;
        signal(server, Signal::STOP)?;
    }
    for clients in [1, 8] {
        let mut series: Vec<Series> = contenders.iter().map(|_| Series::default()).collect();
        for _ in 0..rounds {
            for ((_, server, backend, _), series) in contenders.iter().zip(&mut series) {
                signal(server, Signal::CONT)?;
                series.round(server, backend, clients, &requests, Until::Requests(2 * requests.len()))?;
                signal(server, Signal::STOP)?;
            }
        }
        println!("\n{clients} clients\n{:20} {:>8} {:>10} {:>12} {:>14}", "", "/s", "median ms", "rate ratio", "latency ratio");
        for ((name, ..), own) in contenders.iter().zip(&series) {
            let (rate, latency) = (own.per_second(), own.latency_ms());
            let (rate_ratio, latency_ratio) = (rate / series[0].per_second(), latency / series[0].latency_ms());
            println!("{name:20} {rate:>8.1} {latency:>10.1} {rate_ratio:>12.3} {latency_ratio:>14.3}");
        }
    }
    Ok(())
}

fn signal(server: &Server, signal: Signal) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(server.id())?).ok_or("no process")?;
    Ok(kill_process(process, signal)?)
}
