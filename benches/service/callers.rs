//! What knowing the caller costs: the same requests by nobody, through a gateway, by a token, by a key and by a password.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, Until, post_json};
use crate::fill::{filled, image};
use crate::measure::{Series, number};
use crate::server::{Server, service_binary};

const ROWS: u64 = 100_000;
const CONNECTIONS: usize = 8;
const EMAIL: &str = "root@example.org";
const PASSWORD: &str = "correct horse battery";

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 1000)?);
    for backend in Backend::all().await? {
        let (settings, _) = filled(&backend, ROWS).await?;
        make_administrator(&settings)?;
        let server = Server::image_service(&settings)?;
        println!("\n{}, {ROWS} images, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        let mut connection = Connection::open(server.address)?;
        let mut all = Vec::new();
        for (caller, header) in callers(&mut connection)? {
            for (what, paths) in requests()? {
                let requests: Vec<Vec<u8>> = paths.iter().map(|path| get(path, &header)).collect();
                all.push((caller, what, requests, Series::default()));
            }
        }
        for _ in 0..rounds {
            for (.., requests, series) in &mut all {
                let until = Until::Elapsed(Duration::from_millis(millis as u64));
                series.round(&server, &backend, CONNECTIONS, requests, until)?;
            }
        }
        println!(
            "{:16} {:18} {:>8} {:>8} {:>12} {:>12} {:>12}",
            "caller", "request", "/s", "refused", "service µs", "database µs", "of nobody's"
        );
        for (caller, what, _, series) in &all {
            let nobodys = all.iter().find(|(_, other, ..)| other == what).map_or(f64::NAN, |(.., series)| series.cpu_us());
            let share = series.cpu_us() / nobodys;
            let (per_second, service, database) = (series.per_second(), series.service_us(), series.database_us());
            let refused = series.refused();
            println!("{caller:16} {what:18} {per_second:>8.0} {refused:>8} {service:>12.0} {database:>12.0} {share:>12.2}");
        }
    }
    Ok(())
}

/// As an operator does it: the password is read from standard input. One is there already where the data is used again.
fn make_administrator(settings: &[(&str, String)]) -> Result<()> {
    let mut command = Command::new(service_binary());
    command.args(["create-admin", "--email", EMAIL]).env_clear().envs(settings.iter().cloned());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(PASSWORD.as_bytes())?;
    child.wait()?;
    Ok(())
}

/// Callers, and the header that shows who they are.
fn callers(connection: &mut Connection) -> Result<Vec<(&'static str, String)>> {
    let login = connection.send(&post_json("/token", &format!(r#"{{"email": "{EMAIL}", "password": "{PASSWORD}"}}"#)))?;
    let token = text(&login.body, "access")?;
    let bearer = format!("authorization: Bearer {token}\r\n");
    let made = post_json("/api-keys", "{}");
    let made = String::from_utf8(made)?.replacen("host: bench\r\n", &format!("host: bench\r\n{bearer}"), 1);
    let key = text(&connection.send(made.as_bytes())?.body, "key")?;
    let basic =
        |user: &str, password: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")));
    Ok(vec![
        ("nobody", String::new()),
        ("a gateway's user", "x-user-id: somebody\r\n".to_owned()),
        ("a token", bearer),
        ("a key", basic("any", &key)),
        ("a password", basic(EMAIL, PASSWORD)),
    ])
}

fn text(body: &[u8], field: &str) -> Result<String> {
    let body: serde_json::Value = serde_json::from_slice(body)?;
    Ok(body[field].as_str().ok_or_else(|| format!("no {field} in {body}"))?.to_owned())
}

fn requests() -> Result<Vec<(&'static str, Vec<String>)>> {
    let mut images = Vec::new();
    for place in 0..200 {
        let id = image(1000 + place * (ROWS - 1000) / 200, ROWS)?.id;
        images.push(format!("/images/{id}?include_url=false"));
    }
    Ok(vec![("an image", images), ("a page of 20", vec!["/images".to_owned()])])
}

fn get(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{header}\r\n").into_bytes()
}
