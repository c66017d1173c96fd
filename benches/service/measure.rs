//! Medians, and the figures of a load: the client's rate and latency, and the CPU time of the service and its database.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Until, closed_loop};
use crate::server::Server;

/// The rounds of one load on one server.
#[derive(Default)]
pub struct Series {
    per_second: Vec<f64>,
    latencies_ms: Vec<f64>,
    succeeded: usize,
    service_cpu: Duration,
    database_cpu: Duration,
    failed: usize,
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
        self.per_second.push(load.succeeded as f64 / load.elapsed.as_secs_f64());
        self.latencies_ms.extend(load.latencies.iter().map(|latency| latency.as_secs_f64() * 1000.0));
        self.succeeded += load.succeeded;
        self.failed += load.failed.values().sum::<usize>();
        Ok(())
    }

    /// Successful responses per second: the median of all rounds.
    pub fn per_second(&self) -> f64 {
        median(&self.per_second)
    }

    /// The median latency of all responses, in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        median(&self.latencies_ms)
    }

    /// The service's CPU time per successful response over all rounds, in microseconds. With SQLite, it includes the database.
    pub fn service_us(&self) -> f64 {
        self.service_cpu.as_secs_f64() * 1e6 / self.succeeded.max(1) as f64
    }

    /// The database server's CPU time per successful response over all rounds, in microseconds. Zero with SQLite.
    pub fn database_us(&self) -> f64 {
        self.database_cpu.as_secs_f64() * 1e6 / self.succeeded.max(1) as f64
    }

    /// The CPU time of the service and the database per successful response, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.service_us() + self.database_us()
    }

    /// The number of responses with a status other than 200.
    pub fn failed(&self) -> usize {
        self.failed
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

/// Reads a number from an environment variable.
pub fn number(variable: &str, default: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map_err(|_| format!("{variable} must be a number, not {text:?}").into()),
        Err(_) => Ok(default),
    }
}
