//! The cost of reading one image and of listing twenty, compared with `/health` of the same server, which does nothing.

use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, get};
use crate::fill::{filled_database, image};
use crate::measure::{Series, number};
use crate::server::Server;
use image_service::model::filter::ImageFilter;
use image_service::model::page::PageToken;

const ROWS: u64 = 100_000;
const CONNECTIONS: usize = 8;

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 1000)?);
    for backend in Backend::all().await? {
        let (settings, _) = filled_database(&backend, ROWS).await?;
        let server = Server::image_service(&settings)?;
        println!("\n{}, {ROWS} images, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        let mut all: Vec<_> = kinds()?.into_iter().map(|(name, requests)| (name, requests, Series::default())).collect();
        for _ in 0..rounds {
            for (_, requests, series) in &mut all {
                let until = Until::Elapsed(Duration::from_millis(millis as u64));
                series.round(&server, &backend, CONNECTIONS, requests, until)?;
            }
        }
        println!("{:38} {:>8} {:>12} {:>12} {:>12}", "request", "/s", "service µs", "database µs", "/ health");
        let health = all.first().map_or(f64::NAN, |(_, _, series)| series.per_second());
        for (name, _, series) in &all {
            let ratio = series.per_second() / health;
            let (per_second, service, database) = (series.per_second(), series.service_us(), series.database_us());
            println!("{name:38} {per_second:>8.0} {service:>12.0} {database:>12.0} {ratio:>12.2}");
        }
    }
    Ok(())
}

type Requests = Vec<Vec<u8>>;

/// The kinds of requests. Each kind includes many different images or pages.
fn kinds() -> Result<Vec<(&'static str, Requests)>> {
    let fingerprint = ImageFilter::default().fingerprint();
    let (mut images, mut plain, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..200 {
        let id = image(1000 + step * (ROWS - 1000) / 200, ROWS)?.id;
        images.push(get(&format!("/images/{id}")));
        plain.push(get(&format!("/images/{id}?include_url=false")));
        pages.push(get(&format!("/images?limit=20&page_token={}", PageToken { last: id.uuid() }.encode(&fingerprint))));
    }
    Ok(vec![
        ("GET /health", vec![get("/health")]),
        ("GET /images/{id}", images),
        ("GET /images/{id}?include_url=false", plain),
        ("GET /images, page of 20", pages),
    ])
}
