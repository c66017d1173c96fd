//! Passwords: which are accepted, how spellings are normalised, and how passwords are changed.

use chrono::TimeDelta;

use image_service::store::database::db::Run;
use image_service::store::database::sql::Sql;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Login, PASSWORD, TestApp, assert_error};

const NEW: &str = "another horse battery";

async fn by_password(app: &TestApp, email: &str, password: &str) -> Answer {
    app.send(app.request(Method::GET, "/accounts/me").basic_auth(email, Some(password))).await
}

async fn change(app: &TestApp, by: &Login, current: &str, new: &str) -> Answer {
    let body = json!({"current_password": current, "new_password": new});
    app.json_as(by, Method::PUT, "/accounts/me/password", &body).await
}

fn fields(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

/// Returns a text of this many letters that is hard to guess; every third is `letter`.
fn varied(letters: usize, letter: &str) -> String {
    let others = "q7#Zm2!xW9rTk4$Lp8&vB3^nJ6*dF5";
    (0..letters)
        .map(|index| {
            if index % 3 == 1 {
                letter
            } else {
                let at = index * 7 % others.len();
                &others[at..=at]
            }
        })
        .collect()
}

#[tokio::test]
async fn a_password_has_12_to_128_characters_and_is_not_a_key() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (number, password) in [
        varied(12, "a"),
        varied(12, "🌅"),
        varied(128, "ü"),
        varied(128, "🌅"),
        varied(12, " "),
        "\" or ''='x%00".to_owned(),
        "ISK_0123456789".to_owned(),
        "isr_0123456789".to_owned(),
        "a:b:c:d:e:f:g".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let email = format!("{number}@example.org");
        let created = app.json_as(&admin, Method::POST, "/accounts", &json!({"email": email, "password": password})).await;
        assert_eq!(created.status, 201, "{password:?}: {}", created.text());
        assert_eq!(by_password(&app, &email, password).await.ok()["email"], email.as_str(), "{password:?}");
    }
    for password in [
        "",
        "a",
        &"a".repeat(11),
        &"🌅".repeat(11),
        &"a".repeat(129),
        &"a".repeat(5000),
        "with a\ttab it is",
        "with a line\n",
        "with a\0nul it is",
        "isk_0123456789",
        "with a \u{85} it is",
    ] {
        let created =
            app.json_as(&admin, Method::POST, "/accounts", &json!({"email": "bad@example.org", "password": password})).await;
        let details = assert_error(&created, 422, "ValidationError");
        assert_eq!(fields(&details), ["password"], "{password:?}");
        let details = assert_error(&change(&app, &admin, PASSWORD, password).await, 422, "ValidationError");
        assert_eq!(fields(&details), ["new_password"], "{password:?}");
        assert!(!created.text().contains("it is"), "no password is repeated: {}", created.text());
    }
    assert_eq!(by_password(&app, &admin.email, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn equivalent_unicode_spellings_are_the_same_password() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (composed, decomposed) = ("Straßenbahn für Ö\u{e9}", "Straßenbahn fu\u{308}r O\u{308}e\u{301}");
    for (name, chosen) in [("ann", composed), ("bob", decomposed)] {
        let body = json!({"email": format!("{name}@example.org"), "password": chosen});
        assert_eq!(app.json_as(&admin, Method::POST, "/accounts", &body).await.status, 201);
        for typed in [composed, decomposed] {
            assert_eq!(by_password(&app, &format!("{name}@example.org"), typed).await.status, 200, "{name} {typed}");
            let login = json!({"email": format!("{name}@example.org"), "password": typed});
            assert_eq!(app.post_json("/token", &login).await.status, 201, "{name} {typed}");
        }
        for other in ["Strassenbahn für Ö\u{e9}", "Straßenbahn fur Oe", "straßenbahn für ö\u{e9}"] {
            assert_error(&by_password(&app, &format!("{name}@example.org"), other).await, 401, "Unauthorized");
        }
    }
}

#[tokio::test]
async fn a_password_is_changed_with_the_current_password() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let key = app.key(&ann, &json!({})).await;
    let details = assert_error(&change(&app, &ann, "incorrect horse", NEW).await, 422, "ValidationError");
    assert_eq!(fields(&details), ["current_password"]);
    let details = assert_error(&change(&app, &ann, "incorrect horse", "short").await, 422, "ValidationError");
    assert_eq!(fields(&details), ["new_password"]);
    assert_eq!(by_password(&app, &ann.email, PASSWORD).await.status, 200);
    let changed = change(&app, &ann, PASSWORD, NEW).await;
    assert_eq!((changed.status, changed.body.len()), (204, 0));
    assert_error(&by_password(&app, &ann.email, PASSWORD).await, 401, "Unauthorized");
    assert_eq!(by_password(&app, &ann.email, NEW).await.status, 200);
    assert_error(&app.get_as(&ann, "/accounts/me").await, 401, "Unauthorized");
    // API keys remain valid, and so do the passwords of others.
    assert_eq!(app.send(app.request_by_key(&key, Method::GET, "/accounts/me")).await.status, 200);
    assert_eq!(by_password(&app, &admin.email, PASSWORD).await.status, 200);
    // The password alone is enough, without a session.
    let body = json!({"current_password": NEW, "new_password": PASSWORD});
    let request = app.request(Method::PUT, "/accounts/me/password").basic_auth(&ann.email, Some(NEW)).json(&body);
    assert_eq!(app.send(request).await.status, 204);
    assert_eq!(by_password(&app, &ann.email, PASSWORD).await.status, 200);
    let audit = app.get_as(&admin, "/audit").await.ok().to_string();
    assert!(audit.contains("account.password_set") && !audit.contains(PASSWORD) && !audit.contains(NEW), "{audit}");
}

#[tokio::test]
async fn a_password_cannot_be_changed_with_an_api_key_or_through_a_gateway() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let body = json!({"current_password": PASSWORD, "new_password": NEW});
    for scopes in [json!({}), json!({"scopes": ["read", "upload", "admin"]}), json!({"scopes": []})] {
        let key = app.key(&admin, &scopes).await;
        let request = app.request_by_key(&key, Method::PUT, "/accounts/me/password").json(&body);
        assert_error(&app.send(request).await, 403, "Forbidden");
    }
    let request = app.request(Method::PUT, "/accounts/me/password").json(&body);
    assert_error(&app.send(request.header("X-User-Id", &admin.user_id)).await, 401, "Unauthorized");
    assert_error(&app.send(app.request(Method::PUT, "/accounts/me/password").json(&body)).await, 401, "Unauthorized");
    assert_eq!(by_password(&app, &admin.email, PASSWORD).await.status, 200);
    for (body, broken) in [
        (json!({}), &["current_password", "new_password"][..]),
        (json!({"current_password": 1, "new_password": [], "password": ""}), &["current_password", "new_password", "password"]),
        (json!({"current_password": PASSWORD}), &["new_password"]),
    ] {
        let details =
            assert_error(&app.json_as(&admin, Method::PUT, "/accounts/me/password", &body).await, 422, "ValidationError");
        assert_eq!(fields(&details), broken);
    }
}

#[tokio::test]
async fn wrong_current_passwords_count_as_login_attempts() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    // Empties the cache of verified passwords.
    app.clock.advance(TimeDelta::minutes(2));
    for _ in 0..11 {
        assert_error(&change(&app, &ann, "incorrect horse", NEW).await, 422, "ValidationError");
    }
    assert_error(&change(&app, &ann, "incorrect horse", NEW).await, 429, "TooManyRequests");
    assert_error(&change(&app, &ann, PASSWORD, NEW).await, 429, "TooManyRequests");
    assert_error(&by_password(&app, &ann.email, PASSWORD).await, 429, "TooManyRequests");
    assert_eq!(app.get_as(&ann, "/accounts/me").await.status, 200, "the session continues");
    assert_eq!(by_password(&app, &admin.email, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn passwords_are_stored_only_as_salted_hashes() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.account(&admin, "ann", &json!({})).await;
    let db = app.database().await;
    let sql = Sql::new("select password_hash from accounts");
    let hashes = db.fetch::<(String,)>(sql).await.unwrap();
    db.close().await;
    assert_eq!(hashes.len(), 2);
    assert!(hashes.iter().all(|(hash,)| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !hash.contains(PASSWORD)));
    assert_ne!(hashes[0], hashes[1], "equal passwords have different salts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_at_any_log_level() {
    let home = Home::new().await;
    let settings = [("LOG_LEVEL", "trace"), ("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
    let create = ["create-admin", "--email", "root@example.org"];
    let created = home.run_with_input(&create, &settings, PASSWORD.as_bytes()).await;
    assert!(created.status.success(), "{created:?}");
    let process = Process::start(&home, &settings).await;
    let address = process.address;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = |method: Method, path: &str| http.request(method, format!("http://{address}{path}"));
    let send = async |request: RequestBuilder| Answer::read(request.send().await.expect("a response")).await;
    let login = json!({"email": "root@example.org", "password": PASSWORD});
    let tokens = send(request(Method::POST, "/token").json(&login)).await.json();
    let (access, refresh) = (tokens["access"].as_str().expect("a token"), tokens["refresh"].as_str().expect("a token"));
    let made = send(request(Method::POST, "/api-keys").bearer_auth(access).json(&json!({}))).await.json();
    let key = made["key"].as_str().expect("a key");
    for password in [key, PASSWORD, "incorrect horse battery"] {
        send(request(Method::GET, "/accounts/me").basic_auth("root@example.org", Some(password))).await;
    }
    // Reuse of an exchanged refresh token is no longer tolerated.
    let mut next = json!(refresh);
    for _ in 0..2 {
        next = send(request(Method::POST, "/token/refresh").json(&json!({"refresh": next}))).await.json()["refresh"].clone();
    }
    let reused = send(request(Method::POST, "/token/refresh").json(&json!({"refresh": refresh}))).await;
    assert_eq!(reused.status, 401, "{}", reused.text());
    assert_eq!(send(request(Method::GET, "/accounts/me").bearer_auth(access)).await.status, 401);
    let change = json!({"current_password": PASSWORD, "new_password": "another horse battery"});
    let change = request(Method::PUT, "/accounts/me/password").basic_auth("root@example.org", Some(PASSWORD)).json(&change);
    assert_eq!(send(change).await.status, 204);
    let log = process.stop().await;
    assert!(log.contains("a refresh token was used twice"), "{log}");
    let of_token = |token: &str| token[token.len() - 43..].to_owned();
    for secret in
        ["horse", settings[1].1, &of_token(access), &of_token(refresh), &of_token(key), "Bearer ", "Basic ", "argon2id$"]
    {
        let found = log.lines().chain(created.log.lines()).find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}

#[tokio::test]
async fn password_length_is_counted_after_normalisation() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (letters, status) in [(6, 422), (11, 422), (12, 201), (128, 201), (129, 422)] {
        for letter in ["u\u{308}", "\u{fc}"] {
            let body = json!({"email": format!("{letters}-{}@example.org", letter.len()), "password": varied(letters, letter)});
            let created = app.json_as(&admin, Method::POST, "/accounts", &body).await;
            assert_eq!(created.status, status, "{letters} × {letter:?}: {}", created.text());
        }
    }
}
