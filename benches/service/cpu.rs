//! The CPU time of a server and its database for some work, compared with that of other work.

use std::time::Duration;

use crate::Result;
use crate::backend::Backend;
use crate::client::Connection;
use crate::server::Server;

/// A server, and the back end whose database it uses.
pub struct Measured<'a> {
    pub server: Server,
    pub backend: Option<&'a Backend>,
}

impl Measured<'_> {
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.server.address)
    }

    fn cpu(&self) -> Result<Duration> {
        Ok(self.server.cpu()? + self.backend.map_or(Ok(Duration::ZERO), Backend::database_cpu)?)
    }

    /// Also returns the CPU time that the server and the database take for `work`.
    pub fn measure<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<(T, Duration)> {
        // A new connection, because a server may have closed one that was idle for some seconds.
        let mut connection = self.connect()?;
        let before = self.cpu()?;
        let result = work(&mut connection)?;
        Ok((result, self.cpu()?.saturating_sub(before)))
    }
}

/// Milliseconds per upload.
pub fn milliseconds(spent: Duration, count: usize) -> f64 {
    spent.as_secs_f64() * 1000.0 / count as f64
}

pub fn print(name: &str, spent: Duration, count: usize, reference: Duration, reference_name: &str) {
    let ratio = spent.as_secs_f64() / reference.as_secs_f64();
    println!("{name:30} {:>8.2} ms  {ratio:>6.3} of the {reference_name}", milliseconds(spent, count));
}
