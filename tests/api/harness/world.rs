//! A simulated internet for imports: names that resolve as the test says, and servers at made-up public addresses that
//! speak correct or broken HTTP. Look-ups, connections and requests are recorded.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use image_service::fetch::Network;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// The simulated network. Unknown names do not resolve, and unknown addresses refuse connections.
#[derive(Default)]
pub struct World(Mutex<State>);

#[derive(Default)]
struct State {
    /// The result of each look-up of a name. The last one is repeated.
    names: HashMap<String, Vec<Vec<IpAddr>>>,
    lookups: HashMap<String, usize>,
    /// The local addresses of the servers behind the made-up addresses.
    servers: HashMap<SocketAddr, SocketAddr>,
    connected: Vec<SocketAddr>,
    requests: Vec<String>,
    /// Requests in progress per site, and their peak.
    busy: HashMap<String, (usize, usize)>,
    /// Bytes that the servers have sent.
    sent: usize,
    roots: Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>,
}

/// The bytes that a server sends.
#[derive(Clone)]
pub enum Reply {
    Whole(Vec<u8>),
    /// Sends these bytes, then keeps the connection open without sending more.
    ThenSilence(Vec<u8>),
    /// Sends one byte at a time, with this pause between them.
    Drip(Vec<u8>, Duration),
    /// Sends the first part, then repeats the second without end.
    Endless(Vec<u8>, Vec<u8>),
    /// Sent once the semaphore has a permit, which it consumes.
    Gated(Arc<Semaphore>, Vec<u8>),
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn with_state<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.0.lock().unwrap())
    }

    /// Defines a name and the result of each look-up.
    pub fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
        self.with_state(|state| state.names.insert(name.to_owned(), answers));
    }

    /// Starts a server on port 80 of its own public address, to which `name` resolves. `reply` gets the path and the
    /// request head.
    pub async fn site(self: &Arc<Self>, name: &str, reply: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> IpAddr {
        let address = self.new_site_address(name);
        let listener = self.listen(SocketAddr::new(address, 80)).await;
        let (world, name, reply) = (Arc::clone(self), name.to_owned(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (world, name, reply) = (Arc::clone(&world), name.clone(), Arc::clone(&reply));
                // Connection errors are the client's concern.
                tokio::spawn(async move { world.answer(stream, &name, &*reply).await.ok() });
            }
        });
        address
    }

    /// Starts a server on port 443 with a certificate for `certified`. `trusted` says whether clients trust it.
    pub async fn secure_site(self: &Arc<Self>, name: &str, certified: &str, trusted: bool, reply: Reply) {
        let (certificate, acceptor) = certified_for(certified);
        if trusted {
            self.with_state(|state| state.roots.push(certificate.der().clone()));
        }
        let listener = self.listen(SocketAddr::new(self.new_site_address(name), 443)).await;
        let (world, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (world, name, reply, acceptor) = (Arc::clone(&world), name.clone(), reply.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    world.answer(stream, &name, &|_, _| reply.clone()).await
                });
            }
        });
    }

    fn new_site_address(&self, name: &str) -> IpAddr {
        self.with_state(|state| {
            let number = u8::try_from(state.servers.len() + 1).unwrap();
            let address = IpAddr::V4(Ipv4Addr::new(93, 184, 216, number));
            state.names.entry(name.to_owned()).or_insert_with(|| vec![vec![address]]);
            address
        })
    }

    async fn listen(&self, at: SocketAddr) -> TcpListener {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.with_state(|state| state.servers.insert(at, address));
        listener
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        name: &str,
        reply: &(dyn Fn(&str, &str) -> Reply + Send + Sync),
    ) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.with_state(|state| {
            state.requests.push(format!("{name}{path}"));
            let (now, most) = state.busy.entry(name.to_owned()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        });
        let sent = self.send(&mut stream, reply(&path, &head)).await;
        self.with_state(|state| state.busy.entry(name.to_owned()).or_default().0 -= 1);
        sent
    }

    async fn send<S: AsyncWrite + AsyncRead + Unpin>(&self, stream: &mut S, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Whole(bytes) => self.write(stream, &bytes).await?,
            Reply::ThenSilence(bytes) => {
                self.write(stream, &bytes).await?;
                // Until the client disconnects.
                stream.read_to_end(&mut Vec::new()).await?;
            }
            Reply::Drip(bytes, pause) => {
                for byte in bytes {
                    self.write(stream, &[byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Reply::Endless(start, rest) => {
                self.write(stream, &start).await?;
                loop {
                    self.write(stream, &rest).await?;
                }
            }
            Reply::Gated(gate, bytes) => {
                gate.acquire().await.unwrap().forget();
                self.write(stream, &bytes).await?;
            }
        }
        stream.shutdown().await
    }

    async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        self.with_state(|state| state.sent += bytes.len());
        Ok(())
    }

    /// The local address of a server at a made-up address.
    pub fn local_address(&self, address: SocketAddr) -> SocketAddr {
        self.with_state(|state| state.servers[&address])
    }

    // Recorded events.

    pub fn lookups(&self, name: &str) -> usize {
        self.with_state(|state| state.lookups.get(name).copied().unwrap_or_default())
    }

    /// Addresses of attempted connections, in order.
    pub fn connected(&self) -> Vec<SocketAddr> {
        self.with_state(|state| state.connected.clone())
    }

    /// Requests in order of arrival: `name/path`.
    pub fn requests(&self) -> Vec<String> {
        self.with_state(|state| state.requests.clone())
    }

    /// The peak number of concurrent requests to a site.
    pub fn peak_requests(&self, name: &str) -> usize {
        self.with_state(|state| state.busy.get(name).map_or(0, |(_, most)| *most))
    }

    /// The number of requests in progress at a site.
    pub fn busy(&self, name: &str) -> usize {
        self.with_state(|state| state.busy.get(name).map_or(0, |(now, _)| *now))
    }

    pub fn sent(&self) -> usize {
        self.with_state(|state| state.sent)
    }
}

impl Network for World {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = self.with_state(|state| {
            let lookup = state.lookups.entry(host.to_owned()).or_default();
            *lookup += 1;
            let answers = state.names.get(host)?;
            answers.get(*lookup - 1).or(answers.last()).cloned()
        });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        let server = self.with_state(|state| {
            state.connected.push(address);
            state.servers.get(&address).copied()
        });
        Box::pin(async move { TcpStream::connect(server.ok_or(io::ErrorKind::ConnectionRefused)?).await })
    }

    fn roots(&self) -> BoxFuture<'_, io::Result<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        self.with_state(|state| roots.add_parsable_certificates(state.roots.iter().cloned()));
        Box::pin(async move { Ok(roots) })
    }
}

/// A complete response with `Content-Length`.
pub fn reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    Reply::Whole(answer(status, headers, body))
}

pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut headers = headers.to_vec();
    let length = body.len().to_string();
    headers.push(("Content-Length", &length));
    let mut bytes = head(status, &headers);
    bytes.extend_from_slice(body);
    bytes
}

/// The head of a response.
pub fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes()
}

/// A JPEG response, as servers send it.
pub fn picture(file: &[u8]) -> Reply {
    reply("200 OK", &[("Content-Type", "image/jpeg")], file)
}

/// A self-signed certificate for a name, and a TLS acceptor that uses it.
pub fn certified_for(name: &str) -> (rcgen::Certificate, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert, TlsAcceptor::from(Arc::new(config)))
}
