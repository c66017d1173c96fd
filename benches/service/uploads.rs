//! Uploads a second, and what one costs, beside a FastAPI and Pillow service that does the same work.
//!
//! The services take turns with the same pictures: ours on SQLite with the S3 server inside, and, where PostgreSQL and an
//! S3 server are set up, ours and the peer on those.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, Until, post_image};
use crate::measure::{Series, number};
use crate::pictures::{self, Picture};
use crate::server::Server;

/// A service that takes uploads.
pub struct Contender {
    pub name: String,
    pub server: Server,
    pub backend: Backend,
    _folder: TempDir,
}

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 5)?;
    let contenders = contenders().await?;
    let requests = accepted(&contenders, pictures::all()?)?;
    println!("{} pictures, each sent twice in each of {rounds} rounds", requests.len());
    for clients in [1, 8, 32] {
        let mut series: Vec<Series> = contenders.iter().map(|_| Series::default()).collect();
        for _ in 0..rounds {
            for (contender, series) in contenders.iter().zip(&mut series) {
                let until = Until::Requests(2 * requests.len());
                series.round(&contender.server, &contender.backend, clients, &requests, until)?;
            }
        }
        println!("\n{clients} clients");
        println!("{:34} {:>6} {:>11} {:>12} {:>8}", "", "/s", "service ms", "database ms", "refused");
        for (contender, series) in contenders.iter().zip(&series) {
            let (service, database) = (series.service_us() / 1000.0, series.database_us() / 1000.0);
            let (name, rate, refused) = (&contender.name, series.per_second(), series.refused());
            println!("{name:34} {rate:>6.1} {service:>11.1} {database:>12.1} {refused:>8}");
        }
        if let [_, ours, peer] = series.as_slice() {
            let (cpu, rate) = (peer.service_us() / ours.service_us(), ours.per_second() / peer.per_second());
            println!("on the same back end, ours takes 1/{cpu:.1} of the peer's CPU and does {rate:.1} times as many");
        }
    }
    Ok(())
}

/// Ours on every back end, and the peer where there is one for it.
pub async fn contenders() -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for backend in Backend::all().await? {
        let (folder, settings) = backend.settings("bench_uploads").await?;
        let name = format!("ours, {}", backend.name());
        contenders.push(Contender { name, server: Server::image_service(&settings)?, backend, _folder: folder });
    }
    let backends = Backend::all().await?;
    match (std::env::var("BENCH_PEER_PYTHON"), backends.into_iter().nth(1)) {
        (Ok(python), Some(backend)) => contenders.push(peer(&python, backend).await?),
        _ => println!("BENCH_PEER_PYTHON or the back end for it is not set: without the peer"),
    }
    Ok(contenders)
}

async fn peer(python: &str, backend: Backend) -> Result<Contender> {
    let (folder, settings) = backend.settings("bench_peer").await?;
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(python);
    command.args(["-m", "uvicorn", "fastapi_pillow:app", "--log-level", "warning", "--port", &address.port().to_string()]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers"));
    command.env_clear().env("PYTHONDONTWRITEBYTECODE", "1").envs(settings);
    let name = format!("FastAPI + Pillow, {}", backend.name());
    Ok(Contender { name, server: Server::program(&mut command, address, "/health")?, backend, _folder: folder })
}

/// The uploads that every contender accepts, after one of each to warm up.
pub fn accepted(contenders: &[Contender], pictures: Vec<Picture>) -> Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    for picture in pictures {
        let request = post_image(&picture.name, &picture.bytes);
        let mut taken = true;
        for contender in contenders {
            taken &= Connection::open(contender.server.address)?.send(&request)?.status == 200;
        }
        if taken {
            requests.push(request);
        } else {
            println!("{} is left out: not everyone accepts it", picture.name);
        }
    }
    Ok(requests)
}
