//! Public links: `GET /i/{image_id}`, whole files and ranges.

use reqwest::Method;

use crate::harness::pictures::{gif, jpeg, png, webp};
use crate::harness::{Answer, Form, TestApp, assert_error};

async fn with(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(app.request(method, path), |request, (name, value)| request.header(*name, *value));
    app.send(request).await
}

#[tokio::test]
async fn a_public_link_returns_the_file_without_credentials() {
    let app = TestApp::start().await;
    for (file, content_type) in [
        (jpeg(300, 200, 1), "image/jpeg"),
        (png(120, 90, 1), "image/png"),
        (gif(90, 90, 2, 1), "image/gif"),
        (webp(90, 90, 1), "image/webp"),
    ] {
        let extension = content_type.trim_start_matches("image/").replace("jpeg", "jpg");
        let form = Form::new().text("user_id", "alice").file_named("ein Bild.bin", "text/html", &file);
        let image = app.post(form).await.image();
        let path = format!("/i/{}", image["image_id"].as_str().unwrap());
        let endings = ["/sunset.jpg", "/%E2%98%80", "/", ".jpg", ".JPEG", ".png", "?fbclid=1"];
        for path in std::iter::once(path.clone()).chain(endings.map(|ending| format!("{path}{ending}"))) {
            let answer = app.get(&path).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{path}");
            assert!(answer.body == file);
            assert_eq!(answer.header("content-length"), file.len().to_string());
            assert_eq!(answer.header("etag"), format!("\"{}\"", image["sha256"].as_str().unwrap()));
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(
                answer.header("content-disposition"),
                format!("inline; filename=\"ein Bild.bin.{extension}\"; filename*=UTF-8''ein%20Bild.bin.{extension}")
            );
            assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
            assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("accept-ranges"), "bytes");
        }
    }
}

#[tokio::test]
async fn a_matching_etag_gets_a_304_and_head_returns_only_headers() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let path = format!("/i/{}", app.post(Form::upload("alice", &file)).await.image_id());
    let etag = app.get(&path).await.header("etag").to_owned();
    for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
        // The client has the whole file, so the range does not matter.
        let answer = with(&app, Method::GET, &path, &[("if-none-match", &known), ("range", "bytes=0-3")]).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, etag.as_str()), "{known}");
    }
    assert_eq!(app.get_with(&path, "if-none-match", "\"other\"").await.status, 200);
    let head = app.send(app.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, file.len().to_string().as_str()));
    // Ranges apply only to GET.
    let head = with(&app, Method::HEAD, &path, &[("range", "bytes=10-19")]).await;
    assert_eq!((head.status, head.header("content-length")), (200, file.len().to_string().as_str()));
}

#[tokio::test]
async fn a_single_range_is_a_206_and_an_invalid_range_is_ignored() {
    let app = TestApp::start().await;
    let file = jpeg(900, 700, 1);
    let length = file.len();
    let path = format!("/i/{}", app.post(Form::upload("alice", &file)).await.image_id());
    for (range, part) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=100-199".to_owned(), 100..200),
        (format!("bytes={}-", length - 7), length - 7..length),
        ("bytes=-5".to_owned(), length - 5..length),
        (format!("bytes=5-{}", length * 2), 5..length),
        (format!("bytes=-{}", length * 2), 0..length),
        ("bytes=0-".to_owned(), 0..length),
    ] {
        let answer = app.get_with(&path, "range", &range).await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == file[part.clone()], "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/{length}", part.start, part.end - 1));
        assert_eq!(answer.header("content-length"), part.len().to_string());
        assert_eq!(answer.header("content-type"), "image/jpeg");
    }
    for range in ["bytes=0-1,5-6", "bytes=9-3", "lines=0-1", "bytes=x-", "nonsense"] {
        let answer = app.get_with(&path, "range", range).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("content-range")), (200, length, ""), "{range}");
    }
    for range in [format!("bytes={length}-"), format!("bytes={}-{}", length + 5, length + 9), "bytes=-0".to_owned()] {
        let answer = app.get_with(&path, "range", &range).await;
        assert_error(&answer, 416, "RangeNotSatisfiable");
        assert_eq!(answer.header("content-range"), format!("bytes */{length}"), "{range}");
    }
}

#[tokio::test]
async fn if_range_with_another_version_returns_the_whole_file() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let path = format!("/i/{}", app.post(Form::upload("alice", &file)).await.image_id());
    let etag = app.get(&path).await.header("etag").to_owned();
    let status =
        async |only_of: &str| with(&app, Method::GET, &path, &[("range", "bytes=0-9"), ("if-range", only_of)]).await.status;
    assert_eq!(status(&etag).await, 206);
    for other in ["\"other\"", &format!("W/{etag}"), "Sun, 22 Nov 2026 08:00:00 GMT", ""] {
        assert_eq!(status(other).await, 200, "{other}");
    }
}

#[tokio::test]
async fn a_link_is_404_while_its_image_is_deleted() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image_id();
    let etag = app.get(&format!("/i/{id}")).await.header("etag").to_owned();
    app.delete("alice", &id).await;
    for path in [format!("/i/{id}"), format!("/i/{id}/name.jpg")] {
        assert_error(&app.get(&path).await, 404, "NotFound");
        assert_error(&app.get_with(&path, "if-none-match", &etag).await, 404, "NotFound");
        assert_error(&app.get_with(&path, "range", "bytes=0-1").await, 404, "NotFound");
    }
    app.restore("alice", &id).await;
    assert_eq!(app.get(&format!("/i/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_link_to_an_unknown_image_is_404() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image_id();
    for path in ["/i/nobody", "/i/019aa5c6-0000-7000-8000-000000000000", "/i/%ff", "/i/nobody/x.jpg", "/i/%ff/x.jpg"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
    for path in ["/i/".to_owned(), "/i".to_owned(), format!("/i/{id}/a/b")] {
        assert_error(&app.get(&path).await, 404, "NotFound");
    }
    assert_error(&app.send(app.request(Method::DELETE, &format!("/i/{id}"))).await, 405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_link_serves_the_original_without_location_metadata() {
    let app = TestApp::start().await;
    let file = crate::harness::pictures::jpeg_with_exif(300, 200, 6, &[(0x010f, "Maker")]);
    let image = app.post(Form::upload("alice", &file)).await.image();
    let linked = app.get(&format!("/i/{}", image["image_id"].as_str().unwrap())).await;
    let presigned = app.fetch(image["download_url"].as_str().unwrap()).await;
    assert!(linked.body == presigned.body);
    assert_eq!(linked.body.len() as u64, image["file_size"].as_u64().unwrap());
}

#[tokio::test]
async fn the_cache_lifetime_of_a_link_is_configurable() {
    let app = TestApp::with(&["--link-max-age=60"]).await;
    let id = app.post(Form::upload("alice", &jpeg(300, 200, 1))).await.image_id();
    assert_eq!(app.get(&format!("/i/{id}")).await.header("cache-control"), "public, max-age=60, immutable");
}

#[tokio::test]
async fn a_lost_or_truncated_original_is_an_error() {
    let app = TestApp::start().await;
    let file = jpeg(300, 200, 1);
    let image = app.post(Form::upload("alice", &file)).await.image_id();
    let key = format!("{}/{image}/original", &image[image.len() - 2..]);
    let path = format!("/i/{image}");
    app.storage().put(&key, b"short").await;
    let lifetime = serde_json::json!({"expires_in": 3000});
    let link = app.request(http::Method::POST, &format!("/images/{image}/links")).header("X-User-Id", "alice").json(&lifetime);
    let link = app.send(link).await.json()["link"].as_str().expect("a link").to_owned();
    let view = reqwest::Url::parse(&link).unwrap().path().to_owned();
    for _ in 0..2 {
        assert_error(&app.get(&path).await, 500, "InternalServerError");
        assert_error(&app.get(&view).await, 500, "InternalServerError");
    }
    app.storage().delete(&key).await;
    assert_error(&app.get(&path).await, 500, "FileMissing");
    // Once it is restored, it is sent.
    app.storage().put(&key, &file).await;
    assert_eq!(&app.get(&path).await.body[..], &file[..]);
    assert_eq!(&app.get(&view).await.body[..], &file[..]);
}
