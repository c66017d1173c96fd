//! The listener: HTTP/1.1 under bounds, and an orderly end.
//!
//! `axum::serve` has no time limit for a request's head; a client that sends a byte a minute would hold its connection
//! for ever.

pub mod client_address;
pub mod connections;
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
use crate::service::maintenance::repeated_failures::Repeated;

/// Bounds of the listener.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections held at once; of further ones, one waits for slots and the others in the kernel's queue.
    pub max_connections: usize,
    /// Of one address that is not a trusted proxy's; 0 is no limit.
    pub max_per_address: usize,
    pub proxies: TrustedProxies,
    /// Time for a request's head, from its first byte on, or from the opening of the connection.
    pub head_timeout: Duration,
    /// Time until the next request on a connection that is kept open.
    pub keep_alive_timeout: Duration,
    /// The longest pause of a client that takes its answer: hyper has no bound for one that does not read.
    pub write_timeout: Duration,
    /// Time for the requests in flight once the end has been asked for.
    pub shutdown_timeout: Duration,
}

/// Bytes of a request's head, which hyper answers with 431 beyond.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Serves until `stop`, then lets the requests in flight finish. Returns whether all of them did.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, stop: CancellationToken) -> bool {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let connections = Arc::new(Connections::new(limits.max_per_address, limits.proxies.clone()));
    let repeated = Repeated::default();
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
        // hyper's timer is for what the stream does not see: a head that begins before the answer before it has ended.
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
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks is its client's affair; what it asked for has its own line in the log.
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
                },
                () = slot.evicted.cancelled() => tracing::debug!(%peer, "a connection made slots for another"),
            }
            drop((slot, permit));
        });
    }
    drop(listener);
    tokio::time::timeout(limits.shutdown_timeout, graceful.shutdown()).await.is_ok()
}

/// What a client gets whose address has all its connections in use: that much fits into any socket's buffer.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 117\r\n\
Retry-After: 1\r\nConnection: close\r\n\r\n\
{\"error\":\"ServiceUnavailable\",\"message\":\"Too many connections from this address are in use. Try again.\",\"details\":{}}";

fn refuse(stream: &TcpStream) {
    // Whoever does not get it finds the connection closed.
    if let Err(error) = stream.try_write(REFUSAL) {
        tracing::debug!(%error, "a refusal was not written");
    }
}

/// What the kernel keeps for a client that reads slowly; by itself it lets a fast one have 4 MiB and more. It holds twice this, which
/// is 80 Mbit/s at a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// How often it is looked for slots while a client waits and there is none.
const EVICTION_INTERVAL: Duration = Duration::from_millis(250);

/// The next connection, and slots for it: one client at a time is waited for with its connection accepted.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    connections: &Connections,
    repeated: &Repeated,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "nodelay could not be set");
            }
            if let Err(error) = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
                tracing::debug!(%error, "the send buffer could not be set");
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
            // Most often the process is out of file descriptors: wait for some to come back.
            repeated.warn(format!("a connection could not be accepted: {error}"));
            repeated.tell();
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
