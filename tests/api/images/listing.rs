//! Lists: order, filters and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::app::ids_of;
use crate::harness::pictures::{Random, jpeg};
use crate::harness::{Form, TestApp, assert_error};

/// Uploads an image at least a millisecond after the previous one, so that their order is defined.
pub async fn upload(app: &TestApp, user: &str, tags: &str) -> String {
    app.clock.advance(TimeDelta::seconds(1));
    app.post(Form::upload(user, &jpeg(50, 50, 1)).text("tags", tags)).await.image_id()
}

/// Returns the ids of a list. Its count must match when there is a single page.
async fn list(app: &TestApp, path: &str) -> Vec<String> {
    let page = app.get(path).await.ok();
    let ids = ids_of(&page);
    assert_eq!(
        (&page["total_count"], &page["has_more"], &page["next_page_token"]),
        (&json!(ids.len()), &json!(false), &Value::Null),
        "{path}"
    );
    ids
}

#[tokio::test]
async fn an_empty_list_is_an_empty_page() {
    let app = TestApp::start().await;
    let empty = json!({"images": [], "total_count": 0, "next_page_token": null, "has_more": false});
    for path in ["/images", "/images?tags=sea&user_id=a&start_date=2026-01-01", "/users/nobody/images", "/tags/nothing/images"] {
        assert_eq!(app.get(path).await.ok(), empty, "{path}");
    }
}

#[tokio::test]
async fn the_newest_image_is_first() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.insert(0, upload(&app, "alice", "sea").await);
    }
    for path in ["/images", "/users/alice/images", "/tags/sea/images", "/images?tags=sea&user_id=alice&start_date=2000-01-01"] {
        assert_eq!(list(&app, path).await, ids, "{path}");
    }
}

#[tokio::test]
async fn filters_can_be_combined_and_every_count_is_exact() {
    let app = TestApp::start().await;
    let a = upload(&app, "alice", "sea,sun").await;
    let b = upload(&app, "alice", "sea").await;
    let c = upload(&app, "bob", "sun,sea,sand").await;
    let d = upload(&app, "bob", "").await;
    let e = upload(&app, "Alice", "SUN").await;
    let cases = |all: &[&str]| all.iter().rev().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    for (path, expected) in [
        ("/images", cases(&[&a, &b, &c, &d, &e])),
        ("/images?user_id=alice", cases(&[&a, &b])),
        ("/users/alice/images", cases(&[&a, &b])),
        ("/users/Alice/images", cases(&[&e])),
        ("/users/ali/images", vec![]),
        ("/images?tags=sea", cases(&[&a, &b, &c])),
        ("/tags/sea/images", cases(&[&a, &b, &c])),
        ("/tags/SEA/images", cases(&[&a, &b, &c])),
        ("/images?tags=sea,sun", cases(&[&a, &c])),
        ("/images?tags=sun,sea", cases(&[&a, &c])),
        ("/images?tags=%20Sun%20,,sea,sun", cases(&[&a, &c])),
        ("/images?tags=sea,sun,sand", cases(&[&c])),
        ("/images?tags=sea,moon", vec![]),
        ("/images?tags=se", vec![]),
        ("/images?tags=sun&user_id=Alice", cases(&[&e])),
        ("/images?tags=sea&user_id=bob", cases(&[&c])),
        ("/images?tags=sea,sun&user_id=alice", cases(&[&a])),
        ("/images?tags=sand&user_id=alice", vec![]),
        ("/images?user_id=bob&start_date=2020-01-01", cases(&[&c, &d])),
        ("/images?user_id=bob&end_date=2020-01-01", vec![]),
        ("/images?tags=sea&start_date=2020-01-01&end_date=2999-12-31", cases(&[&a, &b, &c])),
        ("/images?tags=sea,sun&user_id=bob&start_date=2020-01-01&end_date=2999-12-31", cases(&[&c])),
    ] {
        assert_eq!(list(&app, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_stored_count_is_exact_after_every_change() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let first = upload(&app, "alice", "sea,sun,sky").await;
    let other = upload(&app, "bob", "sea,sun").await;
    let lists = [
        "/images?tags=sea,sun",
        "/images?tags=sun,sea,sky",
        "/images?tags=sea,sun&user_id=alice",
        "/images?tags=sea&user_id=alice&start_date=2026-01-31",
        "/images?tags=sea&start_date=2026-01-31",
        "/images?user_id=alice&start_date=2026-01-31",
        "/images?start_date=2026-01-31T00:00:00Z&end_date=2026-01-31T23:59:58Z",
        "/images?tags=sea,nothing",
    ];
    let shown = async || {
        let mut counts = Vec::new();
        for path in lists {
            // The first request computes the count and the second reads it; both match the page.
            counts.push(list(&app, path).await.len());
            assert_eq!(list(&app, path).await.len(), counts[counts.len() - 1], "{path}");
        }
        counts
    };
    assert_eq!(shown().await, [2, 1, 1, 1, 2, 1, 2, 0]);
    let third = upload(&app, "alice", "sea,sun").await;
    assert_eq!(shown().await, [3, 1, 2, 2, 3, 2, 3, 0]);
    app.delete("alice", &first).await.ok();
    assert_eq!(shown().await, [2, 0, 1, 1, 2, 1, 2, 0]);
    // Restores the earlier state, with as many increments as decrements.
    app.restore("alice", &first).await.ok();
    assert_eq!(shown().await, [3, 1, 2, 2, 3, 2, 3, 0]);
    app.patch("bob", &other, &json!({"tags": ["sea", "nothing"]})).await.ok();
    assert_eq!(shown().await, [2, 1, 2, 2, 3, 2, 3, 1]);
    app.patch("alice", &third, &json!({"tags": ["sun"]})).await.ok();
    app.patch("bob", &other, &json!({"tags": ["sun", "sea"]})).await.ok();
    assert_eq!(shown().await, [2, 1, 1, 1, 2, 2, 3, 0]);
    for (user, id) in [("alice", &first), ("bob", &other), ("alice", &third)] {
        app.delete(user, id).await.ok();
    }
    assert_eq!(shown().await, [0; 8]);
    app.assert_sound().await;
}

#[tokio::test]
async fn counts_computed_from_rows_are_exact_during_concurrent_writes() {
    let app = Arc::new(TestApp::start().await);
    let mut moving = Vec::new();
    for _ in 0..6 {
        moving.push(upload(&app, "alice", "sea,sun").await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(Arc::clone(&app), moving.clone(), 7, Arc::clone(&stop), Arc::default()));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                for _ in 0..20 {
                    let count = app.get("/images?tags=sea,sun").await.ok()["total_count"].as_u64().unwrap();
                    assert!(count <= 6, "{count}");
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(app.get("/images?tags=sea,sun").await.ok()["total_count"], app.walk("/images?tags=sea,sun", 100).await.len());
}

#[tokio::test]
async fn tags_in_any_script_are_found_in_any_equivalent_spelling() {
    let app = TestApp::start().await;
    let id = upload(&app, "alice", "Café,日本,new york,a-b_c").await;
    for path in [
        "/tags/caf%C3%A9/images",
        "/tags/CAFE%CC%81/images",
        "/tags/%E6%97%A5%E6%9C%AC/images",
        "/tags/New%20York/images",
        "/tags/a-b_c/images",
        "/images?tags=new+york,caf%C3%A9",
    ] {
        assert_eq!(list(&app, path).await, [id.as_str()], "{path}");
    }
}

#[tokio::test]
async fn user_ids_of_identity_providers_can_be_listed_and_counted() {
    let app = TestApp::start().await;
    let longest = format!("auth0|{}", "5f".repeat(124));
    for user in ["auth0|5f7c8ec7", "ann+photos@example.org", "a~b=", longest.as_str()] {
        let form = Form::upload(user, &jpeg(50, 50, 1)).text("tags", "sea").text("visibility", "private");
        let request = app.upload(form).header("X-User-Id", user).header("Idempotency-Key", "once");
        let id = app.send(request).await.image_id();
        let encoded = user.replace('|', "%7C").replace('+', "%2B");
        for path in
            [format!("/images?user_id={encoded}&tags=sea"), format!("/users/{encoded}/images"), "/tags/sea/images".to_owned()]
        {
            let page = app.by(user, reqwest::Method::GET, &path).await.ok();
            assert_eq!((&page["total_count"], &page["images"][0]["image_id"]), (&json!(1), &json!(id)), "{path}");
            assert_eq!(app.get(&path).await.ok()["total_count"], 0, "{path}");
        }
        assert_eq!(app.by(user, reqwest::Method::GET, "/imports").await.status, 200);
        app.delete(user, &id).await.ok();
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn invalid_filters_are_422() {
    let app = TestApp::start().await;
    let eleven = (0..11).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let (long, long_user) = ("a".repeat(51), "u".repeat(256));
    for (path, field) in [
        ("/images?user_id=a%20b".to_owned(), "user_id"),
        (format!("/images?user_id={long_user}"), "user_id"),
        (format!("/users/{long_user}/images"), "user_id"),
        ("/users/a%2Fb/images".to_owned(), "user_id"),
        ("/users/%00/images".to_owned(), "user_id"),
        ("/images?tags=,%20,".to_owned(), "tags"),
        ("/images?tags=a/b".to_owned(), "tags"),
        (format!("/images?tags={long}"), "tags"),
        (format!("/images?tags={eleven}"), "tags"),
        (format!("/tags/{long}/images"), "tag"),
        ("/tags/a,b/images".to_owned(), "tag"),
        ("/tags/%00/images".to_owned(), "tag"),
        ("/tags/%20/images".to_owned(), "tag"),
        ("/images?start_date=2026-02-30".to_owned(), "start_date"),
        ("/images?start_date=2026-13-01".to_owned(), "start_date"),
        ("/images?start_date=2026-1-1".to_owned(), "start_date"),
        ("/images?start_date=01.02.2026".to_owned(), "start_date"),
        ("/images?start_date=2026-01-31T12:00:00".to_owned(), "start_date"),
        ("/images?end_date=1700000000".to_owned(), "end_date"),
        ("/images?end_date=2026-01-31T24:00:00Z".to_owned(), "end_date"),
        ("/images?end_date=tomorrow".to_owned(), "end_date"),
    ] {
        let details = assert_error(&app.get(&path).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{path}");
    }
}

#[tokio::test]
async fn date_filters_are_inclusive_and_mean_whole_utc_days() {
    let app = TestApp::start().await;
    let times = [
        "2026-01-29T10:00:00.000Z",
        "2026-01-30T23:59:59.999Z",
        "2026-01-31T00:00:00.000Z",
        "2026-01-31T12:00:00.000Z",
        "2026-01-31T23:59:59.999Z",
        "2026-02-01T00:00:00.000Z",
        "2026-02-03T06:00:00.000Z",
    ];
    let mut ids = Vec::new();
    for time in times {
        app.clock.stop_at(time);
        ids.push(app.post(Form::upload("alice", &jpeg(50, 50, 1)).text("tags", "sea,sun")).await.image_id());
    }
    // Which of the times are in the range: from the first index up to, but not including, the second.
    for (range, expected) in [
        ("start_date=2026-01-31&end_date=2026-01-31", 2..5),
        ("start_date=2026-01-31", 2..7),
        ("end_date=2026-01-31", 0..5),
        ("start_date=2026-01-31T12:00:00Z", 3..7),
        ("start_date=2026-01-31T12:00:00.000001Z", 4..7),
        ("end_date=2026-01-31T12:00:00Z", 0..4),
        ("end_date=2026-01-31T11:59:59.999Z", 0..3),
        ("end_date=2026-01-31T11:59:59.999999Z", 0..3),
        ("start_date=2026-01-31T12:00:00Z&end_date=2026-01-31T12:00:00Z", 3..4),
        ("start_date=2026-01-31T13:00:00%2B01:00&end_date=2026-01-31T07:00:00-05:00", 3..4),
        // An unencoded plus sign in a query means a space.
        ("start_date=2026-01-31T13:00:00+01:00", 3..7),
        ("start_date=2026-01-31T00:00:00%2B14:00", 1..7),
        ("start_date=2026-01-30&end_date=2026-02-01", 1..6),
        ("start_date=2026-01-29T10:00:00.001Z&end_date=2026-02-03T05:59:59.999Z", 1..6),
        ("start_date=2026-01-30T23:59:59.999Z&end_date=2026-02-01T00:00:00Z", 1..6),
        ("start_date=2026-02-02&end_date=2026-02-02", 0..0),
        ("start_date=2026-02-01&end_date=2026-01-31", 0..0),
        ("start_date=2026-02-04", 0..0),
        ("end_date=2026-01-28", 0..0),
        ("end_date=1969-12-31", 0..0),
        ("start_date=9999-12-31", 0..0),
        ("start_date=0001-01-01&end_date=9999-12-31", 0..7),
        ("start_date=0000-01-01T00:00:00Z", 0..7),
        ("end_date=9999-12-31T23:59:59.999999Z", 0..7),
    ] {
        let expected: Vec<String> = ids[expected].iter().rev().cloned().collect();
        for filter in ["", "&user_id=alice", "&tags=sea", "&tags=sea,sun", "&tags=sun&user_id=alice"] {
            assert_eq!(list(&app, &format!("/images?{range}{filter}")).await, expected, "{range}{filter}");
        }
        for limit in [1, 3] {
            assert_eq!(app.walk(&format!("/images?{range}"), limit).await, expected, "{range} by {limit}");
        }
        let page = app.get(&format!("/images?{range}&limit=1")).await.ok();
        assert_eq!(page["total_count"], expected.len(), "the count covers all pages");
    }
}

/// Uploads, deletes and restores until stopped, and counts the operations.
pub async fn write(app: Arc<TestApp>, moving: Vec<String>, seed: u64, stop: Arc<AtomicBool>, writes: Arc<AtomicUsize>) {
    let mut random = Random::new(seed + 1);
    while !stop.load(Ordering::Relaxed) {
        let id = random.pick(&moving);
        let status = match random.below(4) {
            0 => app.post(Form::upload("alice", &jpeg(50, 50, seed)).text("tags", "sea")).await.status,
            1 | 2 => app.delete("alice", id).await.status,
            _ => app.restore("alice", id).await.status,
        };
        assert!([200, 409, 410].contains(&status), "{status}");
        writes.fetch_add(1, Ordering::Relaxed);
    }
}
