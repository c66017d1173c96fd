//! The login of the pages: the cookie with the refresh token, and who can use it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, Login, PASSWORD, TestApp, assert_error};

/// Returns the start of the cookie: its name contains the port.
fn name(app: &TestApp) -> String {
    let url = app.url("");
    format!("refresh_token_{}=", url.rsplit(':').next().unwrap())
}

fn post(app: &TestApp, action: &str, cookie: &str) -> RequestBuilder {
    let request = app.request(Method::POST, &format!("/app/session/{action}"));
    if cookie.is_empty() {
        request
    } else {
        request.header("cookie", format!("theme=dark; refresh_token=other; {}{cookie}", name(app)))
    }
}

async fn start(app: &TestApp, login: &Login) -> Answer {
    app.send(post(app, "start", "").json(&json!({"email": login.email, "password": PASSWORD}))).await
}

/// Returns the value of the cookie and its attributes.
fn cookie(answer: &Answer) -> (String, String) {
    let header = answer.header("set-cookie");
    let (value, attributes) = header.split_once("; ").unwrap_or_else(|| panic!("no cookie: {header:?}"));
    let (name, value) = value.split_once('=').unwrap();
    assert!(name.starts_with("refresh_token"), "{header}");
    (value.to_owned(), attributes.to_owned())
}

async fn is_valid(app: &TestApp, session: &Value) -> bool {
    let access = format!("Bearer {}", session["access"].as_str().unwrap());
    app.get_with("/accounts/me", "authorization", &access).await.status == 200
}

#[tokio::test]
async fn a_page_logs_in_continues_its_session_and_logs_out() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let answer = start(&app, &ann).await;
    let session = answer.ok();
    assert_eq!(session["email"], ann.email.as_str());
    assert_eq!(
        (&session["user_id"], &session["admin"], &session["expires_in"]),
        (&json!(ann.user_id), &json!(false), &json!(900))
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let (first, attributes) = cookie(&answer);
    // Without a path, browsers send it only to …/app/session/.
    assert_eq!(attributes, "Max-Age=2592000; HttpOnly; Secure; SameSite=Strict");
    assert!(!answer.text().contains(&first), "scripts do not get the refresh token");
    assert!(is_valid(&app, &session).await);

    let answer = app.send(post(&app, "refresh", &first)).await;
    let next = answer.ok();
    let (second, _) = cookie(&answer);
    assert!(first != second && is_valid(&app, &next).await);

    let answer = app.send(post(&app, "end", &second)).await;
    assert_eq!((answer.status, cookie(&answer).0.as_str()), (204, ""));
    assert!(cookie(&answer).1.starts_with("Max-Age=0; "), "{}", cookie(&answer).1);
    assert!(!is_valid(&app, &next).await);
    let audit = app.get_as(&admin, "/audit").await.ok();
    let ended = audit["entries"].as_array().unwrap().iter().find(|entry| entry["action"] == "session.ended").unwrap().clone();
    assert_eq!(ended["actor"], ann.email.as_str());
    // Neither an ended session nor none is an error: the page then shows what anonymous visitors see.
    for gone in [second.as_str(), "x", ""] {
        let answer = app.send(post(&app, "refresh", gone)).await;
        assert_eq!((answer.status, answer.text()), (204, ""), "{gone}");
        assert_eq!(app.send(post(&app, "end", gone)).await.status, 204);
    }
}

#[tokio::test]
async fn wrong_passwords_and_requests_of_other_sites_are_rejected() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let wrong = post(&app, "start", "").json(&json!({"email": admin.email, "password": "wrong"}));
    let answer = app.send(wrong).await;
    assert_error(&answer, 401, "Unauthorized");
    assert_eq!(answer.header("set-cookie"), "");
    let missing = app.send(post(&app, "start", "").json(&json!({"email": admin.email}))).await;
    assert_error(&missing, 422, "ValidationError");
    // A form of another page cannot send JSON.
    let form = post(&app, "start", "").header("content-type", "text/plain").body("{}");
    assert_error(&app.send(form).await, 415, "UnsupportedMediaType");
    let (token, _) = cookie(&start(&app, &admin).await);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200)] {
        let login = post(&app, "start", "").json(&json!({"email": admin.email, "password": PASSWORD}));
        assert_eq!(app.send(login.header("sec-fetch-site", site)).await.status, status, "{site}");
    }
    for action in ["refresh", "end"] {
        let answer = app.send(post(&app, action, &token).header("sec-fetch-site", "cross-site")).await;
        assert_error(&answer, 403, "Forbidden");
    }
    assert_eq!(app.send(post(&app, "refresh", &token)).await.status, 200, "the session has not ended");
    assert_error(&app.get("/app/session/refresh").await, 405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_the_session() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let (first, _) = cookie(&start(&app, &admin).await);
    let (second, _) = cookie(&app.send(post(&app, "refresh", &first)).await);
    // Two tabs can renew the session at the same moment.
    assert_eq!(app.send(post(&app, "refresh", &first)).await.status, 200);
    app.clock.advance(chrono::TimeDelta::hours(1));
    assert_eq!(app.send(post(&app, "refresh", &first)).await.status, 204);
    assert_eq!(app.send(post(&app, "refresh", &second)).await.status, 204);
}

#[tokio::test]
async fn logging_out_ends_the_session_even_if_another_tab_renews_it() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let (first, _) = cookie(&start(&app, &admin).await);
    let (second, _) = cookie(&app.send(post(&app, "refresh", &first)).await);
    assert_eq!(app.send(post(&app, "end", &first)).await.status, 204);
    assert_eq!(app.send(post(&app, "refresh", &second)).await.status, 204);
}

#[tokio::test]
async fn only_logins_count_towards_the_limit_of_logins() {
    let app = TestApp::with(&["--auth-mode=required", "--rate-limit-logins-per-address=2"]).await;
    let admin = app.admin().await;
    let (mut token, _) = cookie(&start(&app, &admin).await);
    for _ in 0..5 {
        let answer = app.send(post(&app, "refresh", &token)).await;
        assert_eq!(answer.status, 200);
        token = cookie(&answer).0;
        assert_eq!(app.send(post(&app, "refresh", "")).await.status, 204);
    }
    assert_error(&start(&app, &admin).await, 429, "TooManyRequests");
}

#[tokio::test]
async fn services_on_other_ports_of_the_host_keep_their_cookies() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let answer = start(&app, &admin).await;
    assert!(answer.header("set-cookie").starts_with(&name(&app)), "{}", answer.header("set-cookie"));
    let (token, _) = cookie(&answer);
    // Without a port, as behind a proxy.
    let request = app.request(Method::POST, "/app/session/refresh").header("host", "images.example.org");
    let answer = app.send(request.header("cookie", format!("refresh_token_8000=x; refresh_token={token}"))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("set-cookie").starts_with("refresh_token="), "{}", answer.header("set-cookie"));
}

#[tokio::test]
async fn the_cookie_is_secure_except_at_an_http_address_of_another_machine() {
    for (url, is_secure) in [
        ("https://images.example.org/pictures", true),
        ("http://localhost:8000", true),
        ("http://127.0.0.1", true),
        ("http://nas.example.org:8000", false),
        ("http://localhost.example.org", false),
    ] {
        let app = TestApp::with(&["--auth-mode=required", &format!("--public-url={url}")]).await;
        let admin = app.admin().await;
        let (_, attributes) = cookie(&start(&app, &admin).await);
        assert_eq!(attributes.contains("Secure"), is_secure, "{url}");
        // The address that the browser uses is more reliable.
        let login = json!({"email": admin.email, "password": PASSWORD});
        for (origin, is_secure) in
            [("https://images.example.org", true), ("http://192.0.2.7:8000", false), ("http://[::1]", true)]
        {
            let answer = app.send(post(&app, "start", "").header("origin", origin).json(&login)).await;
            assert_eq!(cookie(&answer).1.contains("Secure"), is_secure, "{origin}");
        }
    }
}
