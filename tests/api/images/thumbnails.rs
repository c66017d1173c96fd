//! `GET /images/{id}/thumbnails/{size}`: which thumbnails are created at upload, and the headers of all image
//! responses.

use reqwest::Method;
use serde_json::json;

use crate::harness::pictures::{half_clear_png, jpeg, jpeg_with_exif, webp};
use crate::harness::pixels::Pixels;
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp, file: &[u8]) -> String {
    app.post(Form::upload("alice", file)).await.image_id()
}

#[tokio::test]
async fn small_medium_and_the_configured_heights_are_served() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(1600, 900, 1)).await;
    for (size, pixels) in [("small", (128, 72)), ("medium", (512, 288)), ("200", (356, 200)), ("400", (711, 400))] {
        let answer = app.get(&format!("/images/{id}/thumbnails/{size}")).await;
        assert_eq!(answer.header("content-type"), "image/jpeg");
        assert_eq!(answer.header("vary"), "", "{size}");
        let decoded = Pixels::of(&answer);
        assert_eq!(decoded.size(), pixels);
        decoded.assert_at(0.25, 0.75, [64, 191, 128, 255]);
    }
    assert_eq!(app.storage().keys().await.len(), 5, "the original and the thumbnails created at upload");
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 0.0);
    // The image object shows only the sizes that every image has.
    let image = app.get(&format!("/images/{id}")).await.ok();
    let shown: Vec<&String> = image["thumbnails"].as_object().unwrap().keys().collect();
    assert_eq!(shown, ["medium", "small"]);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_served_thumbnail_is_the_one_linked_in_the_image_object() {
    let app = TestApp::start().await;
    for file in [jpeg(600, 400, 1), half_clear_png(600, 400), webp(60, 60, 1)] {
        let image = app.post(Form::upload("alice", &file)).await.image();
        for size in ["small", "medium"] {
            let linked = app.fetch(image["thumbnails"][size]["url"].as_str().unwrap()).await;
            let served = app.get(&format!("/images/{}/thumbnails/{size}", image["image_id"].as_str().unwrap())).await;
            assert_eq!((linked.header("content-type"), &linked.body), (served.header("content-type"), &served.body));
        }
    }
}

#[tokio::test]
async fn a_panorama_is_scaled_by_height_to_its_full_width() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(4000, 500, 1)).await;
    let decoded = Pixels::of(&app.get(&format!("/images/{id}/thumbnails/400")).await);
    assert_eq!(decoded.size(), (3200, 400));
}

#[tokio::test]
async fn small_images_are_never_enlarged_or_stored_twice() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(300, 100, 1)).await;
    for size in ["medium", "200", "400"] {
        assert_eq!(Pixels::of(&app.get(&format!("/images/{id}/thumbnails/{size}")).await).size(), (300, 100), "{size}");
    }
    assert_eq!(app.storage().keys().await.len(), 3);
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 0.0);
}

#[tokio::test]
async fn thumbnails_are_upright_in_every_orientation() {
    let app = TestApp::start().await;
    for orientation in 1..=8 {
        let id = upload(&app, &jpeg_with_exif(900, 600, orientation, &[])).await;
        for (path, height) in [("thumbnails/400", 400), ("thumbnails/small", 0), ("thumbnail?height=90&width=90&fit=cover", 90)] {
            let decoded = Pixels::of(&app.get(&format!("/images/{id}/{path}")).await);
            if path == "thumbnails/400" {
                assert_eq!(decoded.size(), if orientation > 4 { (267, height) } else { (600, height) }, "{orientation}");
            }
            // A square crop keeps the middle part of the longer side.
            let part = if path.contains("cover") { (2.0 / 3.0, 1.0 / 6.0) } else { (1.0, 0.0) };
            let (across, down) = (0.3, 0.8);
            let (x, y) = match orientation {
                1 => (across, down),
                2 => (1.0 - across, down),
                3 => (1.0 - across, 1.0 - down),
                4 => (across, 1.0 - down),
                5 => (down, across),
                6 => (down, 1.0 - across),
                7 => (1.0 - down, 1.0 - across),
                _ => (1.0 - down, across),
            };
            let shade = |share: f64| (share * 255.0) as u8;
            decoded.assert_at(across, down, [shade(x * part.0 + part.1), shade(y), 128, 255]);
        }
    }
}

#[tokio::test]
async fn transparency_is_kept() {
    let app = TestApp::start().await;
    let id = upload(&app, &half_clear_png(600, 450)).await;
    for size in ["small", "medium", "200", "400"] {
        let answer = app.get(&format!("/images/{id}/thumbnails/{size}")).await;
        assert_eq!(answer.header("content-type"), "image/webp", "{size}");
        let decoded = Pixels::of(&answer);
        decoded.assert_at(0.75, 0.75, [200, 30, 30, 255]);
        assert_eq!(decoded.at(0.25, 0.75)[3], 0, "{size}");
    }
}

#[tokio::test]
async fn a_height_configured_after_the_upload_is_created_on_first_request() {
    let mut app = TestApp::with(&["--thumbnail-heights=none"]).await;
    let (opaque, clear) = (upload(&app, &jpeg(1600, 900, 1)).await, upload(&app, &half_clear_png(900, 900)).await);
    assert_eq!(app.storage().keys().await.len(), 6);
    assert_error(&app.get(&format!("/images/{opaque}/thumbnails/300")).await, 400, "BadRequest");
    app.set("--thumbnail-heights=300");
    app.restart().await;
    for (id, media_type, pixels) in [(opaque, "image/jpeg", (533, 300)), (clear, "image/webp", (300, 300))] {
        let path = format!("/images/{id}/thumbnails/300");
        let first = app.get(&path).await;
        assert_eq!((first.header("content-type"), Pixels::of(&first).size()), (media_type, pixels));
        let again = app.get(&path).await;
        assert_eq!((again.body, again.headers["etag"].clone()), (first.body.clone(), first.headers["etag"].clone()));
    }
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 2.0);
    assert_eq!(app.storage().keys().await.len(), 8);
    app.assert_sound().await;
}

#[tokio::test]
async fn an_unknown_size_is_400_and_names_the_known_ones() {
    let app = TestApp::with(&["--thumbnail-heights=400,16"]).await;
    let id = upload(&app, &jpeg(60, 60, 1)).await;
    for size in ["large", "200", "0", "h400", "0400", "400px", "Small", "-1", "99999999999", "%20", "small.jpg"] {
        let answer = app.get(&format!("/images/{id}/thumbnails/{size}")).await;
        let details = assert_error(&answer, 400, "BadRequest");
        assert_eq!(details, json!({"size": "must be one of small, medium, 400, 16"}), "{size}");
    }
    assert_error(&app.get(&format!("/images/{id}/thumbnails/")).await, 404, "NotFound");
    assert_error(&app.get(&format!("/images/{id}/thumbnails/small/x")).await, 404, "NotFound");
    assert_eq!(app.get(&format!("/images/{id}/thumbnails/small?_=1690000000000")).await.status, 200);
}

#[tokio::test]
async fn an_unknown_or_deleted_image_has_no_thumbnails() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(600, 600, 1)).await;
    let paths = ["thumbnails/small", "thumbnails/200", "thumbnail?width=100", "thumbnail?width=600&format=png"];
    for path in paths {
        Pixels::of(&app.get(&format!("/images/{id}/{path}")).await);
        for other in ["01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a", "1", "null"] {
            assert_error(&app.get(&format!("/images/{other}/{path}")).await, 404, "NotFound");
        }
    }
    app.delete("alice", &id).await.ok();
    for path in paths {
        let path = format!("/images/{id}/{path}");
        assert_error(&app.get(&path).await, 404, "NotFound");
        assert_error(&app.get_with(&path, "If-None-Match", "*").await, 404, "NotFound");
    }
    app.restore("alice", &id).await.ok();
    for path in paths {
        Pixels::of(&app.get(&format!("/images/{id}/{path}")).await);
    }
}

#[tokio::test]
async fn a_matching_etag_gets_a_304() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(600, 400, 1)).await;
    let mut tags = Vec::new();
    for path in ["thumbnails/small", "thumbnails/medium", "thumbnail?width=300&format=jpeg", "thumbnail?width=300"] {
        let path = format!("/images/{id}/{path}");
        let whole = app.get(&path).await;
        let etag = whole.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "a strong ETag: {etag}");
        assert_eq!(whole.header("cache-control"), "public, max-age=3600");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            for method in [Method::GET, Method::HEAD] {
                let answer = app.send(app.request(method, &path).header("If-None-Match", &known)).await;
                assert_eq!((answer.status, answer.body.len(), answer.header("content-type")), (304, 0, ""), "{known}");
                for header in ["etag", "cache-control", "vary"] {
                    assert_eq!(answer.header(header), whole.header(header));
                }
            }
        }
        for other in ["\"other\"", "", &etag.replace('"', ""), &etag.to_uppercase()] {
            assert_eq!(app.get_with(&path, "If-None-Match", other).await.body, whole.body, "{other}");
        }
        tags.push(etag);
    }
    assert_eq!(tags[2], tags[3], "the same bytes have the same ETag");
    tags.truncate(3);
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "different bytes have different ETags");
}

#[tokio::test]
async fn head_returns_the_headers_of_get() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(600, 400, 1)).await;
    // The second one is requested with HEAD before it exists.
    for path in ["thumbnails/medium", "thumbnail?width=77&format=webp"] {
        let path = format!("/images/{id}/{path}");
        let head = app.send(app.request(Method::HEAD, &path)).await;
        let get = app.get(&path).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for header in ["content-type", "content-length", "etag", "cache-control"] {
            assert!(!get.header(header).is_empty() && head.header(header) == get.header(header), "{header}");
        }
        let again = app.send(app.request(Method::HEAD, &path)).await;
        assert_eq!(again.header("content-length"), get.header("content-length"));
    }
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 1.0);
}
