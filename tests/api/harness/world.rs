//! An outside world for imports: names that resolve to whatever the test says, and servers at made-up public addresses,
//! which answer as HTTP should, or as it should not. What is looked up and connected to is kept.

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

/// The world. Names and addresses that it does not know are not there.
#[derive(Default)]
pub struct World(Mutex<Places>);

#[derive(Default)]
struct Places {
    /// What each look-up of a name gives; the last answer is given again.
    names: HashMap<String, Vec<Vec<IpAddr>>>,
    lookups: HashMap<String, usize>,
    /// Where the servers of made-up addresses really are.
    servers: HashMap<SocketAddr, SocketAddr>,
    connected: Vec<SocketAddr>,
    requests: Vec<String>,
    /// Requests that are being answered, by site, and the most that ever were.
    busy: HashMap<String, (usize, usize)>,
    /// Bytes that servers could send.
    sent: usize,
    roots: Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>,
}

/// What a server sends.
#[derive(Clone)]
pub enum Reply {
    Whole(Vec<u8>),
    /// And then nothing, with the connection open.
    ThenSilence(Vec<u8>),
    /// A byte at a time, with this between them.
    Drip(Vec<u8>, Duration),
    /// And then the second part for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// When a permit is there, which is used up.
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

    fn places<T>(&self, look: impl FnOnce(&mut Places) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// A name and what each look-up gives.
    pub fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
        self.places(|places| places.names.insert(name.to_owned(), answers));
    }

    /// A server at port 80 of a public address of its own, which the name resolves to. `reply` is given path and head.
    pub async fn site(self: &Arc<Self>, name: &str, reply: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> IpAddr {
        let address = self.new_place(name);
        let listener = self.listen(SocketAddr::new(address, 80)).await;
        let (world, name, reply) = (Arc::clone(self), name.to_owned(), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (world, name, reply) = (Arc::clone(&world), name.clone(), Arc::clone(&reply));
                // How a connection ends is the client's affair.
                tokio::spawn(async move { world.answer(stream, &name, &*reply).await.ok() });
            }
        });
        address
    }

    /// A server at port 443 with a certificate for `certified`, which is trusted or not.
    pub async fn secure_site(self: &Arc<Self>, name: &str, certified: &str, trusted: bool, reply: Reply) {
        let (certificate, acceptor) = certified_for(certified);
        if trusted {
            self.places(|places| places.roots.push(certificate.der().clone()));
        }
        let listener = self.listen(SocketAddr::new(self.new_place(name), 443)).await;
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

    fn new_place(&self, name: &str) -> IpAddr {
        self.places(|places| {
            let number = u8::try_from(places.servers.len() + 1).unwrap();
            let address = IpAddr::V4(Ipv4Addr::new(93, 184, 216, number));
            places.names.entry(name.to_owned()).or_insert_with(|| vec![vec![address]]);
            address
        })
    }

    async fn listen(&self, at: SocketAddr) -> TcpListener {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.places(|places| places.servers.insert(at, address));
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
        self.places(|places| {
            places.requests.push(format!("{name}{path}"));
            let (now, most) = places.busy.entry(name.to_owned()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        });
        let sent = self.send(&mut stream, reply(&path, &head)).await;
        self.places(|places| places.busy.entry(name.to_owned()).or_default().0 -= 1);
        sent
    }

    async fn send<S: AsyncWrite + AsyncRead + Unpin>(&self, stream: &mut S, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Whole(bytes) => self.write(stream, &bytes).await?,
            Reply::ThenSilence(bytes) => {
                self.write(stream, &bytes).await?;
                // Until the client has had enough.
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
        self.places(|places| places.sent += bytes.len());
        Ok(())
    }

    /// Where a server of this world is on this machine.
    pub fn really(&self, address: SocketAddr) -> SocketAddr {
        self.places(|places| places.servers[&address])
    }

    // What was seen.

    pub fn lookups(&self, name: &str) -> usize {
        self.places(|places| places.lookups.get(name).copied().unwrap_or_default())
    }

    /// Addresses to which connections were tried, in order.
    pub fn connected(&self) -> Vec<SocketAddr> {
        self.places(|places| places.connected.clone())
    }

    /// Requests in the order in which they came: `name/path`.
    pub fn requests(&self) -> Vec<String> {
        self.places(|places| places.requests.clone())
    }

    /// The most requests that a site ever had at once.
    pub fn most_at_once(&self, name: &str) -> usize {
        self.places(|places| places.busy.get(name).map_or(0, |(_, most)| *most))
    }

    /// Requests that a site is answering.
    pub fn busy(&self, name: &str) -> usize {
        self.places(|places| places.busy.get(name).map_or(0, |(now, _)| *now))
    }

    pub fn sent(&self) -> usize {
        self.places(|places| places.sent)
    }
}

impl Network for World {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = self.places(|places| {
            let lookup = places.lookups.entry(host.to_owned()).or_default();
            *lookup += 1;
            let answers = places.names.get(host)?;
            answers.get(*lookup - 1).or(answers.last()).cloned()
        });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        let server = self.places(|places| {
            places.connected.push(address);
            places.servers.get(&address).copied()
        });
        Box::pin(async move { TcpStream::connect(server.ok_or(io::ErrorKind::ConnectionRefused)?).await })
    }

    fn roots(&self) -> BoxFuture<'_, io::Result<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        self.places(|places| roots.add_parsable_certificates(places.roots.iter().cloned()));
        Box::pin(async move { Ok(roots) })
    }
}

/// A whole answer.
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

/// An answer's head alone.
pub fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes()
}

/// A picture as servers give it.
pub fn picture(file: &[u8]) -> Reply {
    reply("200 OK", &[("Content-Type", "image/jpeg")], file)
}

/// A certificate for a name, signed by itself, and who speaks TLS with it.
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
