//! Medians, and loads measured from both ends: how many answers, and what they cost the service and its database.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, closed_loop};
use crate::server::Server;

/// A server under measurement: rounds of the same load, taken in turns with others.
#[derive(Default)]
pub struct Series {
    per_second: Vec<f64>,
    latencies_ms: Vec<f64>,
    done: usize,
    service_cpu: Duration,
    database_cpu: Duration,
    refused: usize,
}

impl Series {
    pub fn round(
        &mut self,
        server: &Server,
        backend: &Backend,
        connections: usize,
        requests: &[Vec<u8>],
        until: Until,
    ) -> Result<()> {
        let (service_before, database_before) = (server.cpu()?, backend.database_cpu()?);
        let address: SocketAddr = server.address;
        let load = closed_loop(address, connections, requests, until)?;
        self.service_cpu += server.cpu()? - service_before;
        self.database_cpu += backend.database_cpu()?.saturating_sub(database_before);
        self.per_second.push(load.done as f64 / load.elapsed.as_secs_f64());
        self.latencies_ms.extend(load.latencies.iter().map(|latency| latency.as_secs_f64() * 1000.0));
        self.done += load.done;
        self.refused += load.others.values().sum::<usize>();
        Ok(())
    }

    /// The median of the rounds.
    pub fn per_second(&self) -> f64 {
        median(&self.per_second)
    }

    /// The median of all answers.
    pub fn latency_ms(&self) -> f64 {
        median(&self.latencies_ms)
    }

    /// Microseconds of CPU an answer, over all rounds: the service's own.
    pub fn service_us(&self) -> f64 {
        self.service_cpu.as_secs_f64() * 1e6 / self.done.max(1) as f64
    }

    /// The database server's; SQLite's is the service's own.
    pub fn database_us(&self) -> f64 {
        self.database_cpu.as_secs_f64() * 1e6 / self.done.max(1) as f64
    }

    pub fn cpu_us(&self) -> f64 {
        self.service_us() + self.database_us()
    }

    /// Answers that were not 200.
    pub fn refused(&self) -> usize {
        self.refused
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// A number from the environment.
pub fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map_err(|_| format!("{variable} must be a number, not {text:?}").into()),
        Err(_) => Ok(default),
    }
}
