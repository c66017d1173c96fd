//! Limits that operators configure: what they accept, what they reject, and how clients find them out.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::pictures::{animated_webp, flat_jpeg, gif, jpeg, jpeg_with_exif, padded, png, transparent_png, webp};
use crate::harness::world::picture;
use crate::harness::{Form, TestApp, World, assert_error};

/// Returns the reason for which a file is rejected.
async fn rejection(app: &TestApp, file: &[u8]) -> String {
    let answer = app.post(Form::upload("alice", file)).await;
    assert_error(&answer, 400, "InvalidFile")["file"].as_str().expect("a reason").to_owned()
}

#[tokio::test]
async fn a_phone_photo_is_rejected_by_default_and_the_error_names_the_setting_to_raise() {
    let app = TestApp::start().await;
    let photo = flat_jpeg(4032, 3024);
    let reason = rejection(&app, &photo).await;
    for words in ["4032×3024", "at most 4000", "MAX_IMAGE_SIDE"] {
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn each_limit_follows_its_setting_and_its_error_names_the_setting() {
    let settings = [
        "--max-file-size=20KiB",
        "--min-file-size=2KiB",
        "--max-image-side=300",
        "--max-image-pixels=60000",
        "--min-image-side=20",
        "--max-animation-pixels=16000000",
    ];
    let app = TestApp::with(&settings).await;
    for file in [padded(flat_jpeg(300, 200), 20 * 1024), padded(flat_jpeg(20, 300), 2 * 1024)] {
        app.post(Form::upload("alice", &file)).await.image();
    }
    for (file, words) in [
        (padded(flat_jpeg(100, 100), 20 * 1024 + 1), ["20480 bytes", "MAX_FILE_SIZE"]),
        (padded(flat_jpeg(100, 100), 2 * 1024 - 1), ["at least 2048", "MIN_FILE_SIZE"]),
        (padded(flat_jpeg(301, 100), 4 * 1024), ["at most 300", "MAX_IMAGE_SIDE"]),
        (padded(flat_jpeg(300, 201), 4 * 1024), ["limit of 60000", "MAX_IMAGE_PIXELS"]),
        (padded(flat_jpeg(19, 100), 4 * 1024), ["at least 20", "MIN_IMAGE_SIDE"]),
        (padded(webp(301, 20, 1), 8 * 1024), ["at most 300", "MAX_IMAGE_SIDE"]),
    ] {
        let reason = rejection(&app, &file).await;
        assert!(words.iter().all(|word| reason.contains(word)), "{words:?}: {reason}");
    }
    let app = TestApp::with(&["--max-animation-pixels=16000000"]).await;
    let reason = rejection(&app, &gif(1000, 1000, 17, 1)).await;
    assert!(reason.contains("16000000 pixels") && reason.contains("MAX_ANIMATION_PIXELS"), "{reason}");
    let body = Form::upload("alice", &vec![0; 11 << 20]).finish();
    let request = app.request(Method::POST, "/images").header("Content-Type", Form::content_type()).body(body);
    let answer = app.send(request).await;
    let details = assert_error(&answer, 413, "PayloadTooLarge");
    let limit = app.get("/limits").await.ok()["max_file_size"].as_u64().unwrap();
    assert_eq!(details["file"], format!("must have at most {limit} bytes"));
}

/// Limits for 24 megapixels and 12 MB.
const RAISED: [&str; 4] =
    ["--max-image-side=8000", "--max-image-pixels=25000000", "--max-file-size=12MiB", "--max-animation-pixels=16000000"];

#[tokio::test]
async fn larger_images_are_stored_and_served_with_raised_limits() {
    let app = TestApp::with(&RAISED).await;
    let file = padded(flat_jpeg(6000, 4000), 12 << 20);
    let image = app.post(Form::upload("alice", &file)).await.image();
    assert_eq!((&image["width"], &image["height"], &image["file_size"]), (&json!(6000), &json!(4000), &json!(12 << 20)));
    let id = image["image_id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/i/{id}")).await.body, file);
    let reason = rejection(&app, &padded(flat_jpeg(60, 60), (12 << 20) + 1)).await;
    assert!(reason.contains("MAX_FILE_SIZE"), "{reason}");
}

#[tokio::test]
async fn an_import_has_the_same_limits() {
    let world = World::new();
    let (large, larger) = (padded(flat_jpeg(4032, 3024), 11 << 20), padded(flat_jpeg(60, 60), (12 << 20) + 1));
    world.site("large.test", move |_, _| picture(&large)).await;
    world.site("larger.test", move |_, _| picture(&larger)).await;
    let app = TestApp::within(world, &RAISED).await;
    let job = app.import(&["http://large.test/1.jpg", "http://larger.test/2.jpg"]).await;
    let job = app.done(&job).await;
    assert_eq!(job["uploaded"]["complete"].as_array().map(Vec::len), Some(1), "{job}");
    let reason = job["errors"]["http://larger.test/2.jpg"].as_str().unwrap();
    assert!(reason.contains("12582912 bytes") && reason.contains("MAX_FILE_SIZE"), "{reason}");
}

#[tokio::test]
async fn existing_images_are_served_and_resized_after_limits_are_lowered() {
    let mut app = TestApp::start().await;
    let mut stored = Vec::new();
    for file in [jpeg(900, 700, 1), png(900, 700, 2), webp(900, 700, 3), gif(900, 700, 2, 4)] {
        stored.push((app.post(Form::upload("alice", &file)).await.image_id(), file));
    }
    for setting in ["--max-image-side=100", "--max-image-pixels=10000", "--max-file-size=4KiB", "--min-image-side=60"] {
        app.set(setting);
    }
    app.restart().await;
    for (id, file) in &stored {
        assert_eq!(app.get(&format!("/images/{id}")).await.ok()["width"], 900);
        assert_eq!(app.get(&format!("/i/{id}")).await.body, file);
        let made = app.get(&format!("/images/{id}/thumbnail?width=700&format=png")).await;
        assert_eq!((made.status, &made.body[1..4]), (200, &b"PNG"[..]));
    }
    assert!(rejection(&app, &jpeg(101, 60, 9)).await.contains("at most"));
}

#[tokio::test]
async fn an_image_that_exceeds_the_memory_budget_is_rejected_and_the_error_names_the_budget() {
    let settings = ["--max-image-side=20000", "--max-image-pixels=200000000", "--decode-memory-budget=208MiB"];
    let app = TestApp::with(&settings).await;
    // Decoding an interlaced image needs all of it in memory: 400 MB. The header alone shows that.
    let mut file = png(60, 60, 1);
    let mut ihdr = [&b"IHDR"[..], &10_000_u32.to_be_bytes(), &10_000_u32.to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
    let mut checksum = flate2::Crc::new();
    checksum.update(&ihdr);
    ihdr.extend(checksum.sum().to_be_bytes());
    file[12..33].copy_from_slice(&ihdr);
    let reason = rejection(&app, &file).await;
    for words in ["10000×10000", "limit of 256 MiB", "DECODE_MEMORY_BUDGET"] {
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn the_limits_are_published_by_the_api_and_in_the_openapi_document() {
    let app = TestApp::start().await;
    let expected = json!({
        "min_file_size": 1024, "max_file_size": 10_485_760,
        "min_image_side": 50, "max_image_side": 4000, "max_image_pixels": 16_000_000, "oversize": "reject",
        "max_animation_pixels": 200_000_000,
        "content_types": ["image/jpeg", "image/png", "image/gif", "image/webp"],
        "keep_location": false,
        "allow_keep_location": false,
        "max_title_length": 200, "max_description_length": 1000, "max_tags": 10, "max_tag_length": 50,
        "max_import_urls": 100, "max_pending_imports": 1000, "max_open_uploads": 20, "max_open_upload_bytes": 209_715_200,
        "thumbnail_sizes": ["small", "medium", "200", "400"], "min_thumbnail_side": 16, "max_thumbnail_side": 2000,
    });
    let answer = app.get("/limits").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    assert_eq!(answer.ok(), expected);
    assert_error(&app.get("/limits?all=true").await, 422, "ValidationError");
    let described = |document: &Value| document["components"]["schemas"]["UploadForm"]["properties"]["file"].to_string();
    let document = app.get("/openapi.json").await.ok();
    assert!(described(&document).contains("1 KiB (1024 bytes) to 10 MiB (10485760 bytes)"), "{}", described(&document));
    assert_eq!(document["components"]["schemas"]["Limits"]["examples"][0], expected);

    let settings = ["--max-file-size=12MiB", "--max-image-side=8192", "--max-image-pixels=50000000", "--thumbnail-heights=none"];
    let app = TestApp::with(&settings).await;
    let limits = app.get("/limits").await.ok();
    assert_eq!((&limits["max_file_size"], &limits["max_image_side"]), (&json!(12 << 20), &json!(8192)));
    assert_eq!((&limits["max_image_pixels"], &limits["thumbnail_sizes"]), (&json!(50_000_000), &json!(["small", "medium"])));
    let document = app.get("/openapi.json").await.ok();
    for words in ["12 MiB (12582912 bytes)", "8192×8192", "50000000"] {
        assert!(described(&document).contains(words), "{}", described(&document));
    }
}

// Scaling down.

/// The limits of phone photos, scaled down.
const SHRINKING: [&str; 4] = ["--oversize=shrink", "--max-image-side=400", "--max-image-pixels=120000", "--max-file-size=400KiB"];

#[tokio::test]
async fn an_oversized_image_is_stored_scaled_down_with_its_metadata() {
    let mut app = TestApp::with(&SHRINKING).await;
    for (orientation, width, height) in [(1, 400, 300), (6, 300, 400)] {
        let texts = [(0x010f, "Acme"), (0x0110, "Shot 1")];
        let file = jpeg_with_exif(1000, 750, orientation, &texts);
        let answer = app.post(Form::upload("alice", &file)).await;
        let image = answer.image();
        let from = if orientation == 6 { (750, 1000) } else { (1000, 750) };
        assert_eq!(image["metadata"]["shrunk_from"], json!({"width": from.0, "height": from.1}));
        assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)));
        assert_eq!(
            (&image["metadata"]["orientation"], &image["metadata"]["camera"]),
            (&json!(orientation), &json!("Acme Shot 1"))
        );
        let id = answer.image_id();
        let stored = app.get(&format!("/i/{id}")).await;
        assert!(stored.body.len() < file.len() && stored.body.windows(6).any(|window| window == b"Exif\0\0"));
        assert_eq!(image["file_size"], stored.body.len());
        let sum: String = Sha256::digest(&stored.body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(image["sha256"], sum);
        assert_eq!(app.get(&format!("/images/{id}")).await.ok()["metadata"], image["metadata"]);
    }
    for (file, format) in [(png(600, 500, 1), "png"), (transparent_png(500, 500, 1), "png"), (webp(600, 450, 2), "webp")] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        let side = |name: &str| image[name].as_u64().unwrap();
        assert!(side("width").max(side("height")) <= 400 && side("width") * side("height") <= 120_000, "{image}");
        assert_eq!(image["format"], format);
    }
    let image = app.post(Form::upload("alice", &jpeg(400, 300, 1))).await.image();
    assert_eq!(image["metadata"]["shrunk_from"], Value::Null);
    app.assert_sound().await;
    // Lists show the same, also after a restart.
    app.set("--oversize=reject");
    app.restart().await;
    let page = app.get("/images?limit=10").await.ok();
    let shrunk = page["images"].as_array().unwrap().iter().filter(|image| !image["metadata"]["shrunk_from"].is_null()).count();
    assert_eq!(shrunk, 5);
    assert!(rejection(&app, &jpeg(1000, 750, 3)).await.contains("MAX_IMAGE_SIDE"));
}

#[tokio::test]
async fn a_repeated_upload_of_an_oversized_image_returns_the_first_response() {
    let app = TestApp::with(&SHRINKING).await;
    let form = || Form::upload("alice", &jpeg(1000, 750, 1));
    let first = app.post_with_key("once", form()).await.ok();
    assert_eq!(app.post_with_key("once", form()).await.ok()["image_id"], first["image_id"]);
    let other = app.post_with_key("once", Form::upload("alice", &jpeg(1000, 750, 2))).await;
    assert_error(&other, 422, "ValidationError");
}

#[tokio::test]
async fn an_oversized_imported_image_is_scaled_down() {
    let world = World::new();
    world.site("large.test", |_, _| picture(&jpeg(1000, 750, 1))).await;
    let app = TestApp::within(world, &SHRINKING).await;
    let job = app.import(&["http://large.test/1.jpg"]).await;
    assert_eq!(app.done(&job).await["uploaded"]["complete"].as_array().map(Vec::len), Some(1));
    let image = app.get("/images").await.ok()["images"][0].clone();
    assert_eq!(image["metadata"]["shrunk_from"], json!({"width": 1000, "height": 750}));
}

#[tokio::test]
async fn an_oversized_image_that_cannot_be_scaled_down_is_rejected_with_a_reason() {
    let app = TestApp::with(&SHRINKING).await;
    let mut cut = jpeg(1000, 750, 1);
    cut.truncate(cut.len() / 2);
    for (file, words) in [
        (gif(500, 100, 1, 1), "GIF files and animations are not scaled down"),
        (animated_webp(500, 400, 3), "GIF files and animations are not scaled down"),
        (padded(flat_jpeg(1000, 60), 4096), "fewer pixels than MIN_IMAGE_SIDE"),
        (padded(flat_jpeg(60, 60), 400 * 1024 + 1), "MAX_FILE_SIZE"),
        (cut, "the image is damaged"),
    ] {
        let reason = rejection(&app, &file).await;
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    app.assert_sound().await;
    assert_eq!(app.get("/limits").await.ok()["oversize"], "shrink");
    let document = app.get("/openapi.json").await;
    assert!(document.text().contains("A larger still image is scaled down"));
}
