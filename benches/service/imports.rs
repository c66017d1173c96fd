//! Imports: a thousand URLs of hosts that take 50 ms to respond, compared with a client that fetches and uploads the files
//! one by one. Also the latency of creating an import job of a hundred URLs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, get, post_image, post_json};
use crate::images;
use crate::measure::{median, number};
use crate::server::Server;

/// URLs per job.
const URLS: usize = 100;
/// Several hosts, so that the limit per host does not bound the throughput.
const HOSTS: u8 = 4;
const LATENCY: Duration = Duration::from_millis(50);

pub async fn run() -> Result<()> {
    let (rounds, jobs) = (number("BENCH_ROUNDS", 3)?, number("BENCH_JOBS", 10)?);
    let image = images::all()?.into_iter().min_by_key(|image| image.bytes.len()).ok_or("there are no images")?;
    let (megapixels, bytes) = (image.megapixels, image.bytes.len());
    let hosts = Hosts::start(&image.bytes)?;
    for backend in Backend::all().await? {
        let (_folder, mut settings) = backend.settings("bench_imports").await?;
        settings.extend([("ALLOW_PRIVATE_IMPORTS", "true".to_owned()), ("IMPORT_PORTS", hosts.port.to_string())]);
        let server = Server::image_service(&settings)?;
        let (mut import_rates, mut loop_rates, mut busy, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut import_cpu, mut loop_cpu) = (Duration::ZERO, Duration::ZERO);
        for round in 0..rounds {
            let (before, started) = (server.cpu()?, Instant::now());
            // When the first job is created, the service is idle; for the others, it is importing.
            let mut ids = Vec::new();
            for job in 0..jobs {
                let (id, latency_ms) = create_job(&server, &hosts.urls(round * jobs + job), job)?;
                if job == 0 {
                    idle.push(latency_ms)
                } else {
                    busy.push(latency_ms)
                }
                ids.push(id);
            }
            for id in &ids {
                wait_until_complete(&server, id)?;
            }
            import_rates.push((jobs * URLS) as f64 / started.elapsed().as_secs_f64());
            import_cpu += server.cpu()? - before;
            let (before, started) = (server.cpu()?, Instant::now());
            // A fifth of the URLs is enough: they are processed one by one, so the rate does not depend on their number.
            let urls = hosts.urls(1_000_000 + round);
            let uploads = jobs * URLS / 5;
            for number in 0..uploads {
                fetch_and_upload(&server, &hosts, &urls[number % URLS])?;
            }
            loop_rates.push(uploads as f64 / started.elapsed().as_secs_f64());
            loop_cpu += server.cpu()? - before;
        }
        let (import_rate, loop_rate) = (median(&import_rates), median(&loop_rates));
        println!(
            "\n{}, {} URLs of {HOSTS} hosts, {} ms each, {bytes} bytes and {megapixels:.1} MP, {rounds} rounds",
            backend.name(),
            jobs * URLS,
            LATENCY.as_millis()
        );
        println!("imports      {import_rate:>7.1} per second");
        println!("one by one   {loop_rate:>7.1} per second; imports are {:.1} times as fast", import_rate / loop_rate);
        let cpu = |total: Duration, per_round: usize| total.as_secs_f64() * 1e3 / (rounds * per_round) as f64;
        println!(
            "service CPU: {:.1} ms per import, {:.1} ms per upload",
            cpu(import_cpu, jobs * URLS),
            cpu(loop_cpu, jobs * URLS / 5)
        );
        for (when, times) in [("idle", &idle), ("importing", &busy)] {
            let maximum = times.iter().copied().fold(0.0, f64::max);
            println!("creating a job of {URLS} URLs, {when}: median {:.1} ms, maximum {maximum:.1} ms", median(times));
        }
    }
    Ok(())
}

/// Creates an import job. Returns its ID and the latency in milliseconds.
fn create_job(server: &Server, urls: &[String], user: usize) -> Result<(String, f64)> {
    let body = json!({"urls": urls, "user_id": format!("bench{}", user % 2)});
    let mut connection = Connection::open(server.address)?;
    let started = Instant::now();
    let response = connection.send(&post_json("/imports", &body.to_string()))?;
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    let job: Value = serde_json::from_slice(&response.body)?;
    let id = job["jobId"].as_str().ok_or_else(|| format!("the import was rejected: {job}"))?;
    Ok((id.to_owned(), latency_ms))
}

fn wait_until_complete(server: &Server, id: &str) -> Result<()> {
    loop {
        let job: Value = serde_json::from_slice(&Connection::open(server.address)?.send(&get(&format!("/imports/{id}")))?.body)?;
        if job["status"] == "complete" {
            return if job["errors"] == json!({}) { Ok(()) } else { Err(format!("some imports failed: {job}").into()) };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fetch_and_upload(server: &Server, hosts: &Hosts, url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').ok_or("a URL without a path")?;
    let file = Connection::open(host.parse()?)?.send(&get(&format!("/{path}")))?.body;
    assert_eq!(file.len(), hosts.file.len());
    let response = Connection::open(server.address)?.send(&post_image("fetched.jpg", &file))?;
    if response.status == 200 { Ok(()) } else { Err(format!("the upload failed with status {}", response.status).into()) }
}

/// HTTP servers on loopback addresses. They respond to every request with the same image, after `LATENCY`.
struct Hosts {
    port: u16,
    file: Arc<Vec<u8>>,
}

impl Hosts {
    fn start(file: &[u8]) -> Result<Self> {
        let file = Arc::new(file.to_vec());
        let first = TcpListener::bind("127.0.0.1:0")?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for host in 2..=HOSTS {
            listeners.push(TcpListener::bind(SocketAddr::from(([127, 0, 0, host], port)))?);
        }
        for listener in listeners {
            let file = Arc::clone(&file);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let file = Arc::clone(&file);
                    // A client may close the connection at any time.
                    std::thread::spawn(move || respond(stream, &file).ok());
                }
            });
        }
        Ok(Self { port, file })
    }

    /// The URLs of a job. They all differ, because a job imports duplicates only once.
    fn urls(&self, job: usize) -> Vec<String> {
        let url = |number| format!("http://127.0.0.{}:{}/{job}/{number}.jpg", 1 + number % usize::from(HOSTS), self.port);
        (0..URLS).map(url).collect()
    }
}

fn respond(mut stream: TcpStream, file: &[u8]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    std::thread::sleep(LATENCY);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", file.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(file)
}
