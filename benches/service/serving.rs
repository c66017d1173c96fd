//! Sending files: 64 clients download thumbnails, resized images and originals from the service, and the same bytes from nginx.
//!
//! The client is wrk, which takes little CPU beside the servers. Each row is measured in turns.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, get_from, post_image};
use crate::measure::number;
use crate::nginx::Nginx;
use crate::random::Random;
use crate::server::Server;
use crate::wrk::{self, Series};

const CLIENTS: usize = 64;

/// Different images per row.
const IMAGES: u64 = 8;

/// What is requested of each image.
enum Source {
    /// A path below `/images/{id}/`.
    Path(&'static str),
    PublicLink,
    /// A URL of the embedded S3 server.
    PresignedUrl,
}

/// A row of the table: its name, the size of the uploaded images in pixels, and what is requested.
const ROWS: [(&str, u32, Source); 7] = [
    ("thumbnail, medium", 900, Source::Path("thumbnails/medium")),
    ("resized image", 900, Source::Path("thumbnail?width=300&format=jpeg")),
    ("public link, 0.2 MB", 260, Source::PublicLink),
    ("public link, 2 MB", 820, Source::PublicLink),
    ("public link, 10 MB", 1800, Source::PublicLink),
    ("presigned URL, 0.2 MB", 260, Source::PresignedUrl),
    ("presigned URL, 2 MB", 820, Source::PresignedUrl),
];

pub async fn run() -> Result<()> {
    wrk::require()?;
    let rounds = number("BENCH_ROUNDS", 5)?;
    let duration = Duration::from_millis(number("BENCH_MILLIS", 4000)? as u64).max(Duration::from_secs(1));
    let Some(nginx) = Nginx::start()? else { return Ok(()) };
    for backend in Backend::all().await? {
        println!("\n{}, {CLIENTS} clients, {rounds} rounds; in the last columns, the ratio to nginx", backend.name());
        println!("{:24} {:>8} {:>11} {:>10} {:>9} {:>9}", "", "size", "requests/s", "CPU µs", "requests", "CPU");
        for (name, side, source) in ROWS {
            let is_embedded = matches!(backend, Backend::Embedded);
            if matches!(source, Source::PresignedUrl) && !is_embedded {
                continue;
            }
            let (_folder, settings) = backend.settings("bench_serving").await?;
            let server = Server::image_service(&settings)?;
            let Requests { address, host, paths } = requests(&server, side, &source)?;
            let mut size = 0;
            let mut mirrored = Vec::new();
            for (number, path) in paths.iter().enumerate() {
                let bytes = Connection::open(address)?.send(&get_from(&host, path))?.body;
                size += bytes.len() / paths.len();
                mirrored.push(nginx.add(&number.to_string(), &bytes)?);
            }
            let (resident, mut series) = (server.memory_mib()?, [Series::new(CLIENTS), Series::new(CLIENTS)]);
            for _ in 0..rounds {
                let cpu = || Ok(server.cpu()? + backend.database_cpu()?);
                series[0].round((address, &host), &paths, duration, cpu)?;
                series[1].round((nginx.address(), "localhost"), &mirrored, duration, || nginx.cpu())?;
            }
            let [service, peer] = &series;
            println!(
                "{name:24} {:>5} KB {:>11.0} {:>10.0} {:>9.2} {:>9.2}   {:.0} MiB before, at most {:.0}",
                size / 1000,
                service.per_second(),
                service.cpu_us(),
                service.per_second() / peer.per_second(),
                service.cpu_us() / peer.cpu_us(),
                resident,
                server.peak_memory_mib()?,
            );
        }
    }
    Ok(())
}

struct Requests {
    address: SocketAddr,
    /// The `Host` header, which is part of the signature of a presigned URL.
    host: String,
    paths: Vec<String>,
}

/// Uploads the images of a row; returns the requests for them.
fn requests(server: &Server, side: u32, source: &Source) -> Result<Requests> {
    let mut connection = Connection::open(server.address)?;
    let mut requests = Requests { address: server.address, host: "localhost".to_owned(), paths: Vec::new() };
    for seed in 0..IMAGES {
        let response = connection.send(&post_image("noise.png", &noise(seed, side)?))?;
        let response: serde_json::Value = serde_json::from_slice(&response.body)?;
        let id = response["image_id"].as_str().ok_or_else(|| format!("not stored: {response}"))?;
        let path = match source {
            Source::Path(path) => format!("/images/{id}/{path}"),
            Source::PublicLink => format!("/i/{id}"),
            Source::PresignedUrl => {
                let url = response["image"]["download_url"].as_str().ok_or("no download_url")?;
                let (host, path) = url.trim_start_matches("http://").split_once('/').ok_or("not a URL")?;
                requests.address = host.replace("localhost", "127.0.0.1").parse()?;
                requests.host = host.to_owned();
                format!("/{path}")
            }
        };
        requests.paths.push(path);
    }
    Ok(requests)
}

/// Returns a PNG of noise, which does not compress: three bytes per pixel.
fn noise(seed: u64, side: u32) -> Result<Vec<u8>> {
    let mut random = Random::new(seed + 1);
    let bytes = (side * side * 3) as usize;
    let pixels: Vec<u8> = (0..bytes / 8 + 1).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header()?.write_image_data(&pixels[..bytes])?;
    Ok(file)
}
