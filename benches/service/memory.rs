//! Peak memory of a new process during 32 concurrent uploads of images of 12 to 16 megapixels.

use crate::Result;
use crate::client::{Until, closed_loop, post_image};
use crate::images;
use crate::measure::{median, number};
use crate::uploads::contenders;

const CLIENTS: usize = 32;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 3)?;
    let requests: Vec<_> = images::large()?.iter().map(|image| post_image(&image.name, &image.bytes)).collect();
    let mut peaks: Vec<(String, Vec<f64>, usize)> = Vec::new();
    for _ in 0..rounds {
        for (number, contender) in contenders().await?.into_iter().enumerate() {
            // Each client uploads about two images, one after the other.
            let load = closed_loop(contender.server.address, CLIENTS, &requests, Until::Requests(2 * CLIENTS))?;
            if peaks.len() == number {
                peaks.push((contender.name.clone(), Vec::new(), 0));
            }
            if let Some((_, values, failed)) = peaks.get_mut(number) {
                values.push(contender.server.peak_memory_mib()?);
                *failed += load.failed.values().sum::<usize>();
            }
        }
    }
    println!("{CLIENTS} clients, {} different images, {rounds} rounds", requests.len());
    for (name, values, failed) in &peaks {
        println!("{name:40} peak {:.0} MiB, {failed} failed", median(values));
    }
    Ok(())
}
