//! Uploads: which files are accepted and which are rejected, to the exact byte and pixel.

use serde_json::{Value, json};

use crate::harness::pictures::{self, flat_jpeg, gif, jpeg, padded, png, webp};
use crate::harness::{Form, TestApp, assert_error};

const MIB: usize = 1024 * 1024;

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_image_is_stored_and_fully_described() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    app.clock.stop_at("2026-01-31T12:00:00.123456Z");
    let form = Form::new()
        .text("user_id", "alice")
        .text("title", "A title")
        .text("description", "Two\nlines")
        .text("tags", "Sea, sun")
        .file_named("sunset.jpg", "image/jpeg", &file);
    let answer = app.post(form).await;
    let mut body = answer.ok();
    let id = answer.image_id();
    for url in ["/image/download_url", "/image/thumbnail_url", "/image/thumbnails/small/url", "/image/thumbnails/medium/url"] {
        let url = body.pointer_mut(url).expect(url);
        assert!(url.as_str().is_some_and(|url| url.contains("X-Amz-Signature=") && url.contains(&id)), "{url}");
        *url = json!("(presigned)");
    }
    let colors = body["image"]["colors"].take();
    let colors: Vec<&str> = colors.as_array().unwrap().iter().map(|color| color.as_str().unwrap()).collect();
    assert!((3..=7).contains(&colors.len()), "{colors:?}");
    assert!(colors.iter().all(|color| color.len() == 7 && color.starts_with('#') && *color == color.to_lowercase()));
    let time = body["image"]["processing_time"].take();
    assert!(time.as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 60.0), "{time}");
    let placeholder = body["image"]["placeholder"].take();
    assert!(placeholder.as_str().is_some_and(|text| (20..=36).contains(&text.len())), "{placeholder}");
    assert_eq!(id[14..15], *"7", "{id}");
    let expected = json!({
        "message": "Image uploaded successfully",
        "image_id": id,
        "image": {
            "image_id": id,
            "created_at": "2026-01-31T12:00:00.123Z",
            "updated_at": "2026-01-31T12:00:00.123Z",
            "user_id": "alice",
            "visibility": "public",
            "title": "A title",
            "description": "Two\nlines",
            "tags": ["sea", "sun"],
            "file_name": "sunset.jpg",
            "file_size": file.len(),
            "content_type": "image/jpeg",
            "width": 640,
            "height": 480,
            "format": "jpeg",
            "download_url": "(presigned)",
            "thumbnail_url": "(presigned)",
            "thumbnails": {
                "small": {"width": 128, "height": 96, "url": "(presigned)"},
                "medium": {"width": 512, "height": 384, "url": "(presigned)"},
            },
            "colors": null,
            "placeholder": null,
            "sha256": hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&file)),
            "metadata": {
                "created_at": null, "modified_at": null, "camera": null, "orientation": 1,
                "has_alpha": false, "animated": false, "frames": 1, "credentials": "none", "shrunk_from": null,
            },
            "caption": null,
            "caption_status": "off",
            "caption_model": null,
            "caption_error": null,
            "processing_time": null,
        },
    });
    assert_eq!(body, expected);
    assert_eq!(app.get(&format!("/images/{id}")).await.ok(), answer.image(), "the stored image matches the response");
}

#[tokio::test]
async fn the_format_is_detected_from_the_content_not_from_name_or_type() {
    let app = TestApp::start().await;
    let files = [
        ("jpeg", "image/jpeg", jpeg(80, 60, 1)),
        ("png", "image/png", png(80, 60, 2)),
        ("gif", "image/gif", gif(80, 60, 1, 3)),
        ("webp", "image/webp", webp(80, 60, 4)),
    ];
    for (format, content_type, file) in &files {
        for (name, declared) in [("a.jpg", "image/jpeg"), ("a.png", "image/png"), ("a.txt", "text/plain"), ("a", "nonsense")] {
            let form = Form::new().text("user_id", "alice").file_named(name, declared, file);
            let image = app.post(form).await.image();
            assert_eq!((&image["format"], &image["content_type"]), (&json!(format), &json!(content_type)), "{name}");
            assert_eq!((&image["width"], &image["height"]), (&json!(80), &json!(60)));
            assert_eq!(image["file_name"], name);
        }
    }
}

#[tokio::test]
async fn files_of_other_formats_are_415_whatever_their_name_or_type() {
    let app = TestApp::start().await;
    let long = |start: &[u8]| padded(start.to_vec(), 4096);
    let files = [
        b"just text, and short".to_vec(),
        long(b"<svg xmlns=\"http://www.w3.org/2000/svg\">"),
        long(b"<!doctype html><script>alert(1)</script>"),
        long(b"BM\x36\x10\0\0"),
        long(b"II*\0\x08\0\0\0"),
        long(b"%PDF-1.7"),
        long(b"\0\0\0\x18ftypheic"),
        long(b"RIFF\xff\x0f\0\0WAVE"),
        long(b"\x89PNG\r\n\x1a\r"),
        long(b"GIF88a"),
        long(b"\xff\xd8"),
        long(b" \xff\xd8\xff\xe0"),
        long(b"\0"),
    ];
    for file in files {
        let form = Form::new().text("user_id", "alice").file_named("photo.jpg", "image/jpeg", &file);
        let details = assert_error(&app.post(form).await, 415, "UnsupportedMediaType");
        assert_eq!(details, json!({}));
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
}

#[tokio::test]
async fn phone_formats_that_are_not_accepted_are_named_in_the_error() {
    let app = TestApp::start().await;
    let cases = [(&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"), (b"\0\0\0\x14ftypavif\0\0\0\0mif1", "AVIF")];
    for (head, name) in cases {
        let answer = app.post(Form::upload("alice", &padded(head.to_vec(), 4096))).await;
        assert_error(&answer, 415, "UnsupportedMediaType");
        let message = format!("The file is {name}, which is not accepted. Convert it to JPEG first.");
        assert_eq!(answer.json()["message"], message);
    }
}

#[tokio::test]
async fn a_file_has_1024_bytes_to_10_mib() {
    let app = TestApp::start().await;
    let small = flat_jpeg(50, 50);
    for (length, taken) in [(1023, false), (1024, true), (10 * MIB, true), (10 * MIB + 1, false), (10 * MIB + 50_000, false)] {
        let answer = app.post(Form::upload("alice", &padded(small.clone(), length))).await;
        if taken {
            assert_eq!(answer.image()["file_size"], length);
        } else {
            let details = assert_error(&answer, 400, "InvalidFile");
            assert_eq!(keys(&details), ["file"], "{length}");
            assert!(details["file"].as_str().unwrap().contains(if length < MIB { "1024" } else { "10485760" }), "{details}");
        }
    }
    for file in [&b""[..], b"\xff\xd8\xff"] {
        assert_eq!(keys(&assert_error(&app.post(Form::upload("alice", file)).await, 400, "InvalidFile")), ["file"]);
    }
}

#[tokio::test]
async fn a_file_of_10_mib_can_be_sent_with_every_other_field_at_its_longest() {
    let app = TestApp::start().await;
    let tags = (0..10_u8).map(|n| format!("{n}{}", "語".repeat(49))).collect::<Vec<_>>().join(",");
    let form = Form::upload(&"u".repeat(255), &padded(flat_jpeg(50, 50), 10 * MIB))
        .text("title", &"🌅".repeat(200))
        .text("description", &"🌅".repeat(1000))
        .text("tags", &tags);
    assert_eq!(app.post(form).await.image()["file_size"], 10 * MIB);
}

#[tokio::test]
async fn each_side_has_50_to_4000_pixels() {
    let app = TestApp::start().await;
    type Make = fn(u32, u32) -> Vec<u8>;
    let gif_of: Make = |width, height| gif(width.try_into().unwrap(), height.try_into().unwrap(), 1, 1);
    let formats: [(&str, Make); 4] = [
        ("jpeg", |width, height| padded(flat_jpeg(width, height), 200_000)),
        ("png", |width, height| png(width, height, 1)),
        ("gif", gif_of),
        ("webp", |width, height| webp(width, height, 1)),
    ];
    for (format, make) in formats {
        for (width, height) in [(50, 50), (4000, 50), (50, 4000)] {
            let image = app.post(Form::upload("alice", &make(width, height))).await.image();
            assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "{format}");
        }
        for (width, height) in [(49, 50), (50, 49), (4001, 50), (50, 4001), (1, 1), (4000, 49)] {
            let file = make(width, height);
            let file = if file.len() < 1024 { padded(file, 1024) } else { file };
            let details = assert_error(&app.post(Form::upload("alice", &file)).await, 400, "InvalidFile");
            let reason = details["file"].as_str().unwrap();
            let limit = if width < 50 || height < 50 { "must have at least 50 pixels" } else { "may have at most 4000 pixels" };
            assert!(reason.contains(&format!("{width}×{height}")) && reason.contains(limit), "{format}: {reason}");
        }
    }
    let image = app.post(Form::upload("alice", &flat_jpeg(4000, 4000))).await.image();
    assert_eq!((&image["width"], &image["height"]), (&json!(4000), &json!(4000)));
    assert_eq!(image["thumbnails"]["medium"]["width"], 512);
}

#[tokio::test]
async fn width_and_height_are_as_displayed() {
    let app = TestApp::start().await;
    for orientation in 1..=8 {
        let file = pictures::jpeg_with_exif(300, 50, orientation, &[]);
        let image = app.post(Form::upload("alice", &file)).await.image();
        let turned = orientation >= 5;
        let (width, height) = if turned { (50, 300) } else { (300, 50) };
        assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "orientation {orientation}");
        let small = &image["thumbnails"]["small"];
        let (width, height) = if turned { (21, 128) } else { (128, 21) };
        assert_eq!((&small["width"], &small["height"]), (&json!(width), &json!(height)), "orientation {orientation}");
        assert_eq!(image["metadata"]["orientation"], orientation);
    }
    // The limits apply to the displayed dimensions too: 4001 pixels are too many in either direction.
    let answer = app.post(Form::upload("alice", &pictures::jpeg_with_exif(4001, 50, 6, &[]))).await;
    assert_error(&answer, 400, "InvalidFile");
}

#[tokio::test]
async fn thumbnails_keep_the_aspect_ratio_and_are_never_enlarged() {
    let app = TestApp::start().await;
    for (width, height, small, medium) in [
        (50, 50, (50, 50), (50, 50)),
        (128, 64, (128, 64), (128, 64)),
        (512, 300, (128, 75), (512, 300)),
        (300, 900, (43, 128), (171, 512)),
        (4000, 50, (128, 2), (512, 6)),
    ] {
        let image = app.post(Form::upload("alice", &png(width, height, 1))).await.image();
        let size = |name: &str| {
            let thumbnail = &image["thumbnails"][name];
            (thumbnail["width"].as_u64().unwrap(), thumbnail["height"].as_u64().unwrap())
        };
        assert_eq!((size("small"), size("medium")), (small, medium), "{width}×{height}");
    }
}

#[tokio::test]
async fn metadata_of_the_file_is_returned() {
    let app = TestApp::start().await;
    let texts = [(0x010f, "Canon"), (0x0110, "Canon EOS 80D"), (0x0132, "2019:04:16 18:19:50")];
    let image = app.post(Form::upload("alice", &pictures::jpeg_with_exif(60, 60, 1, &texts))).await.image();
    let expected = json!({
        "created_at": null, "modified_at": "2019-04-16T18:19:50", "camera": "Canon EOS 80D", "orientation": 1,
        "has_alpha": false, "animated": false, "frames": 1, "credentials": "none", "shrunk_from": null,
    });
    assert_eq!(image["metadata"], expected);
    let image = app.post(Form::upload("alice", &pictures::transparent_png(60, 60, 1))).await.image();
    assert_eq!(image["metadata"]["has_alpha"], true);
    for file in [gif(60, 60, 3, 1), pictures::animated_webp(60, 60, 3)] {
        let metadata = &app.post(Form::upload("alice", &file)).await.image()["metadata"];
        assert_eq!((&metadata["animated"], &metadata["frames"]), (&json!(true), &json!(3)));
    }
}

#[tokio::test]
async fn an_animated_gif_has_a_limited_number_of_pixels() {
    let app = TestApp::with(&["--max-animation-pixels=16000000"]).await;
    // The limit is 400 × 400 × 100 frames.
    let image = app.post(Form::upload("alice", &gif(400, 400, 100, 1))).await.image();
    assert_eq!(image["metadata"]["frames"], 100);
    let details = assert_error(&app.post(Form::upload("alice", &gif(400, 400, 101, 1))).await, 400, "InvalidFile");
    assert!(details["file"].as_str().unwrap().contains("16000000"), "{details}");
}

#[tokio::test]
async fn an_animated_webp_has_a_limited_number_of_pixels() {
    let app = TestApp::with(&["--max-animation-pixels=16000000"]).await;
    let image = app.post(Form::upload("alice", &pictures::animated_webp(2000, 2000, 4))).await.image();
    assert_eq!(image["metadata"]["frames"], 4);
    let answer = app.post(Form::upload("alice", &pictures::animated_webp(2000, 2000, 5))).await;
    assert_error(&answer, 400, "InvalidFile");
}

#[tokio::test]
async fn a_truncated_file_is_rejected_wherever_it_is_cut() {
    let app = TestApp::start().await;
    for file in [jpeg(400, 300, 1), png(400, 300, 1), gif(400, 300, 1, 1), webp(400, 300, 1), gif(100, 100, 5, 1)] {
        let cuts = (1..20).map(|twentieth| file.len() * twentieth / 20).chain([file.len() - 100, file.len() - 20]);
        for cut in cuts.filter(|cut| *cut >= 1024) {
            let details = assert_error(&app.post(Form::upload("alice", &file[..cut])).await, 400, "InvalidFile");
            assert_eq!(keys(&details), ["file"], "cut to {cut} of {} bytes", file.len());
        }
        app.post(Form::upload("alice", &file)).await.ok();
    }
}

#[tokio::test]
async fn a_file_that_lacks_only_its_end_marker_is_accepted_and_stored_unchanged() {
    let app = TestApp::start().await;
    for (file, end_bytes) in [(jpeg(400, 300, 1), 2), (png(400, 300, 1), 12), (gif(400, 300, 1, 1), 1)] {
        for missing in 1..=end_bytes {
            let image = app.post(Form::upload("alice", &file[..file.len() - missing])).await.image();
            assert_eq!(image["file_size"], file.len() - missing, "{missing} bytes are missing");
        }
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn a_jpeg_with_missing_data_is_rejected() {
    let app = TestApp::start().await;
    let file = jpeg(400, 300, 1);
    for tenth in 3..9 {
        let at = file.len() * tenth / 10;
        let without = [&file[..at], &file[at + 500..]].concat();
        assert_error(&app.post(Form::upload("alice", &without)).await, 400, "InvalidFile");
        let mut blanked = file.clone();
        blanked[at..at + 500].fill(0);
        assert_error(&app.post(Form::upload("alice", &blanked)).await, 400, "InvalidFile");
    }
}

#[tokio::test]
async fn a_damaged_png_gif_or_webp_is_rejected() {
    let app = TestApp::start().await;
    // Damages the header or the pixel data. Between the two a GIF has a palette, in which every byte is valid.
    for (file, header) in [(png(400, 300, 1), 20), (webp(400, 300, 1), 20), (gif(400, 300, 1, 1), 13 + 768)] {
        for at in [header, file.len() / 2] {
            let mut damaged = file.clone();
            damaged[at..at + 200].fill(0xff);
            assert_error(&app.post(Form::upload("alice", &damaged)).await, 400, "InvalidFile");
        }
    }
}

#[tokio::test]
async fn a_header_alone_is_rejected() {
    let app = TestApp::start().await;
    for start in [&b"\xff\xd8\xff\xe0"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xf8\x0f\0\0WEBPVP8 "] {
        let answer = app.post(Form::upload("alice", &padded(start.to_vec(), 4096))).await;
        assert_eq!(keys(&assert_error(&answer, 400, "InvalidFile")), ["file"], "{start:?}");
    }
}

#[tokio::test]
async fn a_rejected_upload_leaves_nothing() {
    let app = TestApp::start().await;
    let file = jpeg(400, 300, 1);
    for file in [&file[..file.len() / 2], b"text", &jpeg(49, 50, 1)] {
        assert_ne!(app.post(Form::upload("alice", file).text("tags", "a")).await.status, 200);
    }
    app.post(Form::upload("no spaces", &file)).await;
    for list in ["/images", "/users/alice/images", "/tags/a/images"] {
        assert_eq!(app.get(list).await.ok()["total_count"], 0);
    }
    assert!(app.storage().keys().await.is_empty());
    app.assert_sound().await;
}

#[tokio::test]
async fn the_same_file_twice_is_two_images() {
    let app = TestApp::start().await;
    let file = jpeg(60, 60, 1);
    let (first, second) =
        (app.post(Form::upload("alice", &file)).await.image(), app.post(Form::upload("alice", &file)).await.image());
    assert_ne!(first["image_id"], second["image_id"]);
    assert_eq!(first["sha256"], second["sha256"]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}
