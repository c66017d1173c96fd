//! The cost of authentication: the same requests by an anonymous caller and with each kind of credentials.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, Until, post_json};
use crate::fill::{filled_database, image};
use crate::measure::{Series, number};
use crate::server::{Server, service_binary};

const ROWS: u64 = 100_000;
const CONNECTIONS: usize = 8;
const EMAIL: &str = "root@example.org";
const PASSWORD: &str = "correct horse battery";

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 1000)?);
    for backend in Backend::all().await? {
        let (settings, _) = filled_database(&backend, ROWS).await?;
        create_administrator(&settings)?;
        let server = Server::image_service(&settings)?;
        println!("\n{}, {ROWS} images, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        let mut connection = Connection::open(server.address)?;
        let mut all = Vec::new();
        for (caller, header) in callers(&mut connection)? {
            for (kind, paths) in requests()? {
                let requests: Vec<Vec<u8>> = paths.iter().map(|path| get(path, &header)).collect();
                all.push((caller, kind, requests, Series::default()));
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
            "caller", "request", "/s", "failed", "service µs", "database µs", "/ anonymous"
        );
        for (caller, kind, _, series) in &all {
            // The anonymous caller comes first.
            let anonymous = all.iter().find(|(_, other, ..)| other == kind).map_or(f64::NAN, |(.., series)| series.cpu_us());
            let ratio = series.cpu_us() / anonymous;
            let (per_second, service, database) = (series.per_second(), series.service_us(), series.database_us());
            let failed = series.failed();
            println!("{caller:16} {kind:18} {per_second:>8.0} {failed:>8} {service:>12.0} {database:>12.0} {ratio:>12.2}");
        }
    }
    Ok(())
}

/// Runs `create-admin`, which reads the password from standard input. Ignores its exit status: it fails if a reused database
/// already has the administrator.
fn create_administrator(settings: &[(&str, String)]) -> Result<()> {
    let mut command = Command::new(service_binary());
    command.args(["create-admin", "--email", EMAIL]).env_clear().envs(settings.iter().cloned());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(PASSWORD.as_bytes())?;
    child.wait()?;
    Ok(())
}

/// The callers, each with its authentication header.
fn callers(connection: &mut Connection) -> Result<Vec<(&'static str, String)>> {
    let login = connection.send(&post_json("/token", &format!(r#"{{"email": "{EMAIL}", "password": "{PASSWORD}"}}"#)))?;
    let token = string_field(&login.body, "access")?;
    let bearer = format!("authorization: Bearer {token}\r\n");
    let create_key = String::from_utf8(post_json("/api-keys", "{}"))?;
    let create_key = create_key.replacen("host: localhost\r\n", &format!("host: localhost\r\n{bearer}"), 1);
    let key = string_field(&connection.send(create_key.as_bytes())?.body, "key")?;
    let basic =
        |user: &str, password: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")));
    Ok(vec![
        ("anonymous", String::new()),
        ("gateway user", "x-user-id: somebody\r\n".to_owned()),
        ("access token", bearer),
        ("API key", basic("any", &key)),
        ("password", basic(EMAIL, PASSWORD)),
    ])
}

fn string_field(body: &[u8], field: &str) -> Result<String> {
    let body: serde_json::Value = serde_json::from_slice(body)?;
    Ok(body[field].as_str().ok_or_else(|| format!("no {field} in {body}"))?.to_owned())
}

fn requests() -> Result<Vec<(&'static str, Vec<String>)>> {
    let mut images = Vec::new();
    for step in 0..200 {
        let id = image(1000 + step * (ROWS - 1000) / 200, ROWS)?.id;
        images.push(format!("/images/{id}?include_url=false"));
    }
    Ok(vec![("image", images), ("page of 20", vec!["/images".to_owned()])])
}

fn get(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").into_bytes()
}
