//! Uploads per second and CPU per upload, compared with a FastAPI and Pillow service that does the same work.
//!
//! The services take turns with the same images: ours with SQLite and the embedded S3 server and, if PostgreSQL and an
//! external S3 server are configured, ours and the peer with these.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, Until, post_image};
use crate::images::{self, ImageFile};
use crate::measure::{Series, number};
use crate::server::Server;

/// A running service to compare.
pub struct Contender {
    pub name: String,
    pub server: Server,
    pub backend: Backend,
    _folder: TempDir,
}

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 5)?;
    let contenders = contenders().await?;
    let requests = accepted(&contenders, images::all()?)?;
    println!("{} images, each uploaded twice in each of {rounds} rounds", requests.len());
    for clients in [1, 8, 32] {
        let mut series: Vec<Series> = contenders.iter().map(|_| Series::default()).collect();
        for _ in 0..rounds {
            for (contender, series) in contenders.iter().zip(&mut series) {
                let until = Until::Requests(2 * requests.len());
                series.round(&contender.server, &contender.backend, clients, &requests, until)?;
            }
        }
        println!("\n{clients} clients");
        println!("{:34} {:>6} {:>11} {:>12} {:>8}", "", "/s", "service ms", "database ms", "failed");
        for (contender, series) in contenders.iter().zip(&series) {
            let (service, database) = (series.service_us() / 1000.0, series.database_us() / 1000.0);
            let (name, rate, failed) = (&contender.name, series.per_second(), series.failed());
            println!("{name:34} {rate:>6.1} {service:>11.1} {database:>12.1} {failed:>8}");
        }
        if let [_, ours, peer] = series.as_slice() {
            let (cpu, rate) = (peer.service_us() / ours.service_us(), ours.per_second() / peer.per_second());
            println!("on the same back end: peer's CPU / ours {cpu:.1}, our uploads per second / peer's {rate:.1}");
        }
    }
    Ok(())
}

/// Starts our service on every back end and, if it is configured, the peer on PostgreSQL.
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
        _ => println!("BENCH_PEER_PYTHON or TEST_DATABASE_URL is not set: skipping the peer"),
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

/// Uploads each image to every contender, which also warms them up. Returns the requests that all of them accept.
fn accepted(contenders: &[Contender], images: Vec<ImageFile>) -> Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    for image in images {
        let request = post_image(&image.name, &image.bytes);
        let mut is_accepted = true;
        for contender in contenders {
            is_accepted &= Connection::open(contender.server.address)?.send(&request)?.status == 200;
        }
        if is_accepted {
            requests.push(request);
        } else {
            println!("skipping {}: not every service accepts it", image.name);
        }
    }
    Ok(requests)
}
