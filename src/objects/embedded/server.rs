//! Connections: accepted up to a limit, served by hyper, closed gracefully on shutdown.

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
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::api::Api;
use super::min_rate::MinRateStream;
use super::post_object::PostObject;
use super::request_filter::RequestFilter;
use super::storage::Storage;
use super::{Credentials, EmbeddedConfig, Error, Limits};

/// The largest XML body: a `DeleteObjects` request for a thousand of the longest keys, with every character escaped.
const XML_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest request head; S3's own limit is 8 KiB of headers, without the URL.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The same as for the service's own connections.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// The pause after `accept` fails, most likely because the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The task that accepts connections, which owns their tasks. Dropping it aborts them all.
pub(super) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    accepting: AbortOnDropHandle<(GracefulShutdown, JoinSet<()>)>,
}

impl Server {
    /// Listens, and serves connections on a background task.
    pub(super) async fn start(config: &EmbeddedConfig, s3: S3Service, post_object: PostObject) -> Result<Self, Error> {
        let address = config.address;
        let listen_error = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::AddressInUse { address },
            _ => Error::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let request_filter = Arc::new(request_filter(config, s3, post_object));
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, request_filter, config.limits.clone(), stop.clone()));
        Ok(Self { address, stop, accepting: AbortOnDropHandle::new(accepting) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the connections: idle ones immediately, busy ones after their request, all of them after `grace`.
    pub(super) async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        let (graceful, mut connections) = match self.accepting.await {
            Ok(parts) => parts,
            Err(error) => {
                tracing::error!("the embedded S3 server stopped unexpectedly: {error}");
                return;
            }
        };
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(connections = connections.len(), "aborting open requests to the embedded S3 server");
        }
        connections.shutdown().await;
    }
}

/// Returns the S3 service, which verifies signatures.
pub(super) fn s3_service(config: &EmbeddedConfig, storage: Arc<Storage>, credentials: &Credentials) -> S3Service {
    let api = Api { storage, bucket: config.bucket.clone(), object_bytes_max: config.limits.object_bytes };
    let mut settings = S3Config::default();
    settings.xml_max_body_size = XML_BYTES_MAX;
    let mut builder = S3ServiceBuilder::new(api);
    builder.set_auth(credentials.clone());
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(settings))));
    builder.build()
}

/// Returns the handler of form uploads, which `s3s` does not get.
pub(super) fn post_object(config: &EmbeddedConfig, storage: Arc<Storage>, credentials: &Credentials) -> PostObject {
    PostObject {
        storage,
        bucket: config.bucket.clone(),
        credentials: credentials.clone(),
        object_bytes_max: config.limits.object_bytes,
        // Until the file begins, the fields of a form are like the headers of other requests.
        fields_timeout: config.limits.header_timeout,
    }
}

fn request_filter(config: &EmbeddedConfig, s3: S3Service, post_object: PostObject) -> RequestFilter {
    // Chunk headers and their signatures add about 1% to a body; this allows 6%.
    let object_bytes = config.limits.object_bytes;
    let body_bytes_max = object_bytes + object_bytes / 16 + XML_BYTES_MAX as u64;
    RequestFilter {
        s3,
        post_object,
        cors: config.cors,
        body_bytes_max,
        idle_timeout: config.limits.idle_timeout,
        body_timeout: config.limits.body_timeout,
    }
}

async fn accept(
    listener: TcpListener,
    request_filter: Arc<RequestFilter>,
    limits: Limits,
    stop: CancellationToken,
) -> (GracefulShutdown, JoinSet<()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        // Wait for a slot before accepting, so that excess connections wait in the kernel's queue.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>((slot, stream))
        };
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                Ok((slot, stream)) => {
                    let connection = serve(stream, &request_filter, &limits, &graceful);
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection to the embedded S3 server: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Remove finished tasks: otherwise the set would grow without limit.
            Some(_) = connections.join_next() => {}
        }
    }
    (graceful, connections)
}

fn serve(
    stream: TcpStream,
    request_filter: &Arc<RequestFilter>,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Send small responses without delay. If this fails, the connection is broken and the next operation reports it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // Limit the kernel's memory for clients that read slowly: its default grows to 4 MiB and more.
    if let Err(error) = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
        tracing::debug!(%error, "cannot set SO_SNDBUF");
    }
    let request_filter = Arc::clone(request_filter);
    let service = service_fn(move |request| {
        let request_filter = Arc::clone(&request_filter);
        async move { request_filter.handle(request).await }
    });
    // hyper limits the time for a request's head but not for a response: a client that stops reading would occupy its
    // connection and an open file indefinitely.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.idle_timeout));
    let stream = MinRateStream::new(Box::pin(stream), limits.min_bytes_per_second);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection);
    async move {
        // Disconnects and malformed requests are the client's fault, so they are logged at debug level only.
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection to the embedded S3 server failed");
        }
    }
}
