//! Rates: how many requests a minute a caller or an address may make, and what is told of it.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

const NOBODYS: &str = "/images/01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

/// A stopped clock: nothing is refilled by itself.
async fn start(settings: &[&str]) -> TestApp {
    let app = TestApp::with(settings).await;
    app.clock.stop();
    app
}

/// What the answer says of the rate: the policy and what is left.
fn standing(answer: &Answer) -> (&str, &str) {
    (answer.header("ratelimit-policy"), answer.header("ratelimit"))
}

/// That a request was one too many, and how long there is to wait.
#[track_caller]
fn assert_refused(answer: &Answer, wait: &str, policy: &str, left: &str) {
    assert_eq!(assert_error(answer, 429, "TooManyRequests"), json!({}));
    assert_eq!(answer.header("retry-after"), wait);
    assert_eq!(standing(answer), (policy, left));
}

#[tokio::test]
async fn without_a_setting_nothing_is_limited() {
    let app = start(&[]).await;
    let admin = app.admin().await;
    for _ in 0..30 {
        for answer in [app.get("/images").await, app.get_as(&admin, "/plans").await, app.delete("alice", NOBODYS).await] {
            assert_ne!(answer.status, 429);
            assert_eq!(standing(&answer), ("", ""));
        }
    }
    let refused = app.post_json("/token", &json!({"email": "a@b", "password": "c"})).await;
    assert_eq!((refused.status, standing(&refused)), (401, ("", "")));
}

#[tokio::test]
async fn a_callers_writes_are_counted_and_told() {
    let app = start(&["--rate-limit-uploads-per-caller=3"]).await;
    let upload = || app.upload(Form::upload("alice", &jpeg(60, 60, 1))).header("X-User-Id", "alice");
    let policy = "\"uploads\";q=3;w=60";
    let first = app.send(upload()).await;
    assert_eq!((first.status, standing(&first)), (200, (policy, "\"uploads\";r=2;t=20")));
    // Whatever changes something is a write, and one that fails is one as well.
    let path = format!("/images/{}", first.image_id());
    let second = app.by("alice", Method::DELETE, &path).await;
    assert_eq!((second.status, standing(&second)), (200, (policy, "\"uploads\";r=1;t=40")));
    let third = app.by("alice", Method::DELETE, &path).await;
    assert_eq!((third.status, standing(&third)), (410, (policy, "\"uploads\";r=0;t=60")));
    assert_refused(&app.send(upload()).await, "20", policy, "\"uploads\";r=0;t=60");
    assert_refused(&app.by("alice", Method::POST, &format!("{path}/restore")).await, "20", policy, "\"uploads\";r=0;t=60");
    // Others write, and the caller still reads.
    assert_eq!(app.by("bob", Method::DELETE, &path).await.status, 403);
    for method in [Method::GET, Method::HEAD] {
        let read = app.by("alice", method, "/images").await;
        assert_eq!((read.status, standing(&read)), (200, ("", "")));
    }
    // One more passes at a time.
    app.clock.advance(TimeDelta::milliseconds(19_500));
    assert_refused(&app.send(upload()).await, "1", policy, "\"uploads\";r=0;t=41");
    app.clock.advance(TimeDelta::milliseconds(500));
    let next = app.send(upload()).await;
    assert_eq!((next.status, standing(&next)), (200, (policy, "\"uploads\";r=0;t=60")));
    assert_refused(&app.send(upload()).await, "20", policy, "\"uploads\";r=0;t=60");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(standing(&app.send(upload()).await), (policy, "\"uploads\";r=2;t=20"), "a minute's worth and no more");
}

#[tokio::test]
async fn a_caller_is_the_same_by_every_way_in() {
    let app = start(&[]).await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    let mut app = app;
    app.set("--rate-limit-reads-per-caller=3");
    app.restart().await;
    assert_eq!(app.get_as(&ann, "/images").await.status, 200);
    assert_eq!(app.send(app.request_by_key(&key, Method::GET, "/images")).await.status, 200);
    assert_eq!(app.get_with("/images", "X-User-Id", "ann").await.status, 200);
    let policy = "\"reads\";q=3;w=60";
    assert_refused(&app.get_as(&ann, "/images").await, "20", policy, "\"reads\";r=0;t=60");
    assert_refused(&app.send(app.request_by_key(&key, Method::GET, "/images")).await, "20", policy, "\"reads\";r=0;t=60");
    assert_refused(&app.get_with("/plans", "X-User-Id", "ann").await, "20", policy, "\"reads\";r=0;t=60");
    // Others, and whoever is nobody, are counted apart or not at all.
    assert_eq!(app.get_as(&admin, "/images").await.status, 200);
    for _ in 0..5 {
        let anonymous = app.get("/images").await;
        assert_eq!((anonymous.status, standing(&anonymous)), (200, ("", "")));
    }
    // Writes are another class.
    assert_eq!(app.json_as(&ann, Method::POST, "/api-keys", &json!({})).await.status, 201);
}

#[tokio::test]
async fn an_address_is_limited_whoever_asks_from_there() {
    let app = start(&["--rate-limit-reads-per-address=4"]).await;
    let policy = "\"reads\";q=4;w=60";
    let (one, two) = (app.get("/images").await, app.get_with("/images", "X-User-Id", "alice").await);
    assert_eq!((standing(&one), standing(&two)), ((policy, "\"reads\";r=3;t=15"), (policy, "\"reads\";r=2;t=30")));
    // What is refused, or not there, counts too, and says so.
    let wrong = app.get_with("/images", "Authorization", "Bearer abc").await;
    assert_error(&wrong, 401, "Unauthorized");
    assert_eq!(standing(&wrong), (policy, "\"reads\";r=1;t=45"));
    let missing = app.get(NOBODYS).await;
    assert_error(&missing, 404, "NotFound");
    assert_eq!(standing(&missing), (policy, "\"reads\";r=0;t=60"));
    for header in ["X-User-Id", "X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        assert_refused(&app.get_with("/images", header, "198.51.100.7").await, "15", policy, "\"reads\";r=0;t=60");
    }
    // Too many are refused before anybody asks whose credentials they bring.
    assert_refused(&app.get_with("/plans", "Authorization", "Bearer abc").await, "15", policy, "\"reads\";r=0;t=60");
    assert_error(&app.delete("alice", "nonsense").await, 404, "NotFound");
    app.clock.advance(TimeDelta::seconds(15));
    assert_eq!(app.get("/images").await.status, 200);
    assert_refused(&app.get("/images").await, "15", policy, "\"reads\";r=0;t=60");
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_addresses_of_their_own() {
    let app = start(&["--rate-limit-reads-per-address=1", "--trusted-proxies=127.0.0.0/8"]).await;
    for (forwarded_for, status) in [
        ("198.51.100.1", 200),
        ("198.51.100.1", 429),
        ("203.0.113.1, 198.51.100.1", 429),
        ("198.51.100.2", 200),
        ("198.51.100.1, 198.51.100.2", 429),
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:1:ffff::2", 429),
        ("2001:db8:0:2::1", 200),
        // What cannot be read is the proxy's own.
        ("unknown", 200),
        ("127.0.0.1", 429),
    ] {
        assert_eq!(app.get_with("/images", "X-Forwarded-For", forwarded_for).await.status, status, "{forwarded_for}");
    }
}

#[tokio::test]
async fn of_two_limits_the_one_that_ends_sooner_is_told() {
    let app = start(&["--rate-limit-uploads-per-caller=2", "--rate-limit-uploads-per-address=3"]).await;
    let step = async |user: &str| app.delete(user, "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a").await;
    let (by_caller, by_address) = ("\"uploads\";q=2;w=60", "\"uploads\";q=3;w=60");
    assert_eq!(standing(&step("alice").await), (by_caller, "\"uploads\";r=1;t=30"));
    assert_eq!(standing(&step("alice").await), (by_caller, "\"uploads\";r=0;t=60"));
    assert_refused(&step("alice").await, "30", by_caller, "\"uploads\";r=0;t=60");
    // It was one of the address's.
    assert_refused(&step("bob").await, "20", by_address, "\"uploads\";r=0;t=60");
}

#[tokio::test]
async fn logins_are_a_class_of_their_own() {
    let app = start(&[]).await;
    let admin = app.admin().await;
    let mut app = app;
    app.set("--rate-limit-logins-per-address=2");
    app.restart().await;
    let policy = "\"logins\";q=2;w=60";
    let renewed = app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await;
    assert_eq!((renewed.status, standing(&renewed)), (201, (policy, "\"logins\";r=1;t=30")));
    let failed = app.post_json("/token", &json!({"email": "a@b", "password": "c"})).await;
    assert_eq!((failed.status, standing(&failed)), (401, (policy, "\"logins\";r=0;t=60")));
    for path in ["/token", "/token/refresh"] {
        assert_refused(&app.post_json(path, &json!({})).await, "30", policy, "\"logins\";r=0;t=60");
    }
    assert_eq!(app.get_as(&admin, "/images").await.status, 200);
    assert_eq!(app.json_as(&admin, Method::POST, "/api-keys", &json!({})).await.status, 201);
    app.clock.advance(TimeDelta::seconds(30));
    let body = json!({"email": admin.email, "password": crate::harness::PASSWORD});
    assert_eq!(app.post_json("/token", &body).await.status, 201);
}

#[tokio::test]
async fn what_watches_the_service_is_never_limited() {
    let app = start(&[
        "--rate-limit-reads-per-address=1",
        "--rate-limit-reads-per-caller=1",
        "--rate-limit-uploads-per-address=1",
        "--rate-limit-logins-per-address=1",
    ])
    .await;
    assert_eq!(app.get("/images").await.status, 200);
    assert_eq!(app.get("/images").await.status, 429);
    for path in ["/health", "/ready", "/metrics"] {
        for _ in 0..5 {
            let answer = app.get(path).await;
            assert_eq!((answer.status, standing(&answer)), (200, ("", "")), "{path}");
            // Nor is it asked who it is.
            assert_eq!(app.get_with(path, "Authorization", "Bearer abc").await.status, 200, "{path}");
        }
    }
}
