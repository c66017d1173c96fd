//! Connections to targets: resolves the host once and connects only to an address that the filter allows.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use tokio_util::task::AbortOnDropHandle;

use super::address_filter;
use super::error::Error;
use super::network::Network;
use super::target::Target;

/// The time limit for one address; a host may have others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of a host's addresses to try.
const MAX_ADDRESSES: usize = 4;

/// The size limit of a response's head. hyper may accept up to twice as much if it arrives in one read.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

#[derive(Debug)]
pub(super) struct Connector {
    network: Arc<dyn Network>,
    allow_private: bool,
    tls: OnceCell<Arc<ClientConfig>>,
}

type Sender = SendRequest<Empty<Bytes>>;

impl Connector {
    pub(super) fn new(network: Arc<dyn Network>, allow_private: bool) -> Self {
        Self { network, allow_private, tls: OnceCell::new() }
    }

    /// Connects to the target's host, with TLS for https.
    pub(super) async fn connect(&self, target: &Target) -> Result<(Sender, AbortOnDropHandle<()>), Error> {
        let addresses = self.addresses(target).await?;
        let stream = self.connect_to_one(&addresses, target.port()).await?;
        if target.is_secure() {
            http_handshake(self.tls_handshake(stream, target).await?).await
        } else {
            http_handshake(stream).await
        }
    }

    /// Returns the allowed addresses of the target's host, at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        let literal = target.address();
        let addresses = match literal {
            Some(address) => Ok(vec![address]),
            None => self.network.resolve(target.host()).await,
        };
        let refused = |source| Error::NoPublicAddress { literal: literal.is_some(), source };
        let mut addresses: Vec<IpAddr> = addresses.map_err(|error| refused(Some(error)))?;
        addresses.retain(|address| address_filter::is_allowed(*address, self.allow_private));
        if addresses.is_empty() { Err(refused(None)) } else { Ok(interleave_families(&addresses)) }
    }

    async fn connect_to_one(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, Error> {
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let connecting = self.network.connect(SocketAddr::new(*address, port));
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Error::Connect(failure))
    }

    async fn tls_handshake(&self, stream: TcpStream, target: &Target) -> Result<TlsStream<TcpStream>, Error> {
        let tls = TlsConnector::from(Arc::clone(self.tls.get_or_try_init(|| self.prepare_tls()).await?));
        let host = target.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| Error::Certificate(io::Error::other(error)))?;
        tls.connect(name, stream).await.map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            if matches!(cause, Some(rustls::Error::InvalidCertificate(_))) {
                Error::Certificate(error)
            } else {
                Error::Tls(error)
            }
        })
    }

    async fn prepare_tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let roots = self.network.roots().await.map_err(Error::NoRootCertificates)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Returns the first few addresses, alternating between IPv4 and IPv6: if one family has no route, the other must be tried too.
fn interleave_families(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let family = |v4| addresses.iter().filter(move |address| address.is_ipv4() == v4);
    let mut ranked: Vec<(usize, bool, IpAddr)> = Vec::new();
    for v4 in [first_is_v4, !first_is_v4] {
        ranked.extend(family(v4).enumerate().map(|(rank, address)| (rank, v4 != first_is_v4, *address)));
    }
    ranked.sort_unstable_by_key(|(rank, is_other, _)| (*rank, *is_other));
    ranked.into_iter().map(|(_, _, address)| address).take(MAX_ADDRESSES).collect()
}

/// Starts HTTP/1.1 on a stream. The connection stays open until its handle is dropped.
async fn http_handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> Result<(Sender, AbortOnDropHandle<()>), Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_header_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Error::from_hyper)?;
    // A connection error is reported to the reader of the response.
    let driving = tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok((sender, AbortOnDropHandle::new(driving)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_starting_with_the_resolvers_first_address() {
        let of = |texts: &[&str]| {
            let addresses: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            interleave_families(&addresses).iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&["2a00::1", "2a00::2", "2a00::3", "2a00::4", "2a00::5", "1.1.1.1"]),
            ["2a00::1", "1.1.1.1", "2a00::2", "2a00::3"]
        );
        assert_eq!(of(&["1.1.1.1", "1.1.1.2", "2a00::1"]), ["1.1.1.1", "2a00::1", "1.1.1.2"]);
        assert_eq!(of(&["1.1.1.1"]), ["1.1.1.1"]);
    }
}
