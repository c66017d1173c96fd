//! Imports: a thousand URLs of servers that take 50 ms to answer, beside a client that fetches and uploads one at a time;
//! and how long an order of a hundred URLs takes to be answered.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, get, post_image, post_json};
use crate::measure::{median, number};
use crate::pictures;
use crate::server::Server;

/// URLs of a job.
const URLS: usize = 100;
/// Hosts, so that not one of them bounds the whole.
const HOSTS: u8 = 4;
const LATENCY: Duration = Duration::from_millis(50);

pub async fn run() -> Result<()> {
    let (rounds, jobs) = (number("BENCH_ROUNDS", 3)?, number("BENCH_JOBS", 10)?);
    let picture = pictures::all()?.into_iter().min_by_key(|picture| picture.bytes.len()).ok_or("there are no pictures")?;
    let (megapixels, bytes) = (picture.megapixels, picture.bytes.len());
    let hosts = Hosts::start(&picture.bytes)?;
    for backend in Backend::all().await? {
        let (_folder, mut settings) = backend.settings("bench_imports").await?;
        settings.extend([("ALLOW_PRIVATE_IMPORTS", "true".to_owned()), ("IMPORT_PORTS", hosts.port.to_string())]);
        let server = Server::image_service(&settings)?;
        let (mut imported, mut looped, mut busy, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut import_cpu, mut loop_cpu) = (Duration::ZERO, Duration::ZERO);
        for round in 0..rounds {
            let (before, started) = (server.cpu()?, Instant::now());
            // The first finds the service idle, the others importing.
            let mut ids = Vec::new();
            for job in 0..jobs {
                let (id, took) = order(&server, &hosts.urls(round * jobs + job), job)?;
                if job == 0 {
                    idle.push(took)
                } else {
                    busy.push(took)
                }
                ids.push(id);
            }
            for id in &ids {
                wait_for(&server, id)?;
            }
            imported.push((jobs * URLS) as f64 / started.elapsed().as_secs_f64());
            import_cpu += server.cpu()? - before;
            let (before, started) = (server.cpu()?, Instant::now());
            // A fifth of them tells as much: none waits for another.
            let urls = hosts.urls(1_000_000 + round);
            let alone = jobs * URLS / 5;
            for number in 0..alone {
                fetch_and_upload(&server, &hosts, &urls[number % URLS])?;
            }
            looped.push(alone as f64 / started.elapsed().as_secs_f64());
            loop_cpu += server.cpu()? - before;
        }
        let (imported, looped) = (median(&imported), median(&looped));
        println!(
            "\n{}, {} URLs of {HOSTS} hosts, {} ms each, {bytes} bytes and {megapixels:.1} MP, {rounds} rounds",
            backend.name(),
            jobs * URLS,
            LATENCY.as_millis()
        );
        println!("imports      {imported:>7.1} a second");
        println!("one by one   {looped:>7.1} a second; imports are {:.1} times as fast", imported / looped);
        let cpu = |sum: Duration, each: usize| sum.as_secs_f64() * 1e3 / (rounds * each) as f64;
        println!(
            "the service's CPU: {:.1} ms an import, {:.1} ms an upload",
            cpu(import_cpu, jobs * URLS),
            cpu(loop_cpu, jobs * URLS / 5)
        );
        for (when, times) in [("idle", &idle), ("importing", &busy)] {
            let most = times.iter().copied().fold(0.0, f64::max);
            println!("an order of {URLS} URLs, {when}: answered after {:.1} ms, at most {most:.1} ms", median(times));
        }
    }
    Ok(())
}

/// Orders an import; its id, and the milliseconds until the answer.
fn order(server: &Server, urls: &[String], user: usize) -> Result<(String, f64)> {
    let order = json!({"urls": urls, "user_id": format!("bench{}", user % 2)});
    let mut connection = Connection::open(server.address)?;
    let started = Instant::now();
    let answer = connection.send(&post_json("/imports", &order.to_string()))?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let id = answer["jobId"].as_str().ok_or_else(|| format!("not taken on: {answer}"))?;
    Ok((id.to_owned(), took))
}

fn wait_for(server: &Server, id: &str) -> Result<()> {
    loop {
        let job: Value = serde_json::from_slice(&Connection::open(server.address)?.send(&get(&format!("/imports/{id}")))?.body)?;
        if job["status"] == "complete" {
            return if job["errors"] == json!({}) { Ok(()) } else { Err(format!("not all were imported: {job}").into()) };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fetch_and_upload(server: &Server, hosts: &Hosts, url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').ok_or("a URL without a path")?;
    let file = Connection::open(host.parse()?)?.send(&get(&format!("/{path}")))?.body;
    assert_eq!(file.len(), hosts.file.len());
    let answer = Connection::open(server.address)?.send(&post_image("picture.jpg", &file))?;
    if answer.status == 200 { Ok(()) } else { Err(format!("not stored: {}", answer.status).into()) }
}

/// Servers on this machine's loopback addresses, which answer late and always with the same picture.
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
                    // A client that goes away is no fault of this one.
                    std::thread::spawn(move || answer(stream, &file).ok());
                }
            });
        }
        Ok(Self { port, file })
    }

    /// Each a URL of its own.
    fn urls(&self, job: usize) -> Vec<String> {
        let url = |number| format!("http://127.0.0.{}:{}/{job}/{number}.jpg", 1 + number % usize::from(HOSTS), self.port);
        (0..URLS).map(url).collect()
    }
}

fn answer(mut stream: TcpStream, file: &[u8]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    std::thread::sleep(LATENCY);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", file.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(file)
}
