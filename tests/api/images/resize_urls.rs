//! Signed resize URLs: who can sign which sizes, when URLs expire, and how signing keys are rotated.

use chrono::{DateTime, TimeDelta, Utc};
use image_service::model::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::pixels::Pixels;
use crate::harness::{Answer, Form, TestApp, assert_error};

pub async fn upload(app: &TestApp, visibility: &str) -> String {
    app.post(Form::upload("alice", &jpeg(900, 600, 1)).text("visibility", visibility)).await.image_id()
}

pub async fn request_signatures(app: &TestApp, user: &str, id: &str, body: &Value) -> Answer {
    let request = app.request(Method::POST, &format!("/images/{id}/urls"));
    let request = if user.is_empty() { request } else { request.header("X-User-Id", user) };
    app.send(request.json(body)).await
}

/// Signs sizes as a user and returns the paths of the URLs.
pub async fn sign(app: &TestApp, user: &str, id: &str, sizes: &Value) -> Vec<String> {
    let signed = request_signatures(app, user, id, &json!({"sizes": sizes})).await.ok();
    signed["urls"].as_array().unwrap().iter().map(|url| path_of(url["url"].as_str().unwrap())).collect()
}

fn path_of(url: &str) -> String {
    url[url.find("/images/").expect("a service path")..].to_owned()
}

#[track_caller]
pub fn assert_rejected(answer: &Answer, words: &str) {
    assert_error(answer, 403, "Forbidden");
    assert!(answer.json()["message"].as_str().unwrap().contains(words), "{}", answer.text());
    assert!(!answer.header("cache-control").contains("max-age"), "errors are not cached");
}

#[tokio::test]
async fn other_users_sign_rounded_sizes_and_the_owner_exact_ones() {
    let app = TestApp::start().await;
    let id = upload(&app, "public").await;
    for (user, size) in [("", (304, 203)), ("bob", (304, 203)), ("alice", (301, 201))] {
        let paths = sign(&app, user, &id, &json!([{"width": 301}])).await;
        assert_eq!(Pixels::of(&app.get(&paths[0]).await).size(), size, "{user}");
    }
}

#[tokio::test]
async fn in_signed_mode_the_owner_can_sign_any_size() {
    let app = TestApp::with(&["--resize=signed", "--public-url=https://pictures.test/base/"]).await;
    let id = upload(&app, "public").await;
    for query in ["width=320", "width=321"] {
        assert_rejected(&app.get(&format!("/images/{id}/thumbnail?{query}")).await, "Resized images require a signed URL");
        assert_rejected(
            &app.by("alice", Method::GET, &format!("/images/{id}/thumbnail?{query}")).await,
            "Resized images require a signed URL",
        );
    }
    let sizes = json!({"sizes": [
        {"width": 320}, {"width": 641, "quality": 33}, {"width": 77, "height": 55, "fit": "cover", "format": "png"}, {"width": 2000},
        {"width": 320, "format": "webp"}
    ]});
    assert_error(&request_signatures(&app, "", &id, &sizes).await, 401, "Unauthorized");
    assert_error(&request_signatures(&app, "bob", &id, &sizes).await, 403, "Forbidden");
    let answer = request_signatures(&app, "alice", &id, &sizes).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let signed = answer.ok();
    let urls = signed["urls"].as_array().unwrap();
    let mut srcset = Vec::new();
    for (url, size) in urls.iter().zip([(320, 213), (641, 427), (77, 55), (900, 600), (320, 213)]) {
        assert_eq!((&url["width"], &url["height"]), (&json!(size.0), &json!(size.1)));
        let url = url["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("https://pictures.test/base/images/{id}/thumbnail?expires=")), "{url}");
        let answer = app.get(&path_of(url)).await;
        assert_eq!(Pixels::of(&answer).size(), size);
        assert!(answer.header("cache-control").starts_with("public, max-age="), "{}", answer.header("cache-control"));
        srcset.push(format!("{url} {}w", size.0));
    }
    srcset.pop();
    assert_eq!(signed["srcset"], srcset.join(", "), "each width once");
    let png = app.get(&path_of(urls[2]["url"].as_str().unwrap())).await;
    assert_eq!((png.header("content-type"), png.header("vary")), ("image/png", ""));
    // A format that is not signed is negotiated with the client.
    let webp = app.get_with(&path_of(urls[0]["url"].as_str().unwrap()), "Accept", "image/webp").await;
    assert_eq!((webp.header("content-type"), webp.header("vary").to_lowercase().as_str()), ("image/webp", "accept"));
}

/// Returns `/images/…/thumbnail` and the query parameters of a signed URL.
fn split_url(path: &str) -> (String, Vec<&str>) {
    let (path, query) = path.split_once('?').unwrap();
    (path.to_owned(), query.split('&').collect())
}

#[tokio::test]
async fn parameter_order_and_unknown_parameters_do_not_invalidate_a_signature() {
    let app = TestApp::with(&["--resize=signed"]).await;
    let id = upload(&app, "public").await;
    let size = json!([{"width": 310, "height": 211, "fit": "cover", "format": "jpeg", "quality": 71}]);
    let signed = sign(&app, "alice", &id, &size).await.remove(0);
    let first = app.get(&signed).await;
    assert_eq!(Pixels::of(&first).size(), (310, 211));
    let (path, mut parameters) = split_url(&signed);
    for _ in 0..parameters.len() {
        parameters.rotate_left(1);
        parameters.swap(0, 2);
        for more in ["", "&utm_source=mail&fbclid=1", "&w=999&", "&quality=&fit="] {
            let answer = app.get(&format!("{path}?{}{more}", parameters.join("&"))).await;
            assert_eq!((answer.status, answer.header("etag")), (200, first.header("etag")), "{parameters:?}{more}");
        }
    }
    let encoded = app.get(&signed.replace("width=310", "wid%74h=%3310").replace("cover", "cove%72")).await;
    assert_eq!((encoded.status, encoded.header("etag")), (200, first.header("etag")));
    let head = app.send(app.request(Method::HEAD, &signed)).await;
    assert_eq!((head.status, head.header("etag")), (200, first.header("etag")));
    assert_eq!(app.get_with(&signed, "If-None-Match", first.header("etag")).await.status, 304);
}

#[tokio::test]
async fn changing_one_byte_of_a_signed_url_gives_403() {
    for mode in ["--resize=signed", "--resize=open"] {
        let app = TestApp::with(&[mode, "--url-signing-keys=0123456789abcdef0123456789abcdef"]).await;
        let (id, other) = (upload(&app, "public").await, upload(&app, "public").await);
        let signed =
            sign(&app, "alice", &id, &json!([{"width": 310, "height": 211, "fit": "cover", "quality": 71}])).await.remove(0);
        Pixels::of(&app.get(&signed).await);
        let start = signed.find('?').unwrap() + 1;
        for place in start..signed.len() {
            for byte in ["0", "1", "A", "x", "_", "&", "=", "%", "+", "."] {
                if signed[place..=place] == *byte {
                    continue;
                }
                let changed = format!("{}{byte}{}", &signed[..place], &signed[place + 1..]);
                assert_rejected(&app.get(&changed).await, "does not match");
            }
            let shorter = format!("{}{}", &signed[..place], &signed[place + 1..]);
            assert_eq!(app.get(&shorter).await.status, 403, "{shorter}");
        }
        for changed in [
            signed.replace(&id, &other),
            signed.replace("width=310", "width=310&width=310"),
            signed.replace("width=310", "width=310&format=png"),
            signed.replace("&quality=71", ""),
            signed.replace("&signature", "&signature=A&signature"),
            signed[..signed.find("&signature").unwrap()].to_owned(),
            format!("{signed}A"),
        ] {
            assert_rejected(&app.get(&changed).await, "does not match");
        }
        // As without a signature, misspelt parameters are rejected.
        assert_error(&app.get(&format!("{signed}&widht=1")).await, 422, "ValidationError");
        assert_error(&app.get(&signed.replace(&id, "none")).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn signed_urls_are_stable_within_a_window_and_expire() {
    let app = TestApp::with(&["--resize=signed", "--url-window=600"]).await;
    app.clock.stop();
    let id = upload(&app, "public").await;
    let ask = async |expires_in: u32| {
        request_signatures(&app, "alice", &id, &json!({"sizes": [{"width": 300}], "expires_in": expires_in})).await.ok()
    };
    let start = app.clock.now().timestamp();
    app.clock.advance(TimeDelta::seconds(600 - start.rem_euclid(600)) + TimeDelta::seconds(1));
    let first = ask(3000).await;
    let expires_at: DateTime<Utc> = first["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires_at.timestamp() % 600, 0);
    let left = expires_at - app.clock.now();
    assert!(TimeDelta::seconds(3000) <= left && left < TimeDelta::seconds(3600), "{left}");
    app.clock.advance(TimeDelta::seconds(590));
    assert_eq!(ask(3000).await, first);
    app.clock.advance(TimeDelta::seconds(600));
    assert_ne!(ask(3000).await, first);
    // The URL is valid to the second.
    let path = path_of(first["urls"][0]["url"].as_str().unwrap());
    app.clock.advance(expires_at - app.clock.now() - TimeDelta::seconds(10));
    let answer = app.get(&path).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "public, max-age=10"));
    app.clock.advance(TimeDelta::seconds(10));
    assert_rejected(&app.get(&path).await, "has expired");
    // By default a URL is valid for an hour, which is also the maximum cache lifetime.
    let signed = request_signatures(&app, "alice", &id, &json!({"sizes": [{"width": 300}]})).await.ok();
    let left = signed["expires_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() - app.clock.now();
    assert!(TimeDelta::hours(1) <= left && left < TimeDelta::seconds(4200), "{left}");
    let answer = app.get(&path_of(signed["urls"][0]["url"].as_str().unwrap())).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=3600");
}

#[tokio::test]
async fn urls_signed_by_the_owner_serve_a_private_image() {
    let app = TestApp::start().await;
    let id = upload(&app, "private").await;
    for user in ["", "bob"] {
        assert_error(&request_signatures(&app, user, &id, &json!({"sizes": [{"width": 300}]})).await, 404, "NotFound");
    }
    let signed = sign(&app, "alice", &id, &json!([{"width": 300}])).await.remove(0);
    for user in ["", "bob", "alice"] {
        let request = app.request(Method::GET, &signed);
        let answer = app.send(if user.is_empty() { request } else { request.header("X-User-Id", user) }).await;
        assert_eq!(Pixels::of(&answer).size(), (300, 200));
        assert!(answer.header("cache-control").starts_with("private, max-age="), "{}", answer.header("cache-control"));
    }
    let unsigned = format!("/images/{id}/thumbnail?width=300");
    assert_error(&app.get(&unsigned).await, 404, "NotFound");
    assert_eq!(app.by("alice", Method::GET, &unsigned).await.status, 200);
    // The URL stays valid while the image is public, and after it is private again.
    app.patch("alice", &id, &json!({"visibility": "public"})).await.ok();
    assert_eq!(app.get(&signed).await.status, 200);
    let of_public =
        [sign(&app, "", &id, &json!([{"width": 300}])).await, sign(&app, "alice", &id, &json!([{"width": 300}])).await].concat();
    for path in &of_public {
        assert_eq!(app.get(path).await.status, 200);
    }
    app.patch("alice", &id, &json!({"visibility": "private"})).await.ok();
    assert_eq!(app.get(&signed).await.status, 200);
    for path in &of_public {
        assert_error(&app.get(path).await, 404, "NotFound");
        assert_eq!(app.by("alice", Method::GET, path).await.status, 200, "the owner can see the image anyway");
    }
    app.delete("alice", &id).await.ok();
    assert_error(&app.get(&signed).await, 404, "NotFound");
    app.assert_sound().await;
}

#[tokio::test]
async fn signed_urls_respect_plans_key_scopes_and_disabled_accounts() {
    let app = TestApp::with(&["--auth-mode=required", "--resize=signed"]).await;
    let admin = app.admin().await;
    let plan = json!({"name": "custom", "custom_sizes": true});
    assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
    let login = app.account(&admin, "ann", &json!({"plan": "custom"})).await;
    let form = |visibility| Form::new().file(&jpeg(900, 600, 1)).text("visibility", visibility);
    let public = app.post_as(&login, form("public")).await.image_id();
    let private = app.post_as(&login, form("private")).await.image_id();
    let body = json!({"sizes": [{"width": 301}]});
    let mut paths = Vec::new();
    for id in [&public, &private] {
        let path = format!("/images/{id}/urls");
        let reader = app.key(&login, &json!({"scopes": ["read"]})).await;
        for answer in [
            app.json_as(&login, Method::POST, &path, &body).await,
            app.send(app.request_by_key(&reader, Method::POST, &path).json(&body)).await,
        ] {
            let signed = path_of(answer.ok()["urls"][0]["url"].as_str().unwrap());
            assert_eq!(Pixels::of(&app.get(&signed).await).size(), (301, 201));
            paths.push(signed);
        }
        let uploader = app.key(&login, &json!({"scopes": ["upload"]})).await;
        assert_error(&app.send(app.request_by_key(&uploader, Method::POST, &path).json(&body)).await, 403, "Forbidden");
        let by_admin = app.json_as(&admin, Method::POST, &path, &body).await;
        assert_eq!(by_admin.status, if id == &public { 200 } else { 404 });
    }
    let change = async |change: Value| {
        app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", login.id), &change).await.ok();
    };
    change(json!({"plan": "Premium"})).await;
    for path in &paths {
        assert_rejected(&app.get(path).await, "does not include resized images");
    }
    assert_rejected(&app.json_as(&login, Method::POST, &format!("/images/{public}/urls"), &body).await, "does not include");
    change(json!({"plan": "custom", "disabled": true})).await;
    assert_eq!([app.get(&paths[0]).await.status, app.get(&paths[2]).await.status], [200, 404], "public images stay available");
    change(json!({"disabled": false})).await;
    assert_eq!(app.get(&paths[2]).await.status, 200);
}

#[tokio::test]
async fn signing_keys_can_be_rotated_without_breaking_urls() {
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let mut app = TestApp::with(&["--resize=signed", &format!("--url-signing-keys={old}")]).await;
    let id = upload(&app, "public").await;
    let size = json!([{"width": 300}]);
    let by_old = sign(&app, "alice", &id, &size).await.remove(0);
    app.set(&format!("--url-signing-keys={new},{old}"));
    app.restart().await;
    let by_new = sign(&app, "alice", &id, &size).await.remove(0);
    assert_eq!([app.get(&by_old).await.status, app.get(&by_new).await.status], [200, 200]);
    assert_ne!(by_old, by_new);
    app.set(&format!("--url-signing-keys={new}"));
    app.restart().await;
    assert_eq!([app.get(&by_old).await.status, app.get(&by_new).await.status], [403, 200]);
    // Without configured keys, they are derived from a secret in the database or from JWT_SECRET, and stay the same
    // after a restart.
    for secret in ["--jwt-secret=", "--jwt-secret=0123456789abcdef0123456789abcdef"] {
        app.set("--url-signing-keys=");
        app.set(secret);
        app.restart().await;
        let derived = sign(&app, "alice", &id, &size).await.remove(0);
        assert!(derived != by_new && derived != by_old);
        app.restart().await;
        assert_eq!([app.get(&derived).await.status, app.get(&by_new).await.status], [200, 403]);
        assert_eq!(sign(&app, "alice", &id, &size).await.remove(0), derived);
    }
}

#[tokio::test]
async fn signing_keys_in_the_database_are_rotated() {
    let app = TestApp::with(&["--resize=signed"]).await;
    app.clock.stop();
    let id = upload(&app, "public").await;
    let sign =
        async || request_signatures(&app, "alice", &id, &json!({"sizes": [{"width": 300}], "expires_in": 86_400})).await.ok();
    app.clock.advance(TimeDelta::seconds(900 - app.clock.now().timestamp().rem_euclid(900)));
    sign().await;
    app.clock.advance(TimeDelta::days(30) - TimeDelta::seconds(1));
    let before = sign().await;
    app.clock.advance(TimeDelta::seconds(1));
    let after = sign().await;
    for signed in [&before, &after] {
        assert_eq!(app.get(&path_of(signed["urls"][0]["url"].as_str().unwrap())).await.status, 200);
    }
    assert_ne!(before["urls"], after["urls"]);
}

#[tokio::test]
async fn every_invalid_size_is_reported() {
    let app = TestApp::start().await;
    let id = upload(&app, "public").await;
    let many: Vec<Value> = (0..21).map(|_| json!({"width": 100})).collect();
    for (body, broken) in [
        (json!({}), vec!["sizes"]),
        (json!({"sizes": []}), vec!["sizes"]),
        (json!({"sizes": many}), vec!["sizes"]),
        (json!({"sizes": {"width": 100}}), vec!["sizes"]),
        (json!({"sizes": [100, "100x", null, [1]]}), vec!["sizes[0]", "sizes[1]", "sizes[2]", "sizes[3]"]),
        (json!({"sizes": [{}, {"fit": "cover", "width": 100}]}), vec!["sizes[0].width", "sizes[1].height"]),
        (json!({"sizes": [{"width": 15}, {"height": 2001}]}), vec!["sizes[0].width", "sizes[1].height"]),
        (
            json!({"sizes": [{"width": "100", "fit": "fill", "format": "gif", "quality": 0, "blur": 1}]}),
            vec!["sizes[0].blur", "sizes[0].fit", "sizes[0].format", "sizes[0].quality", "sizes[0].width"],
        ),
        (json!({"sizes": [{"width": 100}], "expires_in": 59}), vec!["expires_in"]),
        (json!({"sizes": [{"width": 100}], "expires_in": 86401, "lifetime": 1}), vec!["expires_in", "lifetime"]),
    ] {
        let details = assert_error(&request_signatures(&app, "alice", &id, &body).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), broken, "{body}");
    }
    let twice = app.request(Method::POST, &format!("/images/{id}/urls")).header("Content-Type", "application/json");
    let twice = app.send(twice.body(r#"{"sizes": [{"width": 100, "width": 200}]}"#)).await;
    assert_error(&twice, 422, "ValidationError");
}
