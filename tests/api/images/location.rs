//! Location metadata is removed from an original before it is stored, unless configured otherwise. Which fields count
//! as location is tested in `imaging/location`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::pictures::{jpeg, png};
use crate::harness::{Form, TestApp};

const PLACE: &str = "Xanaduville";
const AUTHOR: &str = "Ann Example";

/// Returns an XMP packet that names a place and an author.
fn packet() -> String {
    format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\" photoshop:City=\"{PLACE}\" \
         photoshop:Credit=\"{AUTHOR}\"/></rdf:RDF></x:xmpmeta>"
    )
}

pub(super) fn located_jpeg(seed: u64) -> Vec<u8> {
    let body = [b"http://ns.adobe.com/xap/1.0/\0", packet().as_bytes()].concat();
    let length = u16::try_from(body.len() + 2).expect("a short segment").to_be_bytes();
    let mut file = jpeg(300, 200, seed);
    file.splice(2..2, [&[0xff, 0xe1][..], &length, &body].concat());
    file
}

/// Returns the same file with the place overwritten by spaces: nothing else may differ.
fn without_place(file: &[u8]) -> Vec<u8> {
    let at = find(file, b" photoshop:City=").expect("the place");
    let length = format!(" photoshop:City=\"{PLACE}\"").len();
    let mut blank = file.to_vec();
    blank[at..at + length].fill(b' ');
    blank
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

async fn stored(app: &TestApp, image: &Value) -> Vec<u8> {
    app.fetch(image["download_url"].as_str().expect("a URL")).await.body.to_vec()
}

fn assert_describes(image: &Value, file: &[u8]) {
    assert_eq!(image["file_size"], file.len());
    assert_eq!(image["sha256"], hex::encode(Sha256::digest(file)));
}

#[tokio::test]
async fn an_original_is_stored_without_location_and_otherwise_unchanged() {
    let app = TestApp::start().await;
    let file = located_jpeg(1);
    let image = app.post(Form::upload("alice", &file)).await.image();
    let kept = stored(&app, &image).await;
    assert_eq!(kept, without_place(&file));
    assert!(find(&kept, AUTHOR.as_bytes()).is_some());
    assert_describes(&image, &kept);
    // The size and checksum in the download response describe the file that it links to.
    let download = app.get(&format!("/images/{}/download", image["image_id"].as_str().unwrap())).await.ok();
    assert_eq!(download["file_size"], kept.len());
    app.assert_sound().await;
}

#[tokio::test]
async fn a_file_without_location_is_stored_unchanged() {
    let app = TestApp::start().await;
    for file in [jpeg(300, 200, 2), png(300, 200, 3)] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        assert_eq!(stored(&app, &image).await, file);
        assert_describes(&image, &file);
    }
}

#[tokio::test]
async fn location_is_kept_when_configured() {
    let app = TestApp::with(&["--keep-location=true"]).await;
    let file = located_jpeg(4);
    let image = app.post(Form::upload("alice", &file)).await.image();
    assert_eq!(stored(&app, &image).await, file);
    assert_describes(&image, &file);
}

#[tokio::test]
async fn a_repeated_upload_is_recognised_by_the_file_as_sent() {
    let app = TestApp::start().await;
    let file = located_jpeg(5);
    let upload = || app.upload(Form::upload("alice", &file)).header("Idempotency-Key", "one");
    let first = app.send(upload()).await.image();
    let second = app.send(upload()).await.image();
    assert_eq!(first["image_id"], second["image_id"]);
    // The stored file differs from the sent one, so uploading it is a different request.
    let other = app.upload(Form::upload("alice", &without_place(&file))).header("Idempotency-Key", "one");
    assert_eq!(app.send(other).await.status, 422);
}
