//! Loads by wrk, which takes little CPU beside the servers.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::measure::median;

/// # Errors
/// wrk is not installed.
pub fn require() -> Result<()> {
    Command::new("wrk").arg("-v").output().map(drop).map_err(|_| "wrk is not installed".into())
}

/// The rounds of one load on one server.
pub struct Series {
    clients: usize,
    per_second: Vec<f64>,
    requests: f64,
    cpu: Duration,
}

impl Series {
    pub fn new(clients: usize) -> Self {
        Self { clients, per_second: Vec::new(), requests: 0.0, cpu: Duration::ZERO }
    }

    /// Requests the paths in turn from a server. `cpu` returns the CPU time that it has used.
    pub fn round(
        &mut self,
        server: (SocketAddr, &str),
        paths: &[String],
        duration: Duration,
        cpu: impl Fn() -> Result<Duration>,
    ) -> Result<()> {
        let before = cpu()?;
        let requests = load(server, self.clients, paths, duration)?;
        self.cpu += cpu()? - before;
        self.requests += requests;
        self.per_second.push(requests / duration.as_secs_f64());
        Ok(())
    }

    pub fn per_second(&self) -> f64 {
        median(&self.per_second)
    }

    /// The CPU time per request, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests
    }
}

/// Requests the paths in turn; returns the number of responses, which must all be 200.
fn load((address, host): (SocketAddr, &str), clients: usize, paths: &[String], duration: Duration) -> Result<f64> {
    let (script, list) = (tempfile::NamedTempFile::with_suffix(".lua")?, tempfile::NamedTempFile::new()?);
    std::fs::write(list.path(), paths.join("\n"))?;
    std::fs::write(
        script.path(),
        format!(
            "wrk.headers[\"Host\"] = {host:?}\nlocal paths = {{}}\nlocal next = 0\n\
             for path in io.lines({:?}) do paths[#paths + 1] = path end\n\
             request = function() next = next % #paths + 1 return wrk.format(\"GET\", paths[next]) end\n",
            list.path()
        ),
    )?;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c", &clients.to_string(), "-d", &format!("{}s", duration.as_secs())]);
    wrk.arg("-s").arg(script.path()).arg(format!("http://{address}/"));
    let output = String::from_utf8(wrk.output()?.stdout)?;
    if output.contains("Non-2xx") || output.contains("Socket errors") {
        return Err(format!("some requests failed:\n{output}").into());
    }
    let count = output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    count.ok_or_else(|| format!("cannot read the output of wrk:\n{output}").into())
}
