//! Requests of the tus protocol: <https://tus.io/protocols/resumable-upload>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Result;
use crate::client::{Connection, Response};

/// The path of the service for tus.
pub const OURS: &str = "/uploads/tus";

const PIECE: &str = "application/offset+octet-stream";

/// Creates an upload, with the title and tags of [`crate::client::post_image`]. `piece` is the whole file.
pub fn create(connection: &mut Connection, path: &str, name: &str, length: usize, piece: Option<&[u8]>) -> Result<Response> {
    let metadata = [("user_id", "bench"), ("filename", name), ("title", "An image for the benchmark"), ("tags", "sea,sun")];
    let metadata: Vec<_> = metadata.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).collect();
    let metadata = metadata.join(",");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-length: {length}\r\nupload-metadata: {metadata}\r\n"
    );
    match piece {
        None => connection.send(format!("{head}content-length: 0\r\n\r\n").as_bytes()),
        Some(bytes) => {
            let head = format!("{head}content-type: {PIECE}\r\ncontent-length: {length}\r\n\r\n");
            connection.send(&[head.as_bytes(), bytes].concat())
        }
    }
}

/// Sends the first piece.
pub fn append(connection: &mut Connection, location: &str, piece: &[u8]) -> Result<Response> {
    let (path, length) = (path_of(location)?, piece.len());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\ncontent-type: {PIECE}\r\n\
         content-length: {length}\r\n\r\n"
    );
    connection.send(&[head.as_bytes(), piece].concat())
}

/// Deletes an upload.
pub fn delete(connection: &mut Connection, location: &str) -> Result<()> {
    let path = path_of(location)?;
    let head = format!("DELETE {path} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\ncontent-length: 0\r\n\r\n");
    match connection.send(head.as_bytes())?.status {
        204 => Ok(()),
        status => Err(format!("an upload was not deleted, but {status}").into()),
    }
}

/// Returns the path of an address.
pub fn path_of(location: &str) -> Result<&str> {
    let after_scheme = location.split_once("://").ok_or("the address has no scheme")?.1;
    Ok(&after_scheme[after_scheme.find('/').ok_or("the address has no path")?..])
}
