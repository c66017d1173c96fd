//! `GET /images/{id}/thumbnail`: which sizes and formats can be requested, and what is returned.

use serde_json::Value;

use crate::harness::pictures::{flat_jpeg, gif, half_clear_png, jpeg, padded, png, png_of, transparent_png, webp};
use crate::harness::pixels::Pixels;
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp, file: &[u8]) -> String {
    app.post(Form::upload("alice", file)).await.image_id()
}

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn sizes_from_16_to_2000_are_created_and_larger_ones_are_clamped() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(3000, 2500, 1)).await;
    for (query, pixels) in [
        ("width=16", (16, 13)),
        ("width=2000", (2000, 1667)),
        ("height=16", (19, 16)),
        ("height=2000", (2400, 2000)),
        ("width=2000&height=16", (19, 16)),
        ("width=600&height=600", (600, 500)),
        ("width=600&height=600&fit=contain", (600, 500)),
        ("width=16&height=2000&fit=cover", (16, 2000)),
        ("width=2000&height=2000&fit=cover", (2000, 2000)),
        // Next.js requests the width of the largest screens.
        ("width=2048", (2000, 1667)),
        ("width=3840", (2000, 1667)),
        ("height=99999999999999999999", (2400, 2000)),
        ("width=99999999999999999999&height=100&fit=cover", (2000, 8)),
        ("width=3840&height=100", (120, 100)),
        ("width=3840&height=1920&fit=cover", (2000, 1000)),
        ("width=16&fit=&height=", (16, 13)),
        // Values in any case, and a format by its usual file extension.
        ("width=16&format=jpg", (16, 13)),
        ("width=16&height=2000&fit=Cover&format=JPEG", (16, 2000)),
    ] {
        assert_eq!(Pixels::of(&app.get(&format!("/images/{id}/thumbnail?{query}")).await).size(), pixels, "{query}");
    }
    for (query, broken) in [
        ("", vec!["width"]),
        ("fit=contain", vec!["width"]),
        ("fit=cover", vec!["width"]),
        ("width=15", vec!["width"]),
        ("height=15&width=100", vec!["height"]),
        ("width=0&height=-1", vec!["height", "width"]),
        ("width=", vec!["width"]),
        ("width=1e2", vec!["width"]),
        ("width=+99", vec!["width"]),
        ("width=100&width=100", vec!["width"]),
        ("width=100&fit=cover", vec!["height"]),
        ("height=100&fit=cover", vec!["width"]),
        ("width=100&fit=fill", vec!["fit"]),
        ("width=100&format=gif", vec!["format"]),
        ("width=100&format=avif", vec!["format"]),
        ("width=100&quality=0", vec!["quality"]),
        ("width=100&quality=101", vec!["quality"]),
        ("width=100&quality=80.5", vec!["quality"]),
        ("width=100&Width=100&w=1", vec!["Width"]),
        ("width=1&height=1&fit=x&format=x&quality=x&x=x", vec!["fit", "format", "height", "quality", "width"]),
    ] {
        let answer = app.get(&format!("/images/{id}/thumbnail?{query}")).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), broken, "{query}");
    }
}

#[tokio::test]
async fn quality_from_1_to_100_affects_the_size() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(900, 900, 1)).await;
    for format in ["jpeg", "webp"] {
        let mut lengths = Vec::new();
        for quality in ["1", "80", "100"] {
            let answer = app.get(&format!("/images/{id}/thumbnail?width=300&format={format}&quality={quality}")).await;
            assert_eq!(Pixels::of(&answer).size(), (300, 300));
            lengths.push(answer.body.len());
        }
        assert!(lengths.is_sorted_by(|a, b| a < b), "{format}: {lengths:?}");
    }
    let lossless = async |quality| app.get(&format!("/images/{id}/thumbnail?width=300&format=png&quality={quality}")).await;
    assert_eq!(lossless(1).await.header("etag"), lossless(100).await.header("etag"), "a PNG has no quality");
}

#[tokio::test]
async fn equal_requests_share_one_object() {
    let app = TestApp::start().await;
    let id = upload(&app, &jpeg(800, 600, 1)).await;
    let before = app.storage().keys().await.len();
    let mut tags = Vec::new();
    for query in [
        "width=320",
        "height=240",
        "width=320&height=2000",
        "height=240&width=1999&fit=contain&format=jpeg",
        "width=320&height=240&fit=cover&quality=80",
    ] {
        tags.push(app.get(&format!("/images/{id}/thumbnail?{query}")).await.header("etag").to_owned());
    }
    tags.dedup();
    assert_eq!((tags.len(), app.storage().keys().await.len()), (1, before + 1));
    // Any size larger than the image gives the same result.
    let whole = app.get(&format!("/images/{id}/thumbnail?width=2000")).await;
    assert_eq!(Pixels::of(&whole).size(), (800, 600));
    assert_eq!(app.get(&format!("/images/{id}/thumbnail?width=900&height=1000")).await.header("etag"), whole.header("etag"));
    // A size that was created at upload is not created again.
    for (query, size) in [("width=512", "medium"), ("height=128&width=128", "small"), ("height=400&format=jpeg", "400")] {
        let answer = app.get(&format!("/images/{id}/thumbnail?{query}")).await;
        assert_eq!(answer.header("etag"), app.get(&format!("/images/{id}/thumbnails/{size}")).await.header("etag"), "{query}");
    }
    assert_eq!(app.storage().keys().await.len(), before + 2);
    assert_eq!(app.metric("variants_total{result=\"made\"}").await, 2.0);
    assert_eq!(app.metric("variants_total{result=\"hit\"}").await, 5.0);
}

#[tokio::test]
async fn cover_crops_to_the_centre() {
    let app = TestApp::start().await;
    for file in [jpeg(1200, 400, 1), png(1200, 400, 1), webp(1200, 400, 1)] {
        let id = upload(&app, &file).await;
        // Created once from the original and once from a thumbnail.
        for side in [320, 32] {
            let decoded = Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width={side}&height={side}&fit=cover")).await);
            assert_eq!(decoded.size(), (side, side));
            for (across, shade) in [(0.05, 89), (0.5, 127), (0.95, 166)] {
                decoded.assert_at(across, 0.5, [shade, 127, 128, 255]);
            }
            decoded.assert_at(0.5, 0.05, [127, 13, 128, 255]);
            decoded.assert_at(0.5, 0.95, [127, 242, 128, 255]);
        }
    }
    let id = upload(&app, &jpeg(100, 80, 1)).await;
    let decoded = Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width=400&height=100&fit=cover")).await);
    assert_eq!(decoded.size(), (400, 100), "cover has the exact size, even if it is larger");
    assert_eq!(
        Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width=400")).await).size(),
        (100, 80),
        "contain is never larger"
    );
}

#[tokio::test]
async fn every_row_of_a_very_long_image_has_the_same_weight() {
    let app = TestApp::start().await;
    for (width, height) in [(4000, 50), (3000, 60), (2000, 100), (800, 100), (50, 4000)] {
        // Black, and white from the middle of the shorter side on.
        let white = |x: u32, y: u32| if width > height { y * 2 >= height } else { x * 2 >= width };
        let rgb = (0..width * height).flat_map(|at| [if white(at % width, at / width) { 255 } else { 0 }; 3]);
        let id = upload(&app, &png_of(width, height, &rgb.collect::<Vec<u8>>())).await;
        let side = if width > height { "width" } else { "height" };
        for pixels in [16, 20, 32, 40, 64, 128, 300] {
            let resized = Pixels::of(&app.get(&format!("/images/{id}/thumbnail?{side}={pixels}&format=png")).await);
            let grey = resized.rgba.iter().map(|pixel| f64::from(pixel[0])).sum::<f64>() / resized.rgba.len() as f64;
            assert!((grey - 127.5).abs() < 4.0, "{width}x{height} at {pixels}: {grey}");
        }
    }
}

#[tokio::test]
async fn transparency_is_kept_in_png_and_webp_and_becomes_white_in_jpeg() {
    let app = TestApp::start().await;
    let id = upload(&app, &half_clear_png(1200, 900)).await;
    for width in [50, 700] {
        for format in ["png", "webp"] {
            let decoded = Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width={width}&format={format}")).await);
            assert!(decoded.has_alpha);
            assert_eq!(decoded.at(0.25, 0.75)[3], 0, "{format}");
            decoded.assert_at(0.75, 0.75, [200, 30, 30, 255]);
        }
        let decoded = Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width={width}&format=jpeg")).await);
        decoded.assert_at(0.25, 0.75, [255, 255, 255, 255]);
        decoded.assert_at(0.75, 0.75, [200, 30, 30, 255]);
    }
}

#[tokio::test]
async fn accept_decides_if_no_format_is_named() {
    let app = TestApp::start().await;
    let (opaque, clear) = (upload(&app, &png(700, 700, 1)).await, upload(&app, &half_clear_png(700, 700)).await);
    let chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
    for (accept, of_opaque, of_clear) in [
        ("*/*", "image/jpeg", "image/png"),
        (chrome, "image/webp", "image/webp"),
        ("image/jpeg,image/webp;q=0.5", "image/jpeg", "image/webp"),
        ("image/webp;q=0,image/*", "image/jpeg", "image/png"),
        ("text/html", "image/jpeg", "image/png"),
        ("image/png", "image/png", "image/png"),
        ("image/jpeg", "image/jpeg", "image/jpeg"),
        (";;,,", "image/jpeg", "image/png"),
    ] {
        for (id, expected) in [(&opaque, of_opaque), (&clear, of_clear)] {
            let answer = app.get_with(&format!("/images/{id}/thumbnail?width=600"), "Accept", accept).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{accept}");
            assert_eq!(answer.header("vary").to_lowercase(), "accept", "{accept}");
            Pixels::of(&answer);
        }
    }
    let named = app.get_with(&format!("/images/{opaque}/thumbnail?width=600&format=png"), "Accept", chrome).await;
    assert_eq!((named.header("content-type"), named.header("vary")), ("image/png", ""), "a named format takes precedence");
}

#[tokio::test]
async fn every_upload_format_can_be_resized_to_every_output_format() {
    let app = TestApp::start().await;
    for file in [
        jpeg(300, 200, 1),
        padded(flat_jpeg(300, 200), 20_000),
        png(300, 200, 1),
        transparent_png(300, 200, 1),
        gif(300, 200, 3, 1),
        webp(300, 200, 1),
    ] {
        let id = upload(&app, &file).await;
        for format in ["jpeg", "png", "webp"] {
            for (query, size) in [("height=150", (225, 150)), ("width=40&height=60&fit=cover", (40, 60)), ("width=16", (16, 11))]
            {
                let answer = app.get(&format!("/images/{id}/thumbnail?{query}&format={format}")).await;
                assert_eq!(answer.header("content-type"), format!("image/{format}"));
                assert_eq!(Pixels::of(&answer).size(), size);
            }
        }
    }
    app.assert_sound().await;
}
