//! Presigned URLs: what they return, to whom, and for how long. The storage itself responds, so these tests run on
//! every kind of storage.

use chrono::TimeDelta;
use http::HeaderValue;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::pictures::{gif, jpeg, png, transparent_png, webp};
use crate::harness::{Form, TestApp, webp_files};

fn url(value: &Value) -> &str {
    value.as_str().expect("a URL")
}

/// Returns a query parameter of the URL, decoded.
fn parameter(url: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).expect("a URL");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Returns the URL with one parameter replaced.
fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let mut altered = reqwest::Url::parse(url).expect("a URL");
    let pairs: Vec<(String, String)> = altered.query_pairs().into_owned().collect();
    assert!(pairs.iter().any(|(key, _)| key == name), "{name} is not in {url}");
    let replaced = pairs.iter().map(|(key, old)| (key.as_str(), if key == name { value } else { old.as_str() }));
    altered.query_pairs_mut().clear().extend_pairs(replaced);
    altered.to_string()
}

#[tokio::test]
async fn presigned_download_urls_return_the_same_bytes_with_type_and_name() {
    let app = TestApp::start().await;
    let files = [
        ("sunset.jpg", "image/jpeg", jpeg(300, 200, 1)),
        ("Été à Zürich 日本 🌅 (1).png", "image/png", png(300, 200, 2)),
        ("quo'te; a=\\\"b\\\", 100%.gif", "image/gif", gif(300, 200, 2, 3)),
        ("a+b&c=d#e?.webp", "image/webp", webp(300, 200, 4)),
    ];
    for (name, content_type, file) in files {
        let image = app.post(Form::new().text("user_id", "alice").file_named(name, content_type, &file)).await.image();
        let id = image["image_id"].as_str().unwrap();
        let download = app.get(&format!("/images/{id}/download")).await.ok();
        let attachment = app.get(&format!("/images/{id}/download?attachment=true")).await.ok();
        let inline = app.get(&format!("/images/{id}/download?attachment=false")).await.ok();
        for (url, kind) in [
            (url(&image["download_url"]), "inline"),
            (url(&download["download_url"]), "inline"),
            (url(&inline["download_url"]), "inline"),
            (url(&attachment["download_url"]), "attachment"),
        ] {
            let answer = app.fetch(url).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, content_type),
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
            assert!(answer.body == file, "the same bytes");
            let disposition = answer.header("content-disposition");
            let names = disposition.strip_prefix(&format!("{kind}; filename=\"")).expect(disposition);
            let (plain, encoded) = names.split_once("\"; filename*=UTF-8''").expect(disposition);
            assert!(
                plain.is_ascii() && !plain.contains(['"', '\\', '%']) && plain.rsplit('.').next() == name.rsplit('.').next(),
                "{plain}"
            );
            let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
            assert_eq!(decoded, image["file_name"].as_str().unwrap());
            assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(&byte)), "{encoded}");
        }
        assert_eq!(hex::encode(Sha256::digest(&file)), image["sha256"]);
    }
}

#[tokio::test]
async fn presigned_thumbnail_urls_return_jpeg_or_webp_if_there_is_transparency() {
    let app = TestApp::start().await;
    for (file, content_type) in [
        (jpeg(600, 300, 1), "image/jpeg"),
        (png(600, 300, 2), "image/jpeg"),
        (gif(600, 300, 3, 3), "image/jpeg"),
        (webp(600, 300, 4), "image/jpeg"),
        (transparent_png(600, 300, 5), "image/webp"),
    ] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        assert_eq!(image["thumbnail_url"], image["thumbnails"]["small"]["url"]);
        for (size, width, height) in [("small", 128, 64), ("medium", 512, 256)] {
            let answer = app.fetch(url(&image["thumbnails"][size]["url"])).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type));
            assert_eq!(dimensions(&answer.body), (width, height), "{size}");
        }
    }
}

/// Returns the width and height of an image, as decoded.
fn dimensions(file: &[u8]) -> (usize, usize) {
    if file.starts_with(b"RIFF") {
        let decoded = webp_files::decode(file).expect("a whole WebP");
        (decoded.width as usize, decoded.height as usize)
    } else {
        let decoder = mozjpeg::Decompress::new_mem(file).expect("a JPEG");
        let mut decoded = decoder.rgb().expect("a JPEG");
        let rows = decoded.read_scanlines::<[u8; 3]>().expect("a whole JPEG");
        let dimensions = (decoded.width(), decoded.height());
        assert_eq!(rows.len(), dimensions.0 * dimensions.1);
        dimensions
    }
}

#[tokio::test]
async fn altered_presigned_urls_are_rejected() {
    let app = TestApp::start().await;
    let first = app.post(Form::upload("alice", &jpeg(100, 100, 1))).await.image();
    let second = app.post(Form::upload("alice", &jpeg(100, 100, 2))).await.image();
    let good = url(&first["download_url"]);
    assert_eq!(app.fetch(good).await.status, 200);
    assert_eq!(app.fetch(&with_parameter(good, "X-Amz-Expires", &parameter(good, "X-Amz-Expires").unwrap())).await.status, 200);
    let signature = parameter(good, "X-Amz-Signature").unwrap();
    let flipped = if signature.starts_with('0') { "1" } else { "0" };
    let flipped = format!("{flipped}{}", &signature[1..]);
    let (first_id, second_id) = (first["image_id"].as_str().unwrap(), second["image_id"].as_str().unwrap());
    let path = |id: &str| format!("{}/{id}/", &id[34..]);
    for (what, altered) in [
        ("signature", with_parameter(good, "X-Amz-Signature", &flipped)),
        ("a longer lifetime", with_parameter(good, "X-Amz-Expires", "86400")),
        ("a later day", with_parameter(good, "X-Amz-Date", "20991231T000000Z")),
        ("type", with_parameter(good, "response-content-type", "text/html")),
        ("disposition", with_parameter(good, "response-content-disposition", "inline; filename=evil.html")),
        ("another image", good.replace(&path(first_id), &path(second_id))),
        ("another object", good.replace("/original?", "/small?")),
        ("no signature", good.split("&X-Amz-Signature").next().unwrap().to_owned()),
    ] {
        assert_ne!(altered, good, "{what}");
        let answer = app.fetch(&altered).await;
        assert!((400..500).contains(&answer.status), "{what}: {}", answer.status);
        assert!(!answer.body.starts_with(b"\xff\xd8"), "{what}");
    }
    // A URL for reading cannot be used to write or delete.
    for method in [reqwest::Method::PUT, reqwest::Method::DELETE] {
        let answer = app.client.request(method, good).body("x").send().await.unwrap();
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    assert_eq!(app.fetch(good).await.status, 200);
}

#[tokio::test]
async fn objects_cannot_be_read_without_a_presigned_url() {
    let app = TestApp::start().await;
    let storage = app.storage();
    if app.fetch(&format!("{}/_localstack/health", storage.endpoint)).await.status == 200 {
        // LocalStack treats unsigned requests as the owner's, so it cannot be tested here.
        return;
    }
    let image = app.post(Form::upload("alice", &jpeg(100, 100, 1))).await.image();
    let original = url(&image["download_url"]).split('?').next().unwrap();
    let bucket = format!("{}/{}", storage.endpoint, storage.bucket);
    for address in
        [original, &original.replace("/original", "/small"), &bucket, &format!("{bucket}/?list-type=2"), &storage.endpoint]
    {
        let answer = app.fetch(address).await;
        assert!((400..500).contains(&answer.status), "{address}: {}", answer.status);
    }
}

#[tokio::test]
async fn presigned_urls_expire() {
    let app = TestApp::with(&["--url-lifetime=60", "--url-window=0"]).await;
    app.clock.follow_machine();
    let image = app.post(Form::upload("alice", &jpeg(100, 100, 1))).await.image();
    let id = image["image_id"].as_str().unwrap();
    let links = async |expires_in: u32| {
        let download = app.get(&format!("/images/{id}/download?expires_in={expires_in}")).await.ok();
        let image = app.get(&format!("/images/{id}")).await.ok();
        [download["download_url"].clone(), image["download_url"].clone(), image["thumbnail_url"].clone()]
    };
    for link in links(60).await {
        assert_eq!(app.fetch(url(&link)).await.status, 200);
    }
    // The storage checks only the signing time, so an old signing time stands for waiting.
    app.clock.advance(-TimeDelta::seconds(90));
    for link in links(60).await {
        let answer = app.fetch(url(&link)).await;
        assert_eq!(answer.status, 403, "{}", String::from_utf8_lossy(&answer.body));
    }
    let [download, ..] = links(180).await;
    assert_eq!(app.fetch(url(&download)).await.status, 200, "the URL is valid for another 90 of 180 seconds");
}

#[tokio::test]
async fn presigned_urls_in_image_objects_are_stable_within_a_window_and_change_after_it() {
    let app = TestApp::with(&["--url-lifetime=600", "--url-window=300"]).await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let image = app.post(Form::upload("alice", &jpeg(100, 100, 1)).text("tags", "sea")).await.image();
    let paths = [format!("/images/{}", image["image_id"].as_str().unwrap()), "/images".to_owned(), "/tags/sea/images".to_owned()];
    let links = async || {
        let mut links = Vec::new();
        for path in &paths {
            let body = app.get(path).await.ok();
            let image = if body["images"].is_array() { &body["images"][0] } else { &body };
            links.push([
                image["download_url"].clone(),
                image["thumbnail_url"].clone(),
                image["thumbnails"]["medium"]["url"].clone(),
            ]);
        }
        assert!(links.iter().all(|of_path| *of_path == links[0]), "{links:?}");
        links.remove(0)
    };
    let first = links().await;
    assert_eq!(first[0], image["download_url"]);
    app.clock.stop_at("2026-01-31T12:04:59.999Z");
    assert_eq!(links().await, first);
    app.clock.stop_at("2026-01-31T12:05:00Z");
    let second = links().await;
    assert!(second.iter().zip(&first).all(|(new, old)| new != old));
    // A link obtained at the end of the window still lasts for the whole lifetime.
    assert_eq!(parameter(url(&first[0]), "X-Amz-Date").unwrap(), "20260131T120000Z");
    assert_eq!(parameter(url(&first[0]), "X-Amz-Expires").unwrap(), "900");
}

#[tokio::test]
async fn presigned_download_links_expire_counted_from_the_request() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:07.900Z");
    let id = app.post(Form::upload("alice", &jpeg(100, 100, 1))).await.image_id();
    let download = app.get(&format!("/images/{id}/download?expires_in=61")).await.ok();
    assert_eq!(parameter(url(&download["download_url"]), "X-Amz-Date").unwrap(), "20260131T120007Z");
    assert_eq!(parameter(url(&download["download_url"]), "X-Amz-Expires").unwrap(), "61");
}

#[tokio::test]
async fn presigned_urls_use_the_public_endpoint() {
    let app = TestApp::with(&["--s3-public-endpoint-url=https://pictures.example.org"]).await;
    let image = app.post(Form::upload("alice", &jpeg(100, 100, 1))).await.image();
    let id = image["image_id"].as_str().unwrap();
    let download = app.get(&format!("/images/{id}/download")).await.ok();
    let small = &image["thumbnails"]["small"]["url"];
    for link in [&image["download_url"], &image["thumbnail_url"], small, &download["download_url"]] {
        assert!(url(link).starts_with(&format!("https://pictures.example.org/{}/", app.storage().bucket)), "{link}");
        assert!(!url(link).contains("127.0.0.1"), "{link}");
    }
    assert_eq!(app.get("/ready").await.status, 200, "the service itself uses the internal endpoint");
}

#[tokio::test]
async fn presigned_urls_serve_ranges() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let image = app.post(Form::upload("alice", &file)).await.image();
    let answer = app.client.get(url(&image["download_url"])).header("Range", "bytes=100-199").send().await.unwrap();
    assert_eq!(answer.status(), 206);
    assert!(answer.bytes().await.unwrap()[..] == file[100..200]);
}

/// Other S3 servers are not ours: LocalStack ignores If-Range.
#[tokio::test]
async fn presigned_urls_of_the_embedded_server_answer_conditional_requests() {
    let app = TestApp::start().await;
    if app.objects_dir().is_none() {
        return;
    }
    let image = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image();
    let answer = app.client.get(url(&image["download_url"])).send().await.unwrap();
    let etag = answer.headers()["etag"].clone();
    // A client that resumes a download gets the whole file if it has changed.
    for (if_range, status) in [(&etag, 206), (&HeaderValue::from_static("\"another\""), 200)] {
        let request = app.client.get(url(&image["download_url"])).header("Range", "bytes=100-199").header("If-Range", if_range);
        assert_eq!(request.send().await.unwrap().status(), status, "{if_range:?}");
    }
    let unchanged = app.client.get(url(&image["download_url"])).header("If-None-Match", &etag).send().await.unwrap();
    assert_eq!(unchanged.status(), 304);
    // Other objects have other ETags.
    let thumbnail = app.client.get(url(&image["thumbnail_url"])).send().await.unwrap();
    assert_ne!(thumbnail.headers()["etag"], etag);
}

#[tokio::test]
async fn presigned_urls_that_are_not_revoked_work_until_their_image_is_purged() {
    let app = TestApp::with(&["--retention-days=1", "--delete-revokes-urls=false"]).await;
    let image = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image();
    app.delete("alice", image["image_id"].as_str().unwrap()).await.ok();
    assert_eq!(app.fetch(url(&image["download_url"])).await.status, 200);
    app.clock.advance(TimeDelta::days(1) + TimeDelta::seconds(1));
    app.sweep_all().await;
    assert_eq!(app.fetch(url(&image["download_url"])).await.status, 404);
    assert_eq!(app.fetch(url(&image["thumbnail_url"])).await.status, 404);
}
