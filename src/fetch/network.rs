//! The network as fetching uses it: DNS, connections and trusted certificates. Tests substitute their own.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::RootCertStore;

/// Access to the network. Implementations check nothing: callers must filter addresses.
pub trait Network: Send + Sync + fmt::Debug {
    /// Returns all addresses of a host.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;

    /// Returns the trusted root certificates. Called once, for the first https URL.
    fn roots(&self) -> BoxFuture<'_, io::Result<RootCertStore>>;
}

/// The machine's resolver, network and certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` override the certificates).
#[derive(Debug)]
pub struct SystemNetwork {
    /// Limits concurrent look-ups: each blocks a thread for an unbounded time, and decoding needs threads too.
    lookups: Arc<Semaphore>,
}

impl Default for SystemNetwork {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(64)) }
    }
}

impl Network for SystemNetwork {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let lookup = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
            let host = host.to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                drop(lookup);
                found
            });
            Ok(found.await??.map(|address| address.ip()).collect())
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }

    fn roots(&self) -> BoxFuture<'_, io::Result<RootCertStore>> {
        Box::pin(async {
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
            for error in &found.errors {
                tracing::warn!("cannot read some of the system's certificates: {error}");
            }
            let mut roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(io::Error::other("the system has no root certificates: install ca-certificates"));
            }
            Ok(roots)
        })
    }
}
