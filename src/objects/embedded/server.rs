//! Connections: accepted up to a bound, served by hyper, ended in an orderly way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_socket_send_buffer_size;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::api::Api;
use super::door::Door;
use super::pace::PacedStream;
use super::storage::Storage;
use super::{Credentials, EmbeddedConfig, Error, Limits};

/// Room for a thousand of the longest keys in a deletion's XML, every character escaped.
const XML_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Of a request's head; S3's own limit is 8 KiB of headers beside the URL.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// As the service's own connections have it.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// After an error of `accept`, most likely that there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The task that accepts, and the connections below it. Dropping it ends them all.
pub(super) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    accepting: AbortOnDropHandle<(GracefulShutdown, JoinSet<()>)>,
}

impl Server {
    /// Listens, and serves so many connections at a time on a task of its own.
    pub(super) async fn start(
        config: &EmbeddedConfig,
        address: SocketAddr,
        connections: usize,
        storage: Arc<Storage>,
        credentials: &Credentials,
    ) -> Result<Self, Error> {
        let listen_error = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::AddressInUse { address },
            _ => Error::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let door = Arc::new(door(config, storage, credentials));
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, connections, door, config.limits.clone(), stop.clone()));
        Ok(Self { address, stop, accepting: AbortOnDropHandle::new(accepting) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the connections: idle ones now, others after their request, all of them after `grace`.
    pub(super) async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        let (graceful, mut connections) = match self.accepting.await {
            Ok(parts) => parts,
            Err(error) => {
                tracing::error!("the S3 server's task had ended before: {error}");
                return;
            }
        };
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests to the S3 server were cut off");
        }
        connections.shutdown().await;
    }
}

fn door(config: &EmbeddedConfig, storage: Arc<Storage>, credentials: &Credentials) -> Door {
    let api = Api { storage, bucket: config.bucket.clone(), object_bytes_max: config.limits.object_bytes };
    let mut settings = S3Config::default();
    settings.xml_max_body_size = XML_BYTES_MAX;
    let mut builder = S3ServiceBuilder::new(api);
    builder.set_auth(credentials.clone());
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(settings))));
    // What chunks and their signatures add is about a hundredth; a sixteenth is no reason to refuse anybody.
    let object_bytes = config.limits.object_bytes;
    let body_bytes_max = object_bytes + object_bytes / 16 + XML_BYTES_MAX as u64;
    Door { s3: builder.build(), cors: config.cors, body_bytes_max, idle_timeout: config.limits.idle_timeout }
}

async fn accept(
    listener: TcpListener,
    at_once: usize,
    door: Arc<Door>,
    limits: Limits,
    stop: CancellationToken,
) -> (GracefulShutdown, JoinSet<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(at_once));
    loop {
        // The slot first: a connection that there is no room for waits in the kernel.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>((slot, stream))
        };
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                Ok((slot, stream)) => {
                    let connection = serve(stream, &door, &limits, &graceful);
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection to the S3 server: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Takes the ended ones away; without it the set would grow for ever.
            Some(_) = connections.join_next() => {}
        }
    }
    (graceful, connections)
}

fn serve(
    stream: TcpStream,
    door: &Arc<Door>,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Small answers should not wait for more to send. A stream that refuses is broken, and will say so soon.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // What the kernel keeps for a client that reads slowly: by itself it lets a fast one have 4 MiB and more.
    if let Err(error) = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
        tracing::debug!(%error, "cannot set SO_SNDBUF");
    }
    let door = Arc::clone(door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { door.answer(request).await }
    });
    // hyper bounds the time for a request's head but not for an answer: a client that stops reading would hold its
    // connection, and an open file, for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.idle_timeout));
    let stream = PacedStream::new(Box::pin(stream), limits.min_bytes_per_second);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection);
    async move {
        // Clients that go away or send nonsense are their own business.
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection to the S3 server ended early");
        }
    }
}
