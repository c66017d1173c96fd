//! Rate limits: how many requests a minute a caller or an address may send, and the headers that report them.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

const UNKNOWN_IMAGE: &str = "/images/01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

/// Stops the clock, so that nothing is refilled by itself.
async fn start(settings: &[&str]) -> TestApp {
    let app = TestApp::with(settings).await;
    app.clock.stop();
    app
}

/// Returns the headers `RateLimit-Policy` and `RateLimit`.
fn rate_limit_headers(answer: &Answer) -> (&str, &str) {
    (answer.header("ratelimit-policy"), answer.header("ratelimit"))
}

/// Asserts that the request exceeded the limit, and how long the caller must wait.
#[track_caller]
fn assert_limited(answer: &Answer, wait: &str, policy: &str, left: &str) {
    assert_eq!(assert_error(answer, 429, "TooManyRequests"), json!({}));
    assert_eq!(answer.header("retry-after"), wait);
    assert_eq!(rate_limit_headers(answer), (policy, left));
}

#[tokio::test]
async fn without_settings_nothing_is_limited() {
    let app = start(&[]).await;
    let admin = app.admin().await;
    for _ in 0..30 {
        for answer in [app.get("/images").await, app.get_as(&admin, "/plans").await, app.delete("alice", UNKNOWN_IMAGE).await] {
            assert_ne!(answer.status, 429);
            assert_eq!(rate_limit_headers(&answer), ("", ""));
        }
    }
    let rejected = app.post_json("/token", &json!({"email": "a@b", "password": "c"})).await;
    assert_eq!((rejected.status, rate_limit_headers(&rejected)), (401, ("", "")));
}

#[tokio::test]
async fn the_writes_of_a_caller_are_counted_and_reported() {
    let app = start(&["--rate-limit-uploads-per-caller=3"]).await;
    let upload = || app.upload(Form::upload("alice", &jpeg(60, 60, 1))).header("X-User-Id", "alice");
    let policy = "\"uploads\";q=3;w=60";
    let first = app.send(upload()).await;
    assert_eq!((first.status, rate_limit_headers(&first)), (200, (policy, "\"uploads\";r=2;t=20")));
    // Every request that changes something counts as a write, even if it fails.
    let path = format!("/images/{}", first.image_id());
    let second = app.by("alice", Method::DELETE, &path).await;
    assert_eq!((second.status, rate_limit_headers(&second)), (200, (policy, "\"uploads\";r=1;t=40")));
    let third = app.by("alice", Method::DELETE, &path).await;
    assert_eq!((third.status, rate_limit_headers(&third)), (410, (policy, "\"uploads\";r=0;t=60")));
    assert_limited(&app.send(upload()).await, "20", policy, "\"uploads\";r=0;t=60");
    assert_limited(&app.by("alice", Method::POST, &format!("{path}/restore")).await, "20", policy, "\"uploads\";r=0;t=60");
    // Others can still write, and the caller can still read.
    assert_eq!(app.by("bob", Method::DELETE, &path).await.status, 403);
    for method in [Method::GET, Method::HEAD] {
        let read = app.by("alice", method, "/images").await;
        assert_eq!((read.status, rate_limit_headers(&read)), (200, ("", "")));
    }
    // One request is refilled at a time.
    app.clock.advance(TimeDelta::milliseconds(19_500));
    assert_limited(&app.send(upload()).await, "1", policy, "\"uploads\";r=0;t=41");
    app.clock.advance(TimeDelta::milliseconds(500));
    let next = app.send(upload()).await;
    assert_eq!((next.status, rate_limit_headers(&next)), (200, (policy, "\"uploads\";r=0;t=60")));
    assert_limited(&app.send(upload()).await, "20", policy, "\"uploads\";r=0;t=60");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(
        rate_limit_headers(&app.send(upload()).await),
        (policy, "\"uploads\";r=2;t=20"),
        "at most a minute's worth is refilled"
    );
}

#[tokio::test]
async fn a_caller_has_one_limit_across_all_kinds_of_credentials() {
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
    assert_limited(&app.get_as(&ann, "/images").await, "20", policy, "\"reads\";r=0;t=60");
    assert_limited(&app.send(app.request_by_key(&key, Method::GET, "/images")).await, "20", policy, "\"reads\";r=0;t=60");
    assert_limited(&app.get_with("/plans", "X-User-Id", "ann").await, "20", policy, "\"reads\";r=0;t=60");
    // Other callers have limits of their own; anonymous callers have none.
    assert_eq!(app.get_as(&admin, "/images").await.status, 200);
    for _ in 0..5 {
        let anonymous = app.get("/images").await;
        assert_eq!((anonymous.status, rate_limit_headers(&anonymous)), (200, ("", "")));
    }
    // Writes have a separate limit.
    assert_eq!(app.json_as(&ann, Method::POST, "/api-keys", &json!({})).await.status, 201);
}

#[tokio::test]
async fn an_address_is_limited_across_all_its_callers() {
    let app = start(&["--rate-limit-reads-per-address=4"]).await;
    let policy = "\"reads\";q=4;w=60";
    let (one, two) = (app.get("/images").await, app.get_with("/images", "X-User-Id", "alice").await);
    assert_eq!(
        (rate_limit_headers(&one), rate_limit_headers(&two)),
        ((policy, "\"reads\";r=3;t=15"), (policy, "\"reads\";r=2;t=30"))
    );
    // Rejected requests and those for missing images count too, and report the limit.
    let wrong = app.get_with("/images", "Authorization", "Bearer abc").await;
    assert_error(&wrong, 401, "Unauthorized");
    assert_eq!(rate_limit_headers(&wrong), (policy, "\"reads\";r=1;t=45"));
    let missing = app.get(UNKNOWN_IMAGE).await;
    assert_error(&missing, 404, "NotFound");
    assert_eq!(rate_limit_headers(&missing), (policy, "\"reads\";r=0;t=60"));
    for header in ["X-User-Id", "X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        assert_limited(&app.get_with("/images", header, "198.51.100.7").await, "15", policy, "\"reads\";r=0;t=60");
    }
    // The limit is checked before the credentials.
    assert_limited(&app.get_with("/plans", "Authorization", "Bearer abc").await, "15", policy, "\"reads\";r=0;t=60");
    assert_error(&app.delete("alice", "nonsense").await, 404, "NotFound");
    app.clock.advance(TimeDelta::seconds(15));
    assert_eq!(app.get("/images").await.status, 200);
    assert_limited(&app.get("/images").await, "15", policy, "\"reads\";r=0;t=60");
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_limited_by_their_own_address() {
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
        // An unreadable address counts as the proxy's own.
        ("unknown", 200),
        ("127.0.0.1", 429),
    ] {
        assert_eq!(app.get_with("/images", "X-Forwarded-For", forwarded_for).await.status, status, "{forwarded_for}");
    }
}

#[tokio::test]
async fn of_two_limits_the_one_that_is_exhausted_first_is_reported() {
    let app = start(&["--rate-limit-uploads-per-caller=2", "--rate-limit-uploads-per-address=3"]).await;
    let step = async |user: &str| app.delete(user, "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a").await;
    let (by_caller, by_address) = ("\"uploads\";q=2;w=60", "\"uploads\";q=3;w=60");
    assert_eq!(rate_limit_headers(&step("alice").await), (by_caller, "\"uploads\";r=1;t=30"));
    assert_eq!(rate_limit_headers(&step("alice").await), (by_caller, "\"uploads\";r=0;t=60"));
    assert_limited(&step("alice").await, "30", by_caller, "\"uploads\";r=0;t=60");
    // The rejected request still counted against the address.
    assert_limited(&step("bob").await, "20", by_address, "\"uploads\";r=0;t=60");
}

#[tokio::test]
async fn logins_have_a_separate_limit() {
    let app = start(&[]).await;
    let admin = app.admin().await;
    let mut app = app;
    app.set("--rate-limit-logins-per-address=2");
    app.restart().await;
    let policy = "\"logins\";q=2;w=60";
    let renewed = app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await;
    assert_eq!((renewed.status, rate_limit_headers(&renewed)), (201, (policy, "\"logins\";r=1;t=30")));
    let failed = app.post_json("/token", &json!({"email": "a@b", "password": "c"})).await;
    assert_eq!((failed.status, rate_limit_headers(&failed)), (401, (policy, "\"logins\";r=0;t=60")));
    for path in ["/token", "/token/refresh"] {
        assert_limited(&app.post_json(path, &json!({})).await, "30", policy, "\"logins\";r=0;t=60");
    }
    assert_eq!(app.get_as(&admin, "/images").await.status, 200);
    assert_eq!(app.json_as(&admin, Method::POST, "/api-keys", &json!({})).await.status, 201);
    app.clock.advance(TimeDelta::seconds(30));
    let body = json!({"email": admin.email, "password": crate::harness::PASSWORD});
    assert_eq!(app.post_json("/token", &body).await.status, 201);
}

#[tokio::test]
async fn health_checks_and_metrics_are_never_limited() {
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
            assert_eq!((answer.status, rate_limit_headers(&answer)), (200, ("", "")), "{path}");
            // Credentials are not checked either.
            assert_eq!(app.get_with(path, "Authorization", "Bearer abc").await.status, 200, "{path}");
        }
    }
}
