//! Servers in separate processes, and their CPU time and memory from `/proc`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Connection, get};
use crate::{Error, Result};

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The time from starting the process until it was ready.
    pub ready_after: Duration,
}

/// The path of the service's binary: `BENCH_BINARY`, or the one of this build.
pub fn service_binary() -> String {
    std::env::var("BENCH_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_image-service").to_owned())
}

impl Server {
    /// Starts the service on free ports.
    pub fn image_service(settings: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(service_binary());
        command.arg("serve").env_clear().envs(settings.iter().cloned()).env("PORT", "0").env("S3_EMBEDDED_PORT", "0");
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        stdout.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://").ok_or("the service did not start")?.parse()?;
        // Keeps reading, because the service would block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self::wait_until_ready(child, address, "/ready", started)
    }

    /// Starts another program that listens on `address`. It is ready when it responds to `path` with status 200.
    pub fn program(command: &mut Command, address: SocketAddr, path: &str) -> Result<Self> {
        let started = Instant::now();
        Self::wait_until_ready(command.stdout(Stdio::null()).spawn()?, address, path, started)
    }

    fn wait_until_ready(child: Child, address: SocketAddr, path: &str, started: Instant) -> Result<Self> {
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        let ready = || Connection::open(address)?.send(&get(path)).map(|response| response.status == 200);
        while !ready().unwrap_or(false) {
            if started.elapsed() > Duration::from_secs(60) || server.child.try_wait()?.is_some() {
                return Err(format!("the server at {address} did not become ready").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }

    /// The PID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }

    /// The current resident memory.
    pub fn memory_mib(&self) -> Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// The peak of resident memory since the process started.
    pub fn peak_memory_mib(&self) -> Result<f64> {
        self.status_mib("VmHWM:")
    }

    fn status_mib(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        Ok(value.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            println!("the server at {} could not be stopped", self.address);
        }
    }
}

/// CPU time of a process, including children that it has waited for.
pub fn cpu_of(process: u32) -> Result<Duration> {
    let ticks: u64 = stat(process)?[11..15].iter().map(|field| field.parse::<u64>()).sum::<std::result::Result<_, _>>()?;
    // One tick is 10 ms on every architecture (USER_HZ, see proc_pid_stat(5)).
    Ok(Duration::from_millis(ticks * 10))
}

/// Like [`cpu_of`], including children that are still running.
pub fn cpu_with_children(parent: u32) -> Result<Duration> {
    let mut sum = cpu_of(parent)?;
    for entry in Path::new("/proc").read_dir()? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may exit at any time, so errors are ignored.
        if parent_of(process).is_ok_and(|ppid| ppid == parent) {
            sum += cpu_of(process).unwrap_or_default();
        }
    }
    Ok(sum)
}

pub fn parent_of(process: u32) -> Result<u32> {
    Ok(stat(process)?[1].parse()?)
}

/// The fields of `/proc/{pid}/stat` that follow the program's name, which may contain spaces.
fn stat(process: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").ok_or_else(|| Error::from("no fields"))?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}
