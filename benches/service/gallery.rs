//! Galleries: clients load pages of thumbnails, the popular pages more often, from services with many images.

use std::time::Duration;

use image_service::model::id::ImageId;
use image_service::objects::embedded::{Embedded, EmbeddedConfig};
use image_service::objects::{Endpoint, ObjectStore, ObjectStoreConfig, layout};

use crate::Result;
use crate::backend::{BUCKET, Backend, storage_settings};
use crate::client::{Connection, get};
use crate::fill;
use crate::measure::number;
use crate::nginx::Nginx;
use crate::random::Random;
use crate::server::Server;
use crate::wrk::{self, Series};

const CLIENTS: usize = 32;
const IMAGES: u64 = 10_000;
const PAGE: u64 = 50;

/// The memory for cached files: more than all thumbnails have, the default, and an eighth of it.
const CACHES: [&str; 3] = ["256MiB", "64MiB", "8MiB"];

/// The numbers of images for the comparison of sizes.
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// The images that are requested of each size, spread over all.
const SAMPLE: u64 = 1_000;

/// Loads pages of 50 thumbnails of 10,000 images. The popularity of a page is proportional to 1 / its rank (Zipf's law).
pub async fn gallery() -> Result<()> {
    wrk::require()?;
    let Some(nginx) = Nginx::start()? else { return Ok(()) };
    let (rounds, duration) = (number("BENCH_ROUNDS", 5)?, duration()?);
    for backend in Backend::all().await? {
        let stored = Stored::fill(&backend, IMAGES, &(0..IMAGES).collect::<Vec<_>>()).await?;
        println!("\n{}, {CLIENTS} clients, pages of {PAGE} thumbnails of {} KB on average", backend.name(), stored.average_kb());
        println!("{:10} {:>11} {:>10} {:>9} {:>6} {:>6}", "cache", "requests/s", "CPU µs", "requests", "CPU", "hits");
        let (paths, mirrored) = (visits(&stored.paths), visits(&stored.mirror(&nginx)?));
        for cache in CACHES {
            let server = stored.serve(&[("CACHE_MEMORY", cache.to_owned())])?;
            let mut series = [Series::new(CLIENTS), Series::new(CLIENTS)];
            for _ in 0..rounds {
                let cpu = || Ok(server.cpu()? + backend.database_cpu()?);
                series[0].round((server.address, "localhost"), &paths, duration, cpu)?;
                series[1].round((nginx.address(), "localhost"), &mirrored, duration, || nginx.cpu())?;
            }
            let [service, peer] = &series;
            println!(
                "{cache:10} {:>11.0} {:>10.0} {:>9.2} {:>6.2} {:>5.1}%  at most {:.0} MiB",
                service.per_second(),
                service.cpu_us(),
                service.per_second() / peer.per_second(),
                service.cpu_us() / peer.cpu_us(),
                100.0 * hit_rate(&server)?,
                server.peak_memory_mib()?,
            );
        }
    }
    Ok(())
}

/// Loads the same number of thumbnails from services with more and more images.
pub async fn scaling() -> Result<()> {
    wrk::require()?;
    let (rounds, duration) = (number("BENCH_ROUNDS", 5)?, duration()?);
    for backend in Backend::all().await? {
        println!("\n{}, {CLIENTS} clients, {SAMPLE} thumbnails", backend.name());
        println!("{:>10} {:>11} {:>10} {:>9}", "images", "requests/s", "CPU µs", "CPU");
        let mut services = Vec::new();
        for size in SIZES {
            let sample: Vec<u64> = (0..SAMPLE).map(|number| number * (size / SAMPLE)).collect();
            let stored = Stored::fill(&backend, size, &sample).await?;
            services.push((size, stored.serve(&[])?, stored, Series::new(CLIENTS)));
        }
        for _ in 0..rounds {
            for (_, server, stored, series) in &mut services {
                let cpu = || Ok(server.cpu()? + backend.database_cpu()?);
                series.round((server.address, "localhost"), &stored.paths, duration, cpu)?;
            }
        }
        let first = services[0].3.cpu_us();
        for (size, _, _, series) in &services {
            println!("{size:>10} {:>11.0} {:>10.0} {:>9.2}", series.per_second(), series.cpu_us(), series.cpu_us() / first);
        }
    }
    Ok(())
}

fn duration() -> Result<Duration> {
    Ok(Duration::from_millis(number("BENCH_MILLIS", 4000)? as u64).max(Duration::from_secs(1)))
}

/// A database with many images, and the thumbnails of some of them in the storage.
struct Stored {
    settings: Vec<(&'static str, String)>,
    paths: Vec<String>,
    thumbnails: Vec<Vec<u8>>,
}

impl Stored {
    /// `sample` has the numbers of the images that get a thumbnail.
    async fn fill(backend: &Backend, images: u64, sample: &[u64]) -> Result<Self> {
        let (mut settings, _) = fill::filled_database(backend, images).await?;
        if matches!(backend, Backend::Postgres(_)) {
            settings.extend(storage_settings().await?);
        }
        let mut stored = Self { settings, paths: Vec::new(), thumbnails: Vec::new() };
        let mut ids: Vec<ImageId> = Vec::new();
        for number in sample {
            let id = fill::image(*number, images)?.id;
            stored.paths.push(format!("/images/{id}/thumbnails/small"));
            stored.thumbnails.push(bytes(*number));
            ids.push(id);
        }
        stored.put(backend, &ids).await?;
        Ok(stored)
    }

    async fn put(&self, backend: &Backend, ids: &[ImageId]) -> Result<()> {
        let setting = |name| self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let (endpoint, embedded) = match backend {
            Backend::Embedded => {
                let directory = std::path::PathBuf::from(setting("DATA_DIR").ok_or("no DATA_DIR")?).join("objects");
                let embedded = Embedded::start(EmbeddedConfig::new(directory, ([127, 0, 0, 1], 0).into(), "images")).await?;
                (Endpoint::of_embedded(&embedded), Some(embedded))
            }
            Backend::Postgres(_) => (Endpoint::Url(setting("S3_ENDPOINT_URL").ok_or("no S3_ENDPOINT_URL")?), None),
        };
        let bucket = if matches!(backend, Backend::Embedded) { "images" } else { BUCKET };
        let config = ObjectStoreConfig {
            bucket: bucket.to_owned(),
            create_bucket: false,
            endpoint,
            public_endpoint_url: None,
            timeout: Duration::from_secs(60),
            cache_bytes: 0,
        };
        let objects = ObjectStore::open(&config).await?;
        for batch in ids.iter().zip(&self.thumbnails).collect::<Vec<_>>().chunks(64) {
            let puts = batch.iter().map(|(id, bytes)| {
                let (objects, key) = (&objects, layout::key(**id, "small"));
                async move { objects.put(&key, bytes.to_vec().into(), "image/jpeg").await }
            });
            futures::future::try_join_all(puts).await?;
        }
        if let Some(embedded) = embedded {
            // The service needs the lock on the directory.
            embedded.shutdown(Duration::ZERO).await;
        }
        Ok(())
    }

    fn serve(&self, more: &[(&'static str, String)]) -> Result<Server> {
        Server::image_service(&[&self.settings[..], more].concat())
    }

    /// Adds the same files to nginx; returns their paths.
    fn mirror(&self, nginx: &Nginx) -> Result<Vec<String>> {
        self.thumbnails.iter().enumerate().map(|(number, bytes)| nginx.add(&number.to_string(), bytes)).collect()
    }

    fn average_kb(&self) -> usize {
        self.thumbnails.iter().map(Vec::len).sum::<usize>() / self.thumbnails.len() / 1000
    }
}

/// Bytes of the length of a thumbnail: 4 to 16 KB. Nothing here reads their content.
fn bytes(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let length = 4000 + random.next() % 12_000;
    (0..length).map(|_| random.next() as u8).collect()
}

/// The requests of many visits: each is a page of paths, chosen by Zipf's law.
fn visits(paths: &[String]) -> Vec<String> {
    let pages: Vec<&[String]> = paths.chunks(PAGE as usize).collect();
    let total: f64 = (1..=pages.len()).map(|rank| 1.0 / rank as f64).sum();
    let mut random = Random::new(1);
    let mut visits = Vec::new();
    for _ in 0..2000 {
        let mut left = random.fraction() * total;
        let mut rank = 1;
        while rank < pages.len() && left > 1.0 / rank as f64 {
            left -= 1.0 / rank as f64;
            rank += 1;
        }
        visits.extend_from_slice(pages[rank - 1]);
    }
    visits
}

fn hit_rate(server: &Server) -> Result<f64> {
    let metrics = String::from_utf8(Connection::open(server.address)?.send(&get("/metrics"))?.body)?;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok()).ok_or_else(|| format!("no metric {name}"))
    };
    let (hits, misses) = (value("image_service_cache_hits_total")?, value("image_service_cache_misses_total")?);
    Ok(hits / (hits + misses))
}
