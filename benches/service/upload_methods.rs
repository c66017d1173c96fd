//! CPU per upload by method: the form, in one piece with tus and as a resumable form, and directly to the storage. All upload the
//! same images with the same title and tags, in turns. Then CPU per file that is received with tus and not processed.
//!
//! The file of a direct upload goes to the storage, which runs in the service's process if it is embedded. So the `PUT` is measured
//! separately.

use std::time::Duration;

use serde_json::Value;

use crate::Result;
use crate::backend::Backend;
use crate::client::{Connection, post_image, post_json};
use crate::cpu::{Measured, print};
use crate::images::{self, ImageFile};
use crate::measure::number;
use crate::receiving::{compare_receiving, tus_server};
use crate::server::Server;
use crate::tus;

type Upload = fn(&mut Connection, &ImageFile) -> Result<bool>;

pub async fn run() -> Result<()> {
    let rounds = number("BENCH_ROUNDS", 5)?;
    let peer_folder = std::env::var("BENCH_TUS_SERVER").ok();
    if peer_folder.is_none() {
        println!("BENCH_TUS_SERVER is not set: skipping @tus/server");
    }
    for backend in Backend::all().await? {
        let (_folder, settings) = backend.settings("bench_upload_methods").await?;
        // Each step is measured for all images at once, because CPU time has a resolution of 10 ms. Until then the uploads are open.
        let limits = [("MAX_OPEN_UPLOADS", "1000".to_owned()), ("MAX_OPEN_UPLOAD_BYTES", (8_u64 << 30).to_string())];
        let server = Server::image_service(&[settings.as_slice(), &limits].concat())?;
        let ours = Measured { server, backend: Some(&backend) };
        // Also warms the service up.
        let mut images = Vec::new();
        for image in images::all()? {
            if form(&mut ours.connect()?, &image)? {
                images.push(image);
            } else {
                println!("skipping {}: the service does not accept it", image.name);
            }
        }
        println!("\n{}: {} images in each of {rounds} rounds", backend.name(), images.len());
        compare_methods(&ours, &images, rounds)?;
        let peer = match (&peer_folder, &backend) {
            (Some(folder), Backend::Postgres(_)) => Some(Measured { server: tus_server(folder, settings)?, backend: None }),
            _ => None,
        };
        compare_receiving(&ours, peer.as_ref(), &images, rounds)?;
    }
    Ok(())
}

fn compare_methods(ours: &Measured<'_>, images: &[ImageFile], rounds: usize) -> Result<()> {
    let [mut by_form, mut by_tus, mut created_with_it, mut by_resumable_form, mut direct, mut put] = [Duration::ZERO; 6];
    let upload_all = |upload: Upload| ours.measure(|connection| each(images, |image| upload(connection, image)));
    for _ in 0..rounds {
        by_form += upload_all(form)?.1;
        by_tus += upload_all(one_piece)?.1;
        created_with_it += upload_all(create_with_it)?.1;
        by_resumable_form += upload_all(resumable_form)?.1;
        let (opened, opening) =
            ours.measure(|connection| images.iter().map(|image| open_direct(connection, image)).collect::<Result<Vec<_>>>())?;
        put += ours.measure(|_| send_to_storage(&opened, images))?.1;
        let completing = |connection: &mut Connection| opened.iter().try_for_each(|upload| complete_direct(connection, upload));
        direct += opening + ours.measure(completing)?.1;
    }
    let uploads = rounds * images.len();
    print("form", by_form, uploads, by_form, "form");
    print("tus, one piece", by_tus, uploads, by_form, "form");
    print("tus, created with the piece", created_with_it, uploads, by_form, "form");
    print("resumable form, one piece", by_resumable_form, uploads, by_form, "form");
    print("direct, create and complete", direct, uploads, by_form, "form");
    print("direct, with the PUT", direct + put, uploads, by_form, "form");
    Ok(())
}

/// Uploads each image, and fails if one is refused.
fn each(images: &[ImageFile], mut upload: impl FnMut(&ImageFile) -> Result<bool>) -> Result<()> {
    for image in images {
        if !upload(image)? {
            return Err(format!("{} was refused", image.name).into());
        }
    }
    Ok(())
}

fn form(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    Ok(connection.send(&post_image(&image.name, &image.bytes))?.status == 200)
}

fn one_piece(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let upload = tus::create(connection, tus::OURS, &image.name, image.bytes.len(), None)?.location;
    Ok(tus::append(connection, &upload.ok_or("no location")?, &image.bytes)?.status == 200)
}

fn create_with_it(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let response = tus::create(connection, tus::OURS, &image.name, image.bytes.len(), Some(&image.bytes))?;
    Ok(response.status == 201 && !response.body.is_empty())
}

/// Sends the form with Resumable Uploads for HTTP.
fn resumable_form(connection: &mut Connection, image: &ImageFile) -> Result<bool> {
    let request = post_image(&image.name, &image.bytes);
    let end_of_head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no head")?;
    let (head, form) = (std::str::from_utf8(&request[..end_of_head])?, &request[end_of_head + 4..]);
    let content_type = head.lines().find(|line| line.starts_with("content-type: ")).ok_or("no type")?;
    let head = format!(
        "POST /images HTTP/1.1\r\nhost: localhost\r\nx-user-id: bench\r\nupload-complete: ?0\r\n{content_type}\r\n\
         content-length: 0\r\n\r\n"
    );
    let location = connection.send(head.as_bytes())?.location.ok_or("no location")?;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: localhost\r\nx-user-id: bench\r\nupload-complete: ?1\r\nupload-offset: 0\r\n\
         content-type: application/partial-upload\r\ncontent-length: {}\r\n\r\n",
        tus::path_of(&location)?,
        form.len()
    );
    Ok(connection.send(&[head.as_bytes(), form].concat())?.status == 200)
}

/// An open direct upload.
struct Direct {
    id: String,
    put_url: String,
}

/// The same type for all images: the service looks at the contents.
const CONTENT_TYPE: &str = "image/jpeg";

fn open_direct(connection: &mut Connection, image: &ImageFile) -> Result<Direct> {
    let body = serde_json::json!({
        "file_name": image.name,
        "file_size": image.bytes.len(),
        "content_type": CONTENT_TYPE,
        "user_id": "bench",
        "title": "An image for the benchmark",
        "tags": "sea,sun",
    });
    let created: Value = serde_json::from_slice(&connection.send(&post_json("/uploads", &body.to_string()))?.body)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Direct { id: text(&created["id"]).ok_or("no id")?, put_url: text(&created["put"]["url"]).ok_or("no URL")? })
}

fn send_to_storage(uploads: &[Direct], images: &[ImageFile]) -> Result<()> {
    let mut storage: Option<Connection> = None;
    for (upload, image) in uploads.iter().zip(images) {
        let (host, path) = upload.put_url.trim_start_matches("http://").split_once('/').ok_or("no path")?;
        let mut connection = match storage.take() {
            Some(connection) => connection,
            None => Connection::open(host.parse()?)?,
        };
        let length = image.bytes.len();
        let head =
            format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {length}\r\n\r\n");
        let status = connection.send(&[head.as_bytes(), &image.bytes].concat())?.status;
        if status != 200 {
            return Err(format!("the storage responded with {status} to {}", image.name).into());
        }
        storage = Some(connection);
    }
    Ok(())
}

fn complete_direct(connection: &mut Connection, upload: &Direct) -> Result<()> {
    let head = format!("POST /uploads/{}/complete HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", upload.id);
    match connection.send(head.as_bytes())?.status {
        200 => Ok(()),
        status => Err(format!("the completion of a direct upload was refused with {status}").into()),
    }
}
