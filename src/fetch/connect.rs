//! A connection to a target: its host resolved once, to an address that was checked.

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

use super::error::Error;
use super::guard;
use super::network::Network;
use super::target::Target;

/// For one address; a host may have another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Bytes, or up to twice as many when they come at once, and lines of an answer's head.
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

    /// Connects to the target's host.
    pub(super) async fn connect(&self, target: &Target) -> Result<(Sender, AbortOnDropHandle<()>), Error> {
        let addresses = self.addresses(target).await?;
        let stream = self.connect_to_one(&addresses, target.port()).await?;
        if target.is_secure() { speak_http(self.secure(stream, target).await?).await } else { speak_http(stream).await }
    }

    /// The addresses of the target's host that may be connected to; not none.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        let literal = target.address();
        let addresses = match literal {
            Some(address) => Ok(vec![address]),
            None => self.network.resolve(target.host()).await,
        };
        let refused = |source| Error::NoPublicAddress { literal: literal.is_some(), source };
        let mut addresses: Vec<IpAddr> = addresses.map_err(|error| refused(Some(error)))?;
        addresses.retain(|address| guard::may_connect(*address, self.allow_private));
        if addresses.is_empty() { Err(refused(None)) } else { Ok(of_both_families(&addresses)) }
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
        Err(Error::NotConnected(failure))
    }

    async fn secure(&self, stream: TcpStream, target: &Target) -> Result<TlsStream<TcpStream>, Error> {
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
        let roots = self.network.roots().await.map_err(Error::NoTrust)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// The first few, in turns of IPv4 and IPv6: where one of the two leads nowhere, the other must be tried as well.
fn of_both_families(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let family = |v4| addresses.iter().filter(move |address| address.is_ipv4() == v4);
    let mut turns: Vec<(usize, bool, IpAddr)> = Vec::new();
    for v4 in [first_is_v4, !first_is_v4] {
        turns.extend(family(v4).enumerate().map(|(turn, address)| (turn, v4 != first_is_v4, *address)));
    }
    turns.sort_unstable_by_key(|(turn, is_other, _)| (*turn, *is_other));
    turns.into_iter().map(|(_, _, address)| address).take(MAX_ADDRESSES).collect()
}

/// The connection works for as long as its handle is held.
async fn speak_http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> Result<(Sender, AbortOnDropHandle<()>), Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_header_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Error::of_http)?;
    // How it ends is told to whoever reads the answer.
    let driving = tokio::spawn(async { connection.await.unwrap_or_default() });
    Ok((sender, AbortOnDropHandle::new(driving)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_beginning_with_the_resolvers_first() {
        let of = |texts: &[&str]| {
            let addresses: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            of_both_families(&addresses).iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&["2a00::1", "2a00::2", "2a00::3", "2a00::4", "2a00::5", "1.1.1.1"]),
            ["2a00::1", "1.1.1.1", "2a00::2", "2a00::3"]
        );
        assert_eq!(of(&["1.1.1.1", "1.1.1.2", "2a00::1"]), ["1.1.1.1", "2a00::1", "1.1.1.2"]);
        assert_eq!(of(&["1.1.1.1"]), ["1.1.1.1"]);
    }
}
