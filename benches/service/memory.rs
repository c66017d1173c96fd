//! The most memory that 32 pictures of 12 to 16 megapixels at once take, from a fresh start.

use crate::Result;
use crate::client::{Until, closed_loop, post_image};
use crate::measure::{median, number};
use crate::pictures;
use crate::uploads::contenders;

const AT_ONCE: usize = 32;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 3)?;
    let requests: Vec<_> = pictures::large()?.iter().map(|picture| post_image(&picture.name, &picture.bytes)).collect();
    let mut peaks: Vec<(String, Vec<f64>, usize)> = Vec::new();
    for _ in 0..rounds {
        for (number, contender) in contenders().await?.into_iter().enumerate() {
            // Each client sends two, one after the other.
            let load = closed_loop(contender.server.address, AT_ONCE, &requests, Until::Requests(2 * AT_ONCE))?;
            if peaks.len() == number {
                peaks.push((contender.name.clone(), Vec::new(), 0));
            }
            if let Some((_, values, refused)) = peaks.get_mut(number) {
                values.push(contender.server.peak_memory_mib()?);
                *refused += load.others.values().sum::<usize>();
            }
        }
    }
    println!("{AT_ONCE} clients, {} different pictures, {rounds} fresh starts", requests.len());
    for (name, values, refused) in &peaks {
        println!("{name:40} peak {:.0} MiB, {refused} refused", median(values));
    }
    Ok(())
}
