//! A TCP proxy between the service and its database or storage, which can inject faults.
//!
//! It does not interpret the bytes. It forwards them, or refuses, hangs, delays or cuts connections as [`Fault`] says.
//! A fault applies to open and new connections from the moment it is set.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use image_service::objects::embedded::{Embedded, EmbeddedConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::process::Home;

/// A fault of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// The port is closed, and open connections are reset.
    Refused,
    /// Connections are accepted, but no byte is forwarded until the fault is cleared.
    Hang,
    /// Open connections never forward another byte, even after the fault is cleared. New connections work.
    Lose,
    /// Each piece of data from a client is delayed this long.
    Slow(Duration),
    /// Each connection forwards this many more bytes, counting both directions, and is then reset.
    Cut(u64),
    /// After this many bytes in one direction, counted over all connections, one connection is reset. Then the fault is
    /// cleared.
    CutOnce(Direction, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// A running proxy. Dropping it resets its connections.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    fault: watch::Sender<Fault>,
    /// Increases with each fault that is set, so that connections restart their counts.
    epoch: AtomicU64,
    /// Connections opened before this epoch are lost.
    lost_before: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Proxy {
    /// Starts a proxy in front of `server`.
    pub async fn in_front_of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault: watch::Sender::new(Fault::None),
            epoch: AtomicU64::new(0),
            lost_before: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
        });
        let task = tokio::spawn(run(listener, address, server, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Sets the fault and resets the counts.
    pub fn set(&self, fault: Fault) {
        self.shared.to_server.store(0, Ordering::SeqCst);
        self.shared.to_client.store(0, Ordering::SeqCst);
        let epoch = self.shared.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        if fault == Fault::Lose {
            self.shared.lost_before.store(epoch, Ordering::SeqCst);
        }
        self.shared.fault.send_replace(fault);
    }

    /// Bytes forwarded in a direction since the last fault was set.
    pub fn forwarded(&self, direction: Direction) -> u64 {
        self.shared.counter(direction).load(Ordering::SeqCst)
    }

    /// Whether a [`Fault::CutOnce`] has happened.
    pub fn is_over(&self) -> bool {
        *self.shared.fault.borrow() == Fault::None
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.fault.send_replace(Fault::Refused);
        self.task.abort();
    }
}

impl Shared {
    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

async fn run(listener: TcpListener, address: SocketAddr, server: SocketAddr, shared: Arc<Shared>) {
    let mut listener = Some(listener);
    let mut changes = shared.fault.subscribe();
    loop {
        let refused = *changes.borrow_and_update() == Fault::Refused;
        match &listener {
            _ if refused => {
                drop(listener.take());
                // A bound socket that does not listen: connections are refused, and no other process can take the port.
                let reserved = reserve(address).await;
                changes.wait_for(|fault| *fault != Fault::Refused).await.map(drop).unwrap_or_default();
                listener = Some(reserved.listen(1024).unwrap());
            }
            Some(open) => tokio::select! {
                accepted = open.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(forward(client, server, Arc::clone(&shared)));
                    }
                }
                _ = changes.changed() => {}
            },
            None => unreachable!("the proxy stops listening only while it refuses connections"),
        }
    }
}

async fn reserve(address: SocketAddr) -> TcpSocket {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Forwards one connection until a side closes it or a fault breaks it.
async fn forward(mut client: TcpStream, address: SocketAddr, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let opened = shared.epoch.load(Ordering::SeqCst);
    let connection = Connection { shared: &shared, opened, epoch: AtomicU64::new(0), forwarded: AtomicU64::new(0) };
    let mut fault = shared.fault.subscribe();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = connection.pump(from_client, to_server, Direction::ToServer) => ended,
            ended = connection.pump(from_server, to_client, Direction::ToClient) => ended,
            _ = fault.wait_for(|fault| *fault == Fault::Refused) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        // With zero linger, closing sends a reset instead of an orderly shutdown.
        client.set_zero_linger().unwrap();
        server.set_zero_linger().unwrap();
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    /// The epoch in which the connection was opened.
    opened: u64,
    epoch: AtomicU64,
    forwarded: AtomicU64,
}

impl Connection<'_> {
    async fn pump(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        direction: Direction,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        let mut fault = self.shared.fault.subscribe();
        loop {
            let length = from.read(&mut buffer).await?;
            fault.wait_for(|fault| *fault != Fault::Hang).await.map(drop).map_err(io::Error::other)?;
            if self.opened < self.shared.lost_before.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if length == 0 {
                return Ok(());
            }
            let now = *fault.borrow();
            if let (Fault::Slow(delay), Direction::ToServer) = (now, direction) {
                tokio::time::sleep(delay).await;
            }
            let allowed = self.allowed(direction, length);
            to.write_all(&buffer[..allowed]).await?;
            if allowed < length {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// Returns how many of `length` bytes to forward.
    fn allowed(&self, direction: Direction, length: usize) -> usize {
        let epoch = self.shared.epoch.load(Ordering::SeqCst);
        if self.epoch.swap(epoch, Ordering::SeqCst) != epoch {
            self.forwarded.store(0, Ordering::SeqCst);
        }
        let length_bytes = length as u64;
        let before_here = self.forwarded.fetch_add(length_bytes, Ordering::SeqCst);
        let before = self.shared.counter(direction).fetch_add(length_bytes, Ordering::SeqCst);
        let fault = *self.shared.fault.borrow();
        let left = match fault {
            Fault::Cut(after) => after.saturating_sub(before_here),
            Fault::CutOnce(cut, after) if cut == direction => after.saturating_sub(before),
            _ => return length,
        };
        if left < length_bytes && matches!(fault, Fault::CutOnce(..)) {
            self.shared.fault.send_replace(Fault::None);
        }
        usize::try_from(left).unwrap().min(length)
    }
}

/// A home whose storage, and whose database on PostgreSQL, are behind proxies.
pub struct Proxied {
    pub home: Home,
    pub storage: Proxy,
    /// `None` on SQLite, which uses no network.
    pub database: Option<Proxy>,
    /// Serves the storage when the environment names no S3 server.
    _embedded: Option<(Embedded, TempDir)>,
}

impl Proxied {
    pub async fn new() -> Self {
        let mut home = Home::new().await;
        let (storage_address, embedded) = match home.storage_address() {
            Some(address) => (address, None),
            None => {
                let (embedded, directory) = embedded(&home).await;
                let keys = &embedded.credentials;
                home.set("AWS_ACCESS_KEY_ID", &keys.access_key_id);
                home.set("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
                home.set("AWS_REGION", "us-east-1");
                (embedded.address, Some((embedded, directory)))
            }
        };
        let storage = Proxy::in_front_of(storage_address).await;
        home.set("S3_ENDPOINT_URL", &format!("http://{}", storage.address));
        // Clients bypass the proxy, so that stored objects can be checked during a fault.
        home.set("S3_PUBLIC_ENDPOINT_URL", &format!("http://{storage_address}"));
        let database = match home.database_address() {
            Some(address) => {
                let proxy = Proxy::in_front_of(address).await;
                home.move_database_to(proxy.address);
                Some(proxy)
            }
            None => None,
        };
        Self { home, storage, database, _embedded: embedded }
    }
}

async fn embedded(home: &Home) -> (Embedded, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(directory.path(), (Ipv4Addr::LOCALHOST, 0).into(), home.bucket());
    (Embedded::start(config).await.unwrap(), directory)
}
