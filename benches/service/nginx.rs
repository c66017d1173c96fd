//! nginx, which serves the same files from disk: one worker per processor, with sendfile, as Debian configures it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::server::{Server, cpu_with_children};

pub struct Nginx {
    server: Server,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts nginx; returns `None` if it is not installed.
    pub fn start() -> Result<Option<Self>> {
        if Command::new("nginx").arg("-v").output().is_err() {
            println!("nginx is not installed, so there is nothing to compare with");
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ready"), "")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(folder.path(), address))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&config).args(["-e", "stderr"]);
        Ok(Some(Self { server: Server::program(&mut command, address, "/ready")?, folder }))
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Adds a file; returns its path in URLs.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<String> {
        std::fs::write(self.folder.path().join(name), bytes)?;
        Ok(format!("/{name}"))
    }

    /// Returns the CPU time of all workers.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_with_children(self.server.id())
    }
}

impl Drop for Nginx {
    /// Stops nginx by its own command: workers survive if the main process is killed.
    fn drop(&mut self) {
        let config = self.folder.path().join("nginx.conf");
        if let Err(error) = Command::new("nginx").arg("-c").arg(config).args(["-e", "stderr", "-s", "stop"]).status() {
            eprintln!("nginx could not be stopped: {error}");
        }
    }
}

fn configuration(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off; user root; worker_processes auto; pid {folder}/pid; error_log stderr;\n\
         events {{ worker_connections 768; }}\n\
         http {{ sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000000;\n\
         server {{ listen {address}; root {folder}; }} }}\n"
    )
}
