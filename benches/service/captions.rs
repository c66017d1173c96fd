//! What uploads notice of captions: a service that makes them all the time, by the model that `BENCH_CAPTION_MODEL` names, beside two
//! that make none, of which the second shows how much of a difference is noise.
//!
//! The services take turns, and those whose turn it is not are stopped: a model at work would be measured in all of them.

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, post_image};
use crate::measure::{Series, number};
use crate::pictures;
use crate::server::Server;

pub async fn run() -> Result<()> {
    let Ok(model) = std::env::var("BENCH_CAPTION_MODEL") else {
        println!("BENCH_CAPTION_MODEL, the folder of a model, is not set: nothing is measured");
        return Ok(());
    };
    let rounds = number("BENCH_ROUNDS", 9)?;
    let requests: Vec<Vec<u8>> = pictures::all()?.iter().map(|picture| post_image(&picture.name, &picture.bytes)).collect();
    let mut contenders = Vec::new();
    for name in ["without", "without, once more", "with captions"] {
        let backend = Backend::Embedded;
        let (folder, mut settings) = backend.settings("bench_captions").await?;
        if name == "with captions" {
            settings.push(("CAPTION_MODEL_DIR", model.clone()));
        }
        contenders.push((name, Server::image_service(&settings)?, backend, folder));
    }
    println!("{} pictures, each sent twice in each of {rounds} rounds", requests.len());
    // To warm up, and so that there is always something left to caption.
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
        println!("\n{clients} clients\n{:20} {:>8} {:>10} {:>12} {:>12}", "", "/s", "median ms", "of without", "latency of");
        for ((name, ..), one) in contenders.iter().zip(&series) {
            let (rate, latency) = (one.per_second(), one.latency_ms());
            let (rates, latencies) = (rate / series[0].per_second(), latency / series[0].latency_ms());
            println!("{name:20} {rate:>8.1} {latency:>10.1} {rates:>12.3} {latencies:>12.3}");
        }
    }
    Ok(())
}

fn signal(server: &Server, signal: Signal) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(server.id())?).ok_or("no process")?;
    Ok(kill_process(process, signal)?)
}
