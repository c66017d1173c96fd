//! CPU per upload by method: the form, tus in one piece, and directly to the storage. All store the same images, in turns.
//!
//! With the embedded S3 server, the service's CPU includes that of the storage.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, post_image, post_json};
use crate::images::{self, ImageFile};
use crate::measure::number;
use crate::server::Server;

type Upload = fn(&mut Connection, &ImageFile) -> Result<bool>;

const METHODS: [(&str, Upload); 4] =
    [("form", form), ("tus, one piece", tus), ("tus, created with it", tus_created_with_it), ("direct", direct)];

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 5)?;
    for backend in Backend::all().await? {
        let (_folder, settings) = backend.settings("bench_upload_methods").await?;
        let server = Server::image_service(&settings)?;
        let mut connection = Connection::open(server.address)?;
        // Also warms the service up.
        let images: Vec<_> = images::all()?.into_iter().filter(|image| form(&mut connection, image).unwrap_or(false)).collect();
        println!("\nours, {}: {} images in each of {rounds} rounds", backend.name(), images.len());
        let mut cpu = [Duration::ZERO; METHODS.len()];
        for _ in 0..rounds {
            for ((_, upload), cpu) in METHODS.iter().zip(&mut cpu) {
                let before = server.cpu()? + backend.database_cpu()?;
                for image in &images {
                    if !upload(&mut connection, image)? {
                        return Err(format!("{} was refused", image.name).into());
                    }
                }
                *cpu += (server.cpu()? + backend.database_cpu()?).saturating_sub(before);
            }
        }
        for ((name, _), spent) in METHODS.iter().zip(cpu) {
            let per_upload = spent.as_secs_f64() * 1000.0 / (rounds * images.len()) as f64;
            println!("{name:24} {per_upload:>8.2} ms  {:>6.3} of the form", spent.as_secs_f64() / cpu[0].as_secs_f64());
        }
    }
    Ok(())
}

fn form(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    Ok(connection.send(&post_image(&image.name, &image.bytes))?.status == 200)
}

/// `user_id bench`, in base64.
const METADATA: &str = "user_id YmVuY2g=";

fn tus(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let length = image.bytes.len();
    let head = format!(
        "POST /uploads/tus HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-length: {length}\r\n\
         upload-metadata: {METADATA}\r\ncontent-length: 0\r\n\r\n"
    );
    let created = connection.send(head.as_bytes())?;
    let location = created.location.ok_or("no location")?;
    let path = &location[location.find("/uploads/").ok_or("no upload")?..];
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {length}\r\n\r\n"
    );
    Ok(connection.send(&[head.as_bytes(), &image.bytes].concat())?.status == 200)
}

fn tus_created_with_it(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let length = image.bytes.len();
    let head = format!(
        "POST /uploads/tus HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-length: {length}\r\n\
         upload-metadata: {METADATA}\r\ncontent-type: application/offset+octet-stream\r\ncontent-length: {length}\r\n\r\n"
    );
    Ok(connection.send(&[head.as_bytes(), &image.bytes].concat())?.status == 201)
}

fn direct(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let length = image.bytes.len();
    let body = format!(r#"{{"file_size": {length}, "content_type": "image/jpeg", "user_id": "bench"}}"#);
    let created: Value = serde_json::from_slice(&connection.send(&post_json("/uploads", &body))?.body)?;
    let (id, url) = (created["id"].as_str().ok_or("no id")?, created["put"]["url"].as_str().ok_or("no URL")?);
    let (host, path) = url.trim_start_matches("http://").split_once('/').ok_or("no path")?;
    let address: SocketAddr = host.parse()?;
    let head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/jpeg\r\ncontent-length: {length}\r\n\r\n");
    let sent = Connection::open(address)?.send(&[head.as_bytes(), &image.bytes].concat())?;
    let completion = format!("POST /uploads/{id}/complete HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    Ok(sent.status == 200 && connection.send(completion.as_bytes())?.status == 200)
}
