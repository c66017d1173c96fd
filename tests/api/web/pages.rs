//! The pages: who gets them, what they load, and the headers that protect them.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::Url;
use serde_json::json;

use crate::harness::{Answer, Form, TestApp, assert_error, pictures};

const BROWSER_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// The limit for all scripts and styles that a page can load, compressed.
const MAX_COMPRESSED_BYTES: usize = 60 * 1024;

/// Returns the values of attributes such as `src="…"`.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Returns what the page loads, as absolute URLs.
fn loaded_by(app: &TestApp, path: &str, page: &str) -> Vec<Url> {
    let base = Url::parse(&app.url(path)).unwrap();
    let addresses = attributes(page, "src").into_iter().chain(attributes(page, "href"));
    addresses.map(|address| base.join(address).unwrap()).collect()
}

#[tokio::test]
async fn browsers_get_the_gallery_and_other_clients_the_documentation() {
    let app = TestApp::start().await;
    for (accept, location) in [(BROWSER_ACCEPT, "app/"), ("*/*", "docs/"), ("application/json", "docs/")] {
        let answer = app.get_with("/", "accept", accept).await;
        assert_eq!((answer.status, answer.header("location")), (307, location), "{accept}");
        assert!(answer.header("vary").split(',').any(|name| name.trim() == "accept"), "{}", answer.header("vary"));
    }
    let answer = app.get("/app").await;
    assert_eq!((answer.status, answer.header("location")), (307, "app/"));
}

#[tokio::test]
async fn pages_can_be_turned_off() {
    let app = TestApp::with(&["--pages=false"]).await;
    for accept in [BROWSER_ACCEPT, "*/*"] {
        let answer = app.get_with("/", "accept", accept).await;
        assert_eq!((answer.status, answer.header("location")), (307, "docs/"), "{accept}");
    }
    for path in ["/app", "/app/", "/app/tiles", "/app/session/refresh"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
    assert_eq!(app.get("/redoc").await.status, 200);
}

#[tokio::test]
async fn pages_load_only_files_of_their_own_that_caches_keep_forever() {
    let app = TestApp::start().await;
    let image = "images/01a22671-fe30-7a1d-858e-79bad2aa491c";
    let (opened, collected) = (format!("/app/{image}"), format!("/app/collections/c/{image}"));
    for path in ["/app/", &opened, "/app/collections", "/app/collections/c", &collected, "/app/account", "/app/admin/audit"] {
        let page = app.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        let loaded = loaded_by(&app, path, page.text());
        assert!(loaded.len() > 2, "{loaded:?}");
        for url in loaded {
            // A proxy may serve the pages below a path prefix, and only them.
            assert!(url.as_str().starts_with(&app.url("/app/assets/")), "{url}");
            let file = app.get(url.path()).await;
            assert_eq!((file.status, file.header("cache-control")), (200, "public, max-age=31536000, immutable"), "{url}");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
        }
        assert!(!attributes(page.text(), "src").iter().any(|address| address.starts_with('/')), "{}", page.text());
    }
    // A page of another version must not get the files of this one.
    assert_error(&app.get("/app/assets/0123456789abcdef/app.js").await, 404, "NotFound");
}

#[tokio::test]
async fn pages_contain_no_inline_scripts_or_styles_and_cannot_be_framed() {
    let app = TestApp::start().await;
    let page = app.get("/app/").await;
    let text = page.text();
    assert!(text.matches("<script").count() == 1 && text.contains("<script type=\"module\" src=\""), "{text}");
    for inline in ["<style", " style=", " onload=", " onclick=", "javascript:"] {
        assert!(!text.contains(inline), "{inline}");
    }
    let policy = page.header("content-security-policy");
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{rule} is not in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
}

#[tokio::test]
async fn files_are_compressed_for_clients_that_accept_it_and_stay_below_the_limit() {
    let app = TestApp::start().await;
    let page = app.get("/app/").await;
    let folder = attributes(page.text(), "src")[0].strip_suffix("app.js").unwrap();
    let base = Url::parse(&app.url("/app/")).unwrap().join(folder).unwrap();
    let names = ["app.js", "app.css", "vendor/thumbhash/thumbhash.js"];
    let mut total = 0;
    for url in names.map(|name| base.join(name).unwrap()) {
        let plain = app.get(url.path()).await;
        let compressed = app.get_with(url.path(), "accept-encoding", "gzip, br").await;
        assert_eq!((plain.header("content-encoding"), compressed.header("content-encoding")), ("", "gzip"), "{url}");
        assert!(compressed.header("vary").contains("accept-encoding"));
        assert_eq!(decompress(&compressed), plain.body.to_vec(), "{url}");
        total += compressed.body.len();
        assert!(!plain.text().contains("\nimport "), "{url} imports another file");
    }
    assert!(total <= MAX_COMPRESSED_BYTES, "all scripts and styles are {total} bytes");
}

fn decompress(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(answer.body.as_ref()).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test]
async fn a_page_learns_who_uses_it() {
    let trusted = TestApp::start().await;
    assert!(trusted.get("/app/").await.text().contains("data-identity=\"name\" data-user=\"\""));
    let named = trusted.get_with("/app/", "x-user-id", "ann").await;
    assert!(named.text().contains("data-identity=\"gateway\" data-user=\"ann\""), "{}", named.text());
    let required = TestApp::with(&["--auth-mode=required"]).await;
    for header in [("accept", "*/*"), ("x-user-id", "ann")] {
        let page = required.get_with("/app/", header.0, header.1).await;
        assert!(page.text().contains("data-identity=\"account\" data-user=\"\""), "{}", page.text());
    }
    assert_error(&trusted.get_with("/app/", "x-user-id", "<script>").await, 422, "ValidationError");
}

#[tokio::test]
async fn administrators_have_three_pages() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    for (name, status) in [("accounts", 200), ("plans", 200), ("audit", 200), ("keys", 404)] {
        let page = app.get_with(&format!("/app/admin/{name}"), "accept", BROWSER_ACCEPT).await;
        assert_eq!((page.status, page.header("content-type")), (status, "text/html; charset=utf-8"), "{name}");
    }
}

#[tokio::test]
async fn an_image_page_reveals_nothing_about_images() {
    let app = TestApp::start().await;
    let form = Form::upload("ann", &pictures::jpeg(300, 200, 1)).text("visibility", "private").text("title", "Secret garden");
    let id = app.post(form).await.image_id();
    let existing = app.get(&format!("/app/images/{id}")).await;
    let missing = app.get("/app/images/01a22671-fe30-7a1d-858e-79bad2aa491c").await;
    assert_eq!(existing.text(), missing.text());
    assert_error(&app.get("/app/images/x").await, 404, "NotFound");
    assert_eq!(app.patch("ann", &id, &json!({"visibility": "public"})).await.status, 200);
    assert_eq!(app.get(&format!("/app/images/{id}")).await.text(), missing.text());
}
