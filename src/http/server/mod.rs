//! The listener: HTTP/1.1 with limits and graceful shutdown.
//!
//! `axum::serve` has no timeout for request heads: a client that sends one byte a minute could keep its connection indefinitely.

pub mod client_address;
pub mod connections;
pub mod interim;
pub mod middleware;
pub mod timeouts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::client_address::{Peer, TrustedProxies};
use self::connections::Connections;
use self::timeouts::{ConnectionState, RequestTimeoutStream};
use crate::service::maintenance::repeated_failures::RepeatedFailures;

/// The limits of the listener.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Maximum number of open connections. One more connection waits for a slot, further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Maximum number of connections per client address; trusted proxies are exempt. 0 means no limit.
    pub max_per_address: usize,
    pub proxies: TrustedProxies,
    /// Timeout for a request's head, from its first byte, or from the start of the connection.
    pub head_timeout: Duration,
    /// Timeout for the next request on a kept-alive connection.
    pub keep_alive_timeout: Duration,
    /// Maximum time for which a client reads nothing of its response. hyper has no such timeout.
    pub write_timeout: Duration,
    /// Time that requests in flight have to finish after a shutdown was requested.
    pub shutdown_timeout: Duration,
}

/// Maximum size of a request's head. hyper answers larger ones with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Serves until `stop`, then lets the requests in flight finish. Returns whether all of them finished in time.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, stop: CancellationToken) -> bool {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let connections = Arc::new(Connections::new(limits.max_per_address, limits.proxies.clone()));
    let repeated = RepeatedFailures::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots, &connections, &repeated) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let state = ConnectionState::default();
        let Some(slot) = connections.register(peer, &state) else {
            refuse(&stream);
            continue;
        };
        let mut builder = http1::Builder::new();
        // hyper's timer covers what the stream cannot see: a head that begins before the previous response has ended.
        let head_timeout = limits.head_timeout + limits.keep_alive_timeout;
        builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD_BYTES);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_timeout));
        let stream = RequestTimeoutStream::new(Box::pin(stream), state.clone(), limits.head_timeout, limits.keep_alive_timeout);
        let response_state = state.clone();
        let service = ServiceExt::<Request<Incoming>>::map_response(router.clone(), move |response: Response| {
            response_state.track_response(response)
        });
        let service = service.map_request(move |mut request: Request<Incoming>| {
            state.begin_request();
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(state.interim_responses());
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A broken connection is the client's concern. The request has its own line in the log.
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "connection closed early");
                },
                () = slot.evicted.cancelled() => tracing::debug!(%peer, "connection evicted"),
            }
            drop((slot, permit));
        });
    }
    drop(listener);
    tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_ok()
}

/// The response to a client whose address uses all its connections. It fits into the send buffer of any socket.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 117\r\n\
Retry-After: 1\r\nConnection: close\r\n\r\n\
{\"error\":\"ServiceUnavailable\",\"message\":\"Too many connections from this address are in use. Try again.\",\"details\":{}}";

fn refuse(stream: &TcpStream) {
    // If the response does not arrive, the client still sees that the connection is closed.
    if let Err(error) = stream.try_write(REFUSAL) {
        tracing::debug!(%error, "could not write the 503 response");
    }
}

/// The socket's send buffer: data for a client that reads slowly. By default, Linux grows it to 4 MiB and more. The kernel
/// doubles this value, which allows 80 Mbit/s at a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// How often the listener tries to evict a connection while a client waits for a slot.
const EVICTION_INTERVAL: Duration = Duration::from_millis(250);

/// Accepts the next connection and acquires a slot for it. At most one accepted connection waits for a slot.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    connections: &Connections,
    repeated: &RepeatedFailures,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "could not set TCP_NODELAY");
            }
            if let Err(error) = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
                tracing::debug!(%error, "could not set the send buffer size");
            }
            if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
                return Some((stream, peer.ip(), permit));
            }
            loop {
                connections.evict_one();
                let permit = tokio::time::timeout(EVICTION_INTERVAL, Arc::clone(slots).acquire_owned()).await;
                if let Ok(permit) = permit {
                    return Some((stream, peer.ip(), permit.ok()?));
                }
            }
        }
        Err(error) => {
            // Usually, the process is out of file descriptors: wait until some are closed.
            repeated.warn(format!("could not accept a connection: {error}"));
            repeated.log_repeats();
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
