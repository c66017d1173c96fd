//! Public links: 64 clients download files of about 10 MB from the service and from nginx.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, Until, closed_loop, get, post_image};
use crate::measure::{median, number};
use crate::random::Random;
use crate::server::{Server, cpu_with_children};

const CLIENTS: usize = 64;
const FILES: u64 = 8;

/// The side of a file's image in pixels: 1800 × 1800 × 3 bytes of noise, which is incompressible.
const SIDE: u32 = 1800;

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 5)?, number("BENCH_MILLIS", 4000)?);
    let until = Until::Elapsed(Duration::from_millis(millis as u64));
    let files = (0..FILES).map(noise).collect::<Result<Vec<_>>>()?;
    let nginx = Nginx::start(&files)?;
    for backend in Backend::all().await? {
        let (_folder, settings) = backend.settings("bench_links").await?;
        let uploader = Server::image_service(&settings)?;
        let links = files.iter().map(|file| upload(&uploader, file)).collect::<Result<Vec<_>>>()?;
        // Measures a new process, so that its memory does not include the uploads.
        drop(uploader);
        let server = Server::image_service(&settings)?;
        let resident = server.memory_mib()?;
        let mut series: [(&str, Series); 2] = [("image-service", Series::default()), ("nginx", Series::default())];
        for _ in 0..rounds {
            let cpu = || Ok(server.cpu()? + backend.database_cpu()?);
            series[0].1.round(server.address, &links, until, cpu)?;
            if let Some(nginx) = &nginx {
                series[1].1.round(nginx.server.address, &nginx.requests(), until, || cpu_with_children(nginx.server.id()))?;
            }
        }
        println!("\n{}, {CLIENTS} clients, files of {:.1} MB, {rounds} rounds", backend.name(), files[0].len() as f64 / 1e6);
        for (name, series) in series.iter().filter(|(_, series)| series.succeeded > 0) {
            let megabytes = median(&series.per_second) * files[0].len() as f64 / 1e6;
            let cpu_ms = series.cpu.as_secs_f64() * 1e3 / series.succeeded as f64;
            println!("{name:16} {megabytes:>8.0} MB/s {cpu_ms:>8.2} ms of CPU per file");
        }
        println!("memory: {resident:.0} MiB before, peak {:.0} MiB", server.peak_memory_mib()?);
    }
    nginx.map_or(Ok(()), |nginx| nginx.stop())
}

#[derive(Default)]
struct Series {
    per_second: Vec<f64>,
    succeeded: usize,
    cpu: Duration,
}

impl Series {
    fn round(
        &mut self,
        address: SocketAddr,
        requests: &[Vec<u8>],
        until: Until,
        cpu: impl Fn() -> Result<Duration>,
    ) -> Result<()> {
        let before = cpu()?;
        let load = closed_loop(address, CLIENTS, requests, until)?;
        self.cpu += cpu()? - before;
        self.per_second.push(load.succeeded as f64 / load.elapsed.as_secs_f64());
        self.succeeded += load.succeeded;
        Ok(())
    }
}

fn noise(seed: u64) -> Result<Vec<u8>> {
    let mut random = Random::new(seed + 1);
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3 / 8 + 1).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header()?.write_image_data(&pixels[..(SIDE * SIDE * 3) as usize])?;
    Ok(file)
}

/// Uploads a file. Returns the request for its public link.
fn upload(server: &Server, file: &[u8]) -> Result<Vec<u8>> {
    let response = Connection::open(server.address)?.send(&post_image("noise.png", file))?;
    let image: serde_json::Value = serde_json::from_slice(&response.body)?;
    let id = image["image_id"].as_str().ok_or_else(|| format!("the upload was rejected: {image}"))?;
    Ok(get(&format!("/i/{id}")))
}

/// nginx serving the same files from disk, with Debian's settings: one worker per core, and sendfile.
struct Nginx {
    server: Server,
    folder: tempfile::TempDir,
}

impl Nginx {
    fn start(files: &[Vec<u8>]) -> Result<Option<Self>> {
        if Command::new("nginx").arg("-v").output().is_err() {
            println!("nginx is not installed: skipping it");
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        for (index, file) in files.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{index}.png")), file)?;
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(folder.path(), address))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&config).args(["-e", "stderr"]);
        Ok(Some(Self { server: Server::program(&mut command, address, "/0.png")?, folder }))
    }

    /// Uses nginx's own command, because killing the master process would leave its workers running.
    fn stop(&self) -> Result<()> {
        let config = self.folder.path().join("nginx.conf");
        Command::new("nginx").arg("-c").arg(config).args(["-e", "stderr", "-s", "stop"]).status()?;
        Ok(())
    }

    fn requests(&self) -> Vec<Vec<u8>> {
        (0..FILES).map(|index| get(&format!("/{index}.png"))).collect()
    }
}

fn configuration(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off; user root; worker_processes auto; pid {folder}/pid; error_log stderr;\n\
         events {{ worker_connections 768; }}\n\
         http {{ sendfile on; tcp_nopush on; access_log off; types {{ image/png png; }}\n\
         server {{ listen {address}; root {folder}; }} }}\n"
    )
}
