//! The size of resized images: limited for each image, counted as usage of the owner, and removed first when the quota
//! is used up.

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::clock::Clock;
use image_service::model::id::ImageId;
use image_service::objects::layout;
use image_service::store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{Random, jpeg, padded, png_of};
use crate::harness::pixels::Pixels;
use crate::harness::{Answer, Form, Login, TestApp, assert_error};

const MIB: usize = 1 << 20;

fn variant_path(id: &str, query: &str) -> String {
    format!("/images/{id}/thumbnail?{query}")
}

async fn variants(app: &TestApp) -> Vec<String> {
    app.storage().keys().await.into_iter().filter(|key| key.contains("/t/")).collect()
}

async fn metric(app: &TestApp, result: &str) -> f64 {
    app.metric(&format!("variants_total{{result=\"{result}\"}}")).await
}

/// Returns an image that no format compresses well.
fn noise(side: u32) -> Vec<u8> {
    let mut random = Random::new(u64::from(side));
    let bytes: Vec<u8> = (0..side * side * 3).map(|_| random.below(256) as u8).collect();
    png_of(side, side, &bytes)
}

/// Creates an account whose plan has `max_bytes`.
async fn with_quota(app: &TestApp, max_bytes: usize) -> Login {
    let admin = app.admin().await;
    let plan = json!({"name": "small", "thumbnails": ["small"], "custom_sizes": true, "max_bytes": max_bytes});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    app.account(&admin, "ann", &json!({"plan": "small"})).await
}

async fn usage(app: &TestApp, login: &Login) -> Value {
    app.get_as(login, "/accounts/me").await.ok()["usage"].clone()
}

async fn variant_bytes(app: &TestApp, login: &Login) -> usize {
    usage(app, login).await["variant_bytes"].as_u64().unwrap() as usize
}

// Limits of an image.

#[tokio::test]
async fn the_resized_images_of_an_image_are_limited_to_a_multiple_of_its_original() {
    let app = TestApp::with(&["--max-variants-factor=0"]).await;
    app.clock.stop();
    let id = app.post(Form::upload("alice", &noise(1000))).await.image_id();
    let mut kept: Vec<(String, usize)> = Vec::new();
    let queries: Vec<String> = (0..6).map(|number| format!("width={}&format=png", 800 - number * 40)).collect();
    for query in &queries {
        let answer = app.get(&variant_path(&id, query)).await;
        Pixels::of(&answer);
        kept.push((query.clone(), answer.body.len()));
        app.clock.advance(TimeDelta::days(1));
        app.sweep_all().await;
        // The least recently requested resized images are removed, and no more than necessary.
        let total = |kept: &[(String, usize)]| kept.iter().map(|(_, bytes)| bytes).sum::<usize>();
        while total(&kept) > 4 * MIB {
            kept.remove(0);
        }
        assert_eq!(variants(&app).await.len(), kept.len(), "{query}");
    }
    assert!(kept.len() > 1 && kept.len() < queries.len(), "{kept:?}");
    let made = metric(&app, "made").await;
    for (query, bytes) in &kept {
        assert_eq!(app.get(&variant_path(&id, query)).await.body.len(), *bytes);
    }
    assert_eq!(metric(&app, "made").await, made);
    app.assert_sound().await;
    // Twice the size of a large original is enough for all of them.
    let app = TestApp::with(&["--max-variants-factor=2"]).await;
    let id = app.post(Form::upload("alice", &padded(noise(1000), 9 * MIB))).await.image_id();
    for query in &queries {
        Pixels::of(&app.get(&variant_path(&id, query)).await);
    }
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), queries.len());
    app.assert_sound().await;
}

#[tokio::test]
async fn a_resized_image_over_the_limit_is_sent_but_not_stored() {
    // The first one uses up the maximum number. One that is not stored does not count.
    let app = TestApp::with(&["--max-variants-factor=1", "--max-variants-per-image=1"]).await;
    let id = app.post(Form::upload("alice", &noise(1000))).await.image_id();
    let kept = app.get(&variant_path(&id, "width=300")).await;
    let path = variant_path(&id, "width=2000&height=2000&fit=cover&format=png");
    let first = app.get(&path).await;
    assert_eq!(Pixels::of(&first).size(), (2000, 2000));
    assert!(first.body.len() > 4 * MIB, "{}", first.body.len());
    let again = app.get(&path).await;
    assert!(again.body == first.body && again.header("etag") == first.header("etag"));
    assert_eq!(app.get_with(&path, "If-None-Match", first.header("etag")).await.status, 304);
    let head = app.send(app.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.header("content-length")), (200, first.body.len().to_string().as_str()));
    let answers = join_all((0..3).map(|_| app.get(&path))).await;
    for answer in answers {
        assert!(answer.body == first.body || answer.status == 503, "{}", answer.status);
    }
    assert_eq!((variants(&app).await.len(), metric(&app, "made").await), (1, 1.0), "nothing is removed for it");
    assert!(metric(&app, "not_kept").await >= 4.0);
    assert_eq!(app.get(&variant_path(&id, "width=300")).await.header("etag"), kept.header("etag"));
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_resized_images_that_are_not_stored_reserve_memory_until_they_are_sent() {
    let app = TestApp::with(&["--max-variants-factor=1"]).await;
    let id = app.post(Form::upload("alice", &noise(1000))).await.image_id();
    let path = variant_path(&id, "width=2000&height=2000&fit=cover&format=png");
    // One client that does not read its response, and another.
    let begin = async || app.request(Method::GET, &path).send().await.expect("a response");
    let (first, second) = (begin().await, begin().await);
    assert_eq!(first.status(), 200);
    if second.status() == 503 {
        assert!(second.headers().contains_key("retry-after"));
    }
    drop(second);
    drop(first);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        statuses.push(app.get(&path).await.status);
        assert!(statuses.len() < 200, "the memory is never released: {statuses:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

// Limits of an owner.

#[tokio::test]
async fn resized_images_count_towards_the_quota_and_never_exceed_it() {
    let app = TestApp::start().await;
    app.clock.stop();
    let login = with_quota(&app, 300_000).await;
    let ids = [
        app.post_as(&login, Form::new().file(&padded(jpeg(700, 500, 1), 100_000))).await.image_id(),
        app.post_as(&login, Form::new().file(&padded(jpeg(700, 500, 2), 100_000))).await.image_id(),
    ];
    assert_eq!(variant_bytes(&app, &login).await, 0);
    let mut kept: Vec<usize> = Vec::new();
    let mut driven_out = 0;
    for number in 0..12 {
        let answer = app.get(&variant_path(&ids[number % 2], &format!("width={}&format=png", 100 + number * 8))).await;
        Pixels::of(&answer);
        kept.push(answer.body.len());
        while kept.iter().sum::<usize>() > 100_000 {
            kept.remove(0);
            driven_out += 1;
        }
        app.clock.advance(TimeDelta::seconds(30));
        assert_eq!(variant_bytes(&app, &login).await, kept.iter().sum::<usize>(), "{number}");
    }
    assert!(driven_out > 0 && kept.len() > 1, "{driven_out} {kept:?}");
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), kept.len());
    let shown = usage(&app, &login).await;
    assert_eq!((&shown["bytes"], &shown["bytes_left"]), (&json!(200_000), &json!(100_000)));
    // A resized image that does not fit at all is sent nevertheless.
    let large = app.get(&variant_path(&ids[0], "width=700&format=png")).await;
    assert!(large.body.len() > 100_000);
    Pixels::of(&large);
    assert_eq!(variant_bytes(&app, &login).await, kept.iter().sum::<usize>());
    app.assert_sound().await;
}

#[tokio::test]
async fn resized_images_are_removed_for_uploads_and_restored_images() {
    let app = TestApp::start().await;
    app.clock.stop();
    let login = with_quota(&app, 400_000).await;
    let file = |seed: u64, bytes: usize| Form::new().file(&padded(jpeg(300, 200, seed), bytes));
    let id = app.post_as(&login, file(1, 100_000)).await.image_id();
    let mut sizes = Vec::new();
    for width in [100, 120, 140, 160, 180, 200] {
        let answer: Answer = app.get(&variant_path(&id, &format!("width={width}&format=png"))).await;
        Pixels::of(&answer);
        sizes.push(answer.body.len());
        app.clock.advance(TimeDelta::seconds(30));
    }
    let before = variant_bytes(&app, &login).await;
    assert_eq!(before, sizes.iter().sum::<usize>());
    // An upload that fits removes nothing. One that does not fit removes the oldest resized images, and no more than
    // necessary.
    let beside = 300_000 - before - sizes[0];
    app.post_as(&login, file(2, beside)).await.ok();
    assert_eq!(variant_bytes(&app, &login).await, before);
    let second = app.post_as(&login, file(3, sizes[0] + 1)).await.image_id();
    assert_eq!(variant_bytes(&app, &login).await, before - sizes[0]);
    app.send(app.request_as(&login, Method::DELETE, &format!("/images/{second}"))).await.ok();
    Pixels::of(&app.get(&variant_path(&id, "width=100&format=png")).await);
    let full = variant_bytes(&app, &login).await;
    app.send(app.request_as(&login, Method::POST, &format!("/images/{second}/restore"))).await.ok();
    let left = 400_000 - 100_000 - beside - sizes[0] - 1;
    assert!(variant_bytes(&app, &login).await <= left && left < full, "a restored image needs quota too");
    // All resized images are removed before an upload is rejected.
    let shown = usage(&app, &login).await;
    let left = shown["bytes_left"].as_u64().unwrap() as usize;
    let rejected = app.post_as(&login, file(4, left + 1)).await;
    assert_error(&rejected, 403, "QuotaExceeded");
    assert!(variant_bytes(&app, &login).await > 0, "nothing is removed for a rejected upload");
    app.post_as(&login, file(5, left)).await.ok();
    assert_eq!((variant_bytes(&app, &login).await, &usage(&app, &login).await["bytes_left"]), (0, &json!(0)));
    // After that, resized images are created for each request.
    for _ in 0..2 {
        Pixels::of(&app.get(&variant_path(&id, "width=100&format=png")).await);
    }
    app.sweep_all().await;
    assert_eq!(variants(&app).await.len(), 0);
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_resizes_and_uploads_never_exceed_the_quota() {
    let app = TestApp::start().await;
    let login = with_quota(&app, 1_000_000).await;
    let file = |seed: u64| Form::new().file(&padded(jpeg(400, 300, seed), 80_000));
    let mut ids = Vec::new();
    for seed in 0..4 {
        ids.push(app.post_as(&login, file(seed)).await.image_id());
    }
    let sizes = (0..40).map(|number| {
        let path = variant_path(&ids[number % 4], &format!("width={}&format=png", 200 + number / 4 * 8));
        let app = &app;
        async move { app.get(&path).await }
    });
    let uploads = (0..8).map(|seed| app.post_as(&login, file(10 + seed)));
    let (sizes, uploads) = tokio::join!(join_all(sizes), join_all(uploads));
    for answer in &sizes {
        Pixels::of(answer);
    }
    let stored = uploads.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(stored, 8, "every upload fits, if resized images are removed");
    let shown = usage(&app, &login).await;
    let (bytes, variant_bytes) = (shown["bytes"].as_u64().unwrap(), shown["variant_bytes"].as_u64().unwrap());
    assert_eq!(bytes, 12 * 80_000);
    assert!(bytes + variant_bytes <= 1_000_000, "{shown}");
    app.assert_sound().await;
    app.sweep_all().await;
    app.assert_sound().await;
}

#[tokio::test]
async fn removed_resized_images_no_longer_count() {
    let app = TestApp::with(&["--retention-days=7", "--variant-retention-days=3", "--max-variants-per-image=4"]).await;
    app.clock.stop();
    let login = app.account(&app.admin().await, "ann", &json!({})).await;
    // An access token would expire too early.
    let key = app.key(&login, &json!({})).await;
    let variant_bytes = async || {
        let me = app.send(app.request_by_key(&key, Method::GET, "/accounts/me")).await.ok();
        me["usage"]["variant_bytes"].as_u64().unwrap() as usize
    };
    let upload = async |seed| app.post_as(&login, Form::new().file(&jpeg(700, 500, seed))).await.image_id();
    let (purged, kept) = (upload(1).await, upload(2).await);
    for width in [100, 200, 300, 400, 500, 600] {
        for id in [&purged, &kept] {
            Pixels::of(&app.get(&variant_path(id, &format!("width={width}&format=png"))).await);
        }
    }
    app.assert_sound().await;
    let all = variant_bytes().await;
    app.send(app.request_by_key(&key, Method::DELETE, &format!("/images/{purged}"))).await.ok();
    assert_eq!(variant_bytes().await, all, "resized images are restored with the image");
    app.clock.advance(TimeDelta::days(3));
    let again = app.get(&variant_path(&kept, "width=600&format=png")).await;
    app.clock.advance(TimeDelta::days(2));
    app.sweep_all().await;
    assert_eq!(variant_bytes().await, again.body.len(), "unused resized images are removed");
    let lost = variants(&app).await.remove(0);
    app.storage().delete(&lost).await;
    let path = variant_path(&kept, "width=600&format=png");
    assert_eq!(app.get(&path).await.body.len(), variant_bytes().await, "a recreated resized image counts once");
    app.send(app.request_by_key(&key, Method::DELETE, &format!("/images/{kept}"))).await.ok();
    app.clock.advance(TimeDelta::days(8));
    app.sweep_all().await;
    assert_eq!(variant_bytes().await, 0);
    app.assert_sound().await;
}

#[tokio::test]
async fn the_sweeper_counts_resized_images_of_older_versions() {
    let app = TestApp::start().await;
    let login = app.account(&app.admin().await, "ann", &json!({})).await;
    let id = app.post_as(&login, Form::new().file(&jpeg(700, 500, 1))).await.image_id();
    let (image, now) = (ImageId::parse(&id).unwrap(), app.clock.now());
    let db = app.database().await;
    for (rendering, exists) in [("300x214-q80.jpeg", true), ("320x229-q80.jpeg", false)] {
        let object = layout::variant(rendering, "0123456789");
        let mut tx = db.begin().await.unwrap();
        assert!(store::images::variants::claim(&mut tx, image, rendering, &object, now, now).await.unwrap());
        assert!(store::images::variants::finish(&mut tx, image, &object, now).await.unwrap());
        tx.commit().await.unwrap();
        if exists {
            app.storage().put(&layout::key(image, &object), b"some bytes").await;
        }
    }
    assert_eq!(variant_bytes(&app, &login).await, 0);
    app.sweep_all().await;
    assert_eq!((variant_bytes(&app, &login).await, variants(&app).await.len()), (10, 1));
    app.assert_sound().await;
    db.close().await;
}
