//! CPU per file that is received with tus and stored, but not processed: ours against `@tus/server` with `@tus/s3-store`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::client::Connection;
use crate::cpu::{Measured, milliseconds, print};
use crate::images::ImageFile;
use crate::server::Server;
use crate::tus;

const PEER: &str = "/files";

/// Our service stores a piece without processing it only if bytes are missing. The peer's file is complete; without its last byte,
/// the peer stores what has arrived as another object.
pub fn compare_receiving(ours: &Measured<'_>, peer: Option<&Measured<'_>>, images: &[ImageFile], rounds: usize) -> Result<()> {
    let [mut received, mut by_peer, mut incomplete] = [Duration::ZERO; 3];
    for round in 0..=rounds {
        let ours = receive(ours, tus::OURS, images, 1)?;
        let (complete, less) = match peer {
            Some(peer) => (receive(peer, PEER, images, 0)?, receive(peer, PEER, images, 1)?),
            None => Default::default(),
        };
        // The first round warms them up.
        if round > 0 {
            received += ours;
            by_peer += complete;
            incomplete += less;
        }
    }
    let files = rounds * images.len();
    println!("\nonly receiving");
    if peer.is_none() {
        println!("{:30} {:>8.2} ms", "ours", milliseconds(received, files));
        return Ok(());
    }
    print("ours", received, files, by_peer, "peer");
    print("@tus/server", by_peer, files, by_peer, "peer");
    print("@tus/server, a byte is missing", incomplete, files, by_peer, "peer");
    Ok(())
}

/// Sends the images to uploads that are `missing` bytes longer. Those that are not complete are then deleted, which does not count.
fn receive(server: &Measured<'_>, path: &str, images: &[ImageFile], missing: usize) -> Result<Duration> {
    let (uploads, spent) = server
        .measure(|connection| images.iter().map(|image| send(connection, path, image, missing)).collect::<Result<Vec<_>>>())?;
    if missing > 0 {
        let mut connection = server.connect()?;
        uploads.iter().try_for_each(|upload| tus::delete(&mut connection, upload))?;
    }
    Ok(spent)
}

/// Sends an image to an upload that is `missing` bytes longer. Returns the upload's address.
fn send(connection: &mut Connection, path: &str, image: &ImageFile, missing: usize) -> Result<String> {
    let created = tus::create(connection, path, &image.name, image.bytes.len() + missing, None)?;
    let location = created.location.ok_or_else(|| format!("no location for {}, but {}", image.name, created.status))?;
    match tus::append(connection, &location, &image.bytes)?.status {
        204 => Ok(location),
        status => Err(format!("{} was refused with {status}", image.name).into()),
    }
}

/// Starts `@tus/server`, which stores files in the same bucket.
pub fn tus_server(folder: &str, settings: Vec<(&str, String)>) -> Result<Server> {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/tus_server.mjs"));
    command.envs(settings).env("BENCH_TUS_SERVER", std::path::absolute(folder)?).env("PORT", address.port().to_string());
    // The AWS SDK warns about versions of Node.
    command.env("NODE_ENV", "production").env("NODE_NO_WARNINGS", "1");
    Server::program(&mut command, address, "/health")
}
