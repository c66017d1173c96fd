//! A client that uses little CPU: blocking HTTP/1.1 over keep-alive connections, with one thread per connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Result;

pub struct Connection(BufReader<TcpStream>);

pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<String>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, request: &[u8]) -> Result<Response> {
        self.0.get_mut().write_all(request)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.get(9..12).ok_or("the connection was closed")?.parse()?;
        // A 204 has no body and no length.
        let (mut length, mut location, mut is_chunked) = ((status == 204).then_some(0), None, false);
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = Some(value.trim().parse()?),
                Some((name, value)) if name.eq_ignore_ascii_case("location") => location = Some(value.trim().to_owned()),
                Some((name, _)) if name.eq_ignore_ascii_case("transfer-encoding") => is_chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let body = if is_chunked { self.read_chunks()? } else { self.read(length.ok_or("the response has no content-length")?)? };
        Ok(Response { status, body, location })
    }

    fn read(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16)?;
            body.extend(self.read(length)?);
            self.read("\r\n".len())?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Like [`get`], with another `Host`.
pub fn get_from(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// A request by `user`, as an authenticating gateway forwards it.
pub fn get_as(user: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-user-id: {user}\r\n\r\n").into_bytes()
}

pub fn post_json(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// An upload, as `curl -F` sends it.
pub fn post_image(file_name: &str, file: &[u8]) -> Vec<u8> {
    let boundary = "----------------bench-5f1d7c";
    let mut body = Vec::with_capacity(file.len() + 600);
    for (name, value) in [("user_id", "bench"), ("title", "An image for the benchmark"), ("tags", "sea,sun")] {
        let part = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    body.extend(head.as_bytes());
    body.extend(file);
    body.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
    let head = format!(
        "POST /images HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// When to stop sending requests.
#[derive(Clone, Copy)]
pub enum Until {
    Requests(usize),
    Elapsed(Duration),
}

/// The result of [`closed_loop`].
#[derive(Default)]
pub struct Load {
    /// Responses with status 200.
    pub succeeded: usize,
    pub elapsed: Duration,
    /// From the start of sending each request to the last byte of its response, whatever its status.
    pub latencies: Vec<Duration>,
    /// The number of responses with each other status.
    pub failed: BTreeMap<u16, usize>,
}

/// Cycles through the requests. Each connection sends its next request as soon as it has received a response.
pub fn closed_loop(address: SocketAddr, connections: usize, requests: &[Vec<u8>], until: Until) -> Result<Load> {
    let open = (0..connections).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let should_continue = |number: usize| match until {
        Until::Requests(count) => number < count,
        Until::Elapsed(duration) => started.elapsed() < duration,
    };
    let client = |mut connection: Connection| -> Result<(BTreeMap<u16, usize>, Vec<Duration>)> {
        let (mut statuses, mut latencies) = (BTreeMap::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if !should_continue(number) {
                return Ok((statuses, latencies));
            }
            let sent = Instant::now();
            let status = connection.send(&requests[number % requests.len()])?.status;
            latencies.push(sent.elapsed());
            *statuses.entry(status).or_default() += 1;
        }
    };
    let results = std::thread::scope(|scope| {
        let clients: Vec<_> = open.into_iter().map(|connection| scope.spawn(|| client(connection))).collect();
        clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked")?).collect::<Result<Vec<_>>>()
    })?;
    let mut load = Load { elapsed: started.elapsed(), ..Load::default() };
    for (statuses, latencies) in results {
        load.latencies.extend(latencies);
        for (status, count) in statuses {
            if status == 200 {
                load.succeeded += count;
            } else {
                *load.failed.entry(status).or_default() += count;
            }
        }
    }
    Ok(load)
}
