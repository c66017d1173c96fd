//! Files in memory: they are sent without the storage, but only after the same checks as from the storage, and within the limit.

use http::Method;
use serde_json::json;

use crate::harness::accounts::Login;
use crate::harness::metrics::sample_value;
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::files_below;
use crate::harness::{Answer, Form, TestApp, assert_error};

/// Everything of an image that can be cached.
fn paths(id: &str) -> [String; 4] {
    [
        format!("/images/{id}/thumbnails/small"),
        format!("/images/{id}/thumbnails/200"),
        format!("/images/{id}/thumbnail?width=80"),
        format!("/i/{id}"),
    ]
}

async fn assert_all(app: &TestApp, id: &str, status: u16) {
    for path in paths(id) {
        assert_eq!(app.get(&path).await.status, status, "{path}");
    }
}

async fn cached(app: &TestApp) -> (f64, f64) {
    let metrics = app.get("/metrics").await;
    (sample_value(&metrics, "image_service_cache_hits_total"), sample_value(&metrics, "image_service_cache_in_use_bytes"))
}

async fn upload(app: &TestApp, seed: u64) -> String {
    app.post(Form::upload("alice", &jpeg(640, 480, seed))).await.image_id()
}

#[tokio::test]
async fn a_file_that_was_requested_before_is_sent_from_memory() {
    let app = TestApp::start().await;
    let id = upload(&app, 1).await;
    let mut first: Vec<Answer> = Vec::new();
    for path in paths(&id) {
        first.push(app.get(&path).await);
    }
    let (hits, bytes) = cached(&app).await;
    assert!(bytes > first.iter().map(|answer| answer.body.len() as f64).sum::<f64>(), "{bytes}");
    for (path, first) in paths(&id).iter().zip(&first) {
        let again = app.get(path).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{path}");
        for header in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(again.headers.get(header), first.headers.get(header), "{header} of {path}");
        }
        let head = app.send(app.request(Method::HEAD, path)).await;
        assert_eq!(head.headers["content-length"], first.headers["content-length"], "HEAD {path}");
    }
    assert!(cached(&app).await.0 >= hits + 4.0);
}

#[tokio::test]
async fn parts_of_a_file_in_memory_are_the_same_as_from_the_storage() {
    let app = TestApp::with(&["--cache-memory=64MiB"]).await;
    let file = padded(jpeg(640, 480, 1), 300_000);
    let id = app.post(Form::upload("alice", &file)).await.image_id();
    let path = format!("/i/{id}");
    for _ in 0..2 {
        for range in ["0-0", "0-", "5-70000", "65530-65545", "100-299999", "-1", "-200000", "299999-"] {
            let part = app.get_with(&path, "Range", &format!("bytes={range}")).await;
            let (from, to) = match range.split_once('-').unwrap() {
                ("", last) => (file.len() - last.parse::<usize>().unwrap(), file.len()),
                (from, "") => (from.parse().unwrap(), file.len()),
                (from, to) => (from.parse().unwrap(), to.parse::<usize>().unwrap() + 1),
            };
            assert_eq!((part.status, &part.body[..]), (206, &file[from..to]), "{range}");
        }
        assert_error(&app.get_with(&path, "Range", "bytes=300000-").await, 416, "RangeNotSatisfiable");
        assert_eq!(&app.get(&path).await.body[..], &file[..]);
    }
    assert!(cached(&app).await.0 > 0.0);
}

#[tokio::test]
async fn deletion_visibility_and_takedown_apply_immediately_to_files_in_memory() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = upload(&app, 1).await;
    assert_all(&app, &id, 200).await;
    for _ in 0..2 {
        app.patch("alice", &id, &json!({"visibility": "private"})).await.ok();
        assert_all(&app, &id, 404).await;
        for path in paths(&id) {
            assert_eq!(app.by("alice", Method::GET, &path).await.status, 200, "the owner, {path}");
            assert_eq!(app.by("bob", Method::GET, &path).await.status, 404, "another user, {path}");
        }
        app.patch("alice", &id, &json!({"visibility": "public"})).await.ok();
        assert_all(&app, &id, 200).await;
        app.delete("alice", &id).await.ok();
        assert_all(&app, &id, 404).await;
        app.restore("alice", &id).await.ok();
        assert_all(&app, &id, 200).await;
    }
    let take_down = app.send(app.request_as(&admin, Method::DELETE, &format!("/images/{id}"))).await;
    assert_eq!(take_down.status, 200);
    assert_all(&app, &id, 404).await;
    let other = upload(&app, 2).await;
    assert_all(&app, &other, 200).await;
    assert_eq!(app.by("alice", Method::DELETE, &format!("/images/{other}?purge=true")).await.status, 200);
    assert_all(&app, &other, 404).await;
    app.sweep_all().await;
    app.assert_sound().await;
}

async fn set_plan(app: &TestApp, admin: &Login, account: &str, plan: &str) {
    let path = format!("/accounts/{account}");
    assert_eq!(app.json_as(admin, Method::PATCH, &path, &json!({"plan": plan})).await.status, 200);
}

#[tokio::test]
async fn plans_apply_immediately_to_files_in_memory() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let all = json!({"name": "All", "thumbnails": ["small", "200"], "original": true, "custom_sizes": true});
    let none = json!({"name": "Nothing"});
    for plan in [&all, &none] {
        assert_eq!(app.json_as(&admin, Method::POST, "/plans", plan).await.status, 201);
    }
    let id = upload(&app, 1).await;
    assert_all(&app, &id, 200).await;
    // A plan applies from the creation of the account, for images that its user already has.
    let ann = app.account(&admin, "alice", &json!({"plan": "Nothing"})).await;
    assert_all(&app, &id, 403).await;
    set_plan(&app, &admin, &ann.id, "All").await;
    assert_all(&app, &id, 200).await;
    for (features, status) in
        [(json!({}), 403), (json!({"thumbnails": ["small", "200"], "original": true, "custom_sizes": true}), 200)]
    {
        assert_eq!(app.json_as(&admin, Method::PUT, "/plans/All", &features).await.status, 200);
        assert_all(&app, &id, status).await;
    }
    set_plan(&app, &admin, &ann.id, "Nothing").await;
    assert_all(&app, &id, 403).await;
}

/// Removes the files of all objects from the kernel's page cache, where the file system supports it.
fn drop_page_cache(app: &TestApp) {
    for path in app.objects_dir().map(|directory| files_below(&directory)).unwrap_or_default() {
        let file = std::fs::File::open(path).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

#[tokio::test]
async fn files_are_the_same_from_the_page_cache_and_from_the_disk() {
    let app = TestApp::with(&["--cache-memory=0"]).await;
    let file = padded(jpeg(640, 480, 1), 1_000_000);
    let image = app.post(Form::upload("alice", &file)).await.ok();
    let path = format!("/i/{}", image["image_id"].as_str().unwrap());
    for _ in 0..3 {
        drop_page_cache(&app);
        assert_eq!(app.get(&path).await.body, file);
        // From the page cache.
        assert_eq!(app.get(&path).await.body, file);
        drop_page_cache(&app);
        let part = app.get_with(&path, "Range", "bytes=300000-899999").await;
        assert_eq!((part.status, &part.body[..]), (206, &file[300_000..900_000]));
        drop_page_cache(&app);
        assert_eq!(app.fetch(image["image"]["download_url"].as_str().unwrap()).await.body, file);
    }
}

#[tokio::test]
async fn the_memory_stays_within_its_limit_and_0_turns_the_cache_off() {
    let app = TestApp::with(&["--cache-memory=256KiB"]).await;
    for seed in 0..80 {
        let id = app.post(Form::upload("alice", &jpeg(100, 100, seed))).await.image_id();
        assert_eq!(app.get(&format!("/images/{id}/thumbnails/small")).await.status, 200);
        assert!(cached(&app).await.1 <= f64::from(256 << 10));
    }
    assert!(cached(&app).await.1 > f64::from(64 << 10));
    let app = TestApp::with(&["--cache-memory=0"]).await;
    let id = upload(&app, 1).await;
    for _ in 0..2 {
        assert_all(&app, &id, 200).await;
    }
    assert_eq!(cached(&app).await, (0.0, 0.0));
}
