//! Login and refresh: the token pairs of a session, and what ends a session.

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::account::{AccountId, Email, SessionId};
use image_service::model::clock::Clock;
use image_service::service::identity::passwords::Password;
use image_service::service::identity::registration;
use image_service::service::identity::tokens::REFRESH_GRACE;
use image_service::store;
use image_service::store::database::db::Run;
use image_service::store::database::sql::Sql;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Login, PASSWORD, TestApp, assert_error};

async fn log_in(app: &TestApp, email: &str, password: &str) -> Answer {
    app.post_json("/token", &json!({"email": email, "password": password})).await
}

/// Starts another session of an account.
async fn session(app: &TestApp, login: &Login) -> Login {
    let answer = log_in(app, &login.email, PASSWORD).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    with_tokens_of(login, &answer)
}

/// Returns the login with the new tokens of a response.
fn with_tokens_of(login: &Login, answer: &Answer) -> Login {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let tokens = answer.json();
    let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    Login { access: text("access"), refresh: text("refresh"), ..login.clone() }
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post_json("/token/refresh", &json!({"refresh": token})).await
}

async fn is_logged_in(app: &TestApp, login: &Login) -> bool {
    let answer = app.get_as(login, "/accounts/me").await;
    if answer.status != 200 {
        assert_error(&answer, 401, "Unauthorized");
    }
    answer.status == 200
}

/// Asserts that neither token of a pair is valid any more.
#[track_caller]
fn assert_logged_out(app: &TestApp, login: &Login) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        assert!(!is_logged_in(app, login).await, "{caller}: the access token is still valid");
        let answer = refresh(app, &login.refresh).await;
        assert_eq!(answer.status, 401, "{caller}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_login_returns_two_tokens_that_are_not_cached() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let first = log_in(&app, &admin.email, PASSWORD).await;
    let second = refresh(&app, first.json()["refresh"].as_str().unwrap()).await;
    for answer in [first, second] {
        assert_eq!((answer.status, answer.header("cache-control")), (201, "no-store"));
        let tokens = answer.json();
        let names: Vec<&String> = tokens.as_object().unwrap().keys().collect();
        assert_eq!(names, ["access", "refresh"]);
        let secret = tokens["refresh"].as_str().unwrap().strip_prefix("isr_").expect("the prefix for secret scanners");
        let (id, secret) = secret.split_once('_').unwrap();
        assert!(id.len() == 32 && secret.len() == 43, "{tokens}");
        assert!(is_logged_in(&app, &with_tokens_of(&admin, &answer)).await);
    }
}

#[tokio::test]
async fn every_failed_login_gets_the_same_response() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ann, bob) = (app.account(&admin, "ann", &json!({})).await, app.account(&admin, "bob", &json!({})).await);
    let key = app.key(&ann, &json!({})).await;
    app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", bob.id), &json!({"disabled": true})).await.ok();
    let expected = assert_failed(&log_in(&app, &ann.email, "incorrect horse battery").await);
    let long = format!("{}@example.org", "a".repeat(300));
    for (email, password) in [
        (ann.email.as_str(), "Correct horse battery"),
        (&ann.email, "correct horse battery "),
        (&ann.email, ""),
        (&ann.email, &"x".repeat(5000)),
        (&ann.email, &key),
        ("nobody@example.org", PASSWORD),
        ("nobody@example.org", &"x".repeat(5000)),
        (&bob.email, PASSWORD),
        (&bob.email, "incorrect horse battery"),
        ("", PASSWORD),
        ("ann", PASSWORD),
        (" ann@example.org", PASSWORD),
        ("ann@example.org\0", PASSWORD),
        (&long, PASSWORD),
    ] {
        let answer = log_in(&app, email, password).await;
        assert_eq!(assert_failed(&answer), expected, "{email} {password}");
    }
    assert_eq!(log_in(&app, &ann.email, PASSWORD).await.status, 201);
}

fn assert_failed(answer: &Answer) -> (Value, String) {
    assert_error(answer, 401, "Unauthorized");
    (answer.json(), answer.header("www-authenticate").to_owned())
}

#[tokio::test]
async fn email_addresses_are_case_insensitive() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.account(&admin, "ann", &json!({"email": "Ann@Example.ORG", "user_id": "ann"})).await;
    for email in ["ann@example.org", "ANN@EXAMPLE.ORG", "aNn@eXample.org"] {
        assert_eq!(log_in(&app, email, PASSWORD).await.status, 201, "{email}");
        let me = app.send(app.request(Method::GET, "/accounts/me").basic_auth(email, Some(PASSWORD))).await.ok();
        assert_eq!(me["email"], "ann@example.org");
    }
}

#[tokio::test]
async fn reusing_a_refresh_token_ends_its_session() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let elsewhere = session(&app, &ann).await;
    let second = with_tokens_of(&ann, &refresh(&app, &ann.refresh).await);
    let third = with_tokens_of(&ann, &refresh(&app, &second.refresh).await);
    assert!(is_logged_in(&app, &ann).await && is_logged_in(&app, &second).await && is_logged_in(&app, &third).await);
    assert_eq!(assert_failed(&refresh(&app, &ann.refresh).await), assert_failed(&refresh(&app, &third.refresh).await));
    for pair in [&ann, &second, &third] {
        assert_logged_out(&app, pair).await;
    }
    for other in [&elsewhere, &admin] {
        assert!(is_logged_in(&app, other).await);
        assert!(is_logged_in(&app, &with_tokens_of(other, &refresh(&app, &other.refresh).await)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refreshes_return_the_same_tokens_and_a_late_one_ends_the_session() {
    let app = TestApp::start().await;
    app.clock.stop();
    let admin = app.admin().await;
    let elsewhere = session(&app, &admin).await;
    let answers = join_all((0..10).map(|_| refresh(&app, &admin.refresh))).await;
    let pairs: Vec<Login> = answers.iter().map(|answer| with_tokens_of(&admin, answer)).collect();
    assert!(pairs.iter().all(|pair| pair.refresh == pairs[0].refresh));
    for pair in &pairs {
        assert!(is_logged_in(&app, pair).await);
    }
    app.clock.advance(REFRESH_GRACE + TimeDelta::milliseconds(1));
    assert_failed(&refresh(&app, &admin.refresh).await);
    assert_logged_out(&app, &pairs[0]).await;
    assert_logged_out(&app, &admin).await;
    assert!(is_logged_in(&app, &elsewhere).await);
}

#[tokio::test]
async fn a_lost_refresh_response_is_repeated_for_ten_seconds() {
    let app = TestApp::start().await;
    app.clock.stop();
    let first = app.admin().await;
    let second = with_tokens_of(&first, &refresh(&app, &first.refresh).await);
    app.clock.advance(TimeDelta::seconds(10));
    let again = with_tokens_of(&first, &refresh(&app, &first.refresh).await);
    assert_eq!(again.refresh, second.refresh);
    assert!(is_logged_in(&app, &second).await && is_logged_in(&app, &again).await);
    // Refreshing continues from there, with another ten seconds for the next token.
    let third = with_tokens_of(&second, &refresh(&app, &second.refresh).await);
    assert_ne!(third.refresh, second.refresh);
    assert_eq!(with_tokens_of(&second, &refresh(&app, &second.refresh).await).refresh, third.refresh);
    // Neither a forged token of the same session nor the token before the last one is accepted.
    let made_up = format!("{}A", &second.refresh[..second.refresh.len() - 1]);
    let login = session(&app, &first).await;
    assert_failed(&refresh(&app, if made_up == second.refresh { &first.refresh } else { &made_up }).await);
    assert_logged_out(&app, &third).await;
    let next = with_tokens_of(&login, &refresh(&app, &login.refresh).await);
    let last = with_tokens_of(&login, &refresh(&app, &next.refresh).await);
    assert_failed(&refresh(&app, &login.refresh).await);
    assert_logged_out(&app, &last).await;
}

#[tokio::test]
async fn a_session_ends_30_days_after_its_last_refresh() {
    let app = TestApp::start().await;
    app.clock.stop();
    let mut login = app.admin().await;
    let unused = session(&app, &login).await;
    let db = app.database().await;
    for _ in 0..3 {
        app.clock.advance(TimeDelta::days(30) - TimeDelta::milliseconds(1));
        login = with_tokens_of(&login, &refresh(&app, &login.refresh).await);
        assert!(is_logged_in(&app, &login).await);
    }
    assert_logged_out(&app, &unused).await;
    app.clock.advance(TimeDelta::days(30));
    assert_logged_out(&app, &login).await;
    app.sweep_all().await;
    let (sessions,) = db.fetch_optional::<(i64,)>(Sql::new("select count(*) from sessions")).await.unwrap().unwrap();
    assert_eq!(sessions, 0, "the session is deleted");
    db.close().await;
}

#[tokio::test]
async fn disabling_an_account_ends_its_sessions_immediately_and_for_good() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let elsewhere = session(&app, &ann).await;
    let path = format!("/accounts/{}", ann.id);
    for disabled in [true, false] {
        app.json_as(&admin, Method::PATCH, &path, &json!({"disabled": disabled})).await.ok();
        assert_logged_out(&app, &ann).await;
        assert_logged_out(&app, &elsewhere).await;
    }
    assert!(is_logged_in(&app, &session(&app, &ann).await).await && is_logged_in(&app, &admin).await);
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_of_the_account() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let ann = app.account(&admin, "ann", &json!({})).await;
    let elsewhere = session(&app, &ann).await;
    let change = json!({"current_password": PASSWORD, "new_password": "another horse battery"});
    assert_eq!(app.json_as(&ann, Method::PUT, "/accounts/me/password", &change).await.status, 204);
    assert_logged_out(&app, &ann).await;
    assert_logged_out(&app, &elsewhere).await;
    let ann = with_tokens_of(&ann, &log_in(&app, &ann.email, "another horse battery").await);
    assert!(is_logged_in(&app, &ann).await);
    // Sets a password as the command line does.
    let (email, password) = (Email::parse(&ann.email).unwrap(), Password::parse("yet another horse").unwrap());
    let db = app.database().await;
    registration::set_password(&db, &*app.clock, &email, &password).await.expect("the password is set");
    db.close().await;
    assert_logged_out(&app, &ann).await;
    assert_failed(&log_in(&app, &ann.email, "another horse battery").await);
    assert!(is_logged_in(&app, &with_tokens_of(&ann, &log_in(&app, &ann.email, "yet another horse").await)).await);
    assert!(is_logged_in(&app, &admin).await);
}

#[tokio::test]
async fn after_100_sessions_the_oldest_ends() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let second = session(&app, &admin).await;
    let db = app.database().await;
    let account = AccountId::parse(&admin.id).unwrap();
    let mut tx = db.begin().await.unwrap();
    for number in 0..98_u128 {
        let end = app.clock.now() + TimeDelta::days(30);
        store::identity::sessions::insert(
            &mut tx,
            SessionId::new(&*app.clock),
            account,
            (uuid::Uuid::from_u128(number), &[0; 32]),
            end,
        )
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    db.close().await;
    assert!(is_logged_in(&app, &admin).await && is_logged_in(&app, &second).await);
    let newest = session(&app, &admin).await;
    assert_logged_out(&app, &admin).await;
    assert!(is_logged_in(&app, &second).await && is_logged_in(&app, &newest).await);
}

#[tokio::test]
async fn tokens_of_different_kinds_are_not_interchangeable() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let key = app.key(&admin, &json!({})).await;
    let as_key = admin.refresh.replace("isr_", "isk_");
    for token in [&admin.access, &key, &key.replace("isk_", "isr_"), &admin.refresh.replace("isr_", "")] {
        assert_failed(&refresh(&app, token).await);
    }
    for token in [&admin.refresh, &as_key] {
        assert_failed(&app.send(app.request(Method::GET, "/accounts/me").bearer_auth(token)).await);
    }
    for password in [&admin.refresh, &as_key, &admin.access] {
        for user in [admin.email.as_str(), "any", ""] {
            let request = app.request(Method::GET, "/accounts/me").basic_auth(user, Some(password));
            assert_failed(&app.send(request).await);
        }
    }
    assert!(is_logged_in(&app, &admin).await);
    assert_eq!(refresh(&app, &admin.refresh).await.status, 201);
}

#[tokio::test]
async fn invalid_credentials_are_never_ignored() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for value in ["Bearer abc", "Bearer", "Basic YW55OmlzaA", "Basic !", "Digest abc", "", "Negotiate", &admin.access] {
        for path in ["/images", "/accounts/me", "/plans", "/stats", "/links"] {
            let request = app.request(Method::GET, path).header("Authorization", value).header("X-User-Id", "alice");
            assert_failed(&app.send(request).await);
        }
    }
    let twice = app.request_as(&admin, Method::GET, "/images").header("Authorization", "Bearer abc");
    assert_failed(&app.send(twice).await);
    let lower = app.request(Method::GET, "/accounts/me").header("Authorization", format!("bearer  {}", admin.access));
    assert_eq!(app.send(lower).await.ok()["id"], admin.id.as_str());
}

#[tokio::test]
async fn an_invalid_body_reports_the_broken_fields() {
    let app = TestApp::start().await;
    for (path, body, fields) in [
        ("/token", json!({}), &["email", "password"][..]),
        ("/token", json!({"email": 1, "password": ["a"]}), &["email", "password"]),
        ("/token", json!({"email": null, "password": "x"}), &["email"]),
        ("/token", json!({"email": "a@b", "password": "x", "scope": "all", "a": 1}), &["a", "scope"]),
        ("/token", json!({"emial": "a@b"}), &["email", "emial", "password"]),
        ("/token", json!([]), &["body"]),
        ("/token/refresh", json!({}), &["refresh"]),
        ("/token/refresh", json!({"refresh": {}, "access": ""}), &["access", "refresh"]),
        ("/token?email=a", json!({"email": "a@b", "password": "x"}), &["email"]),
    ] {
        let details = assert_error(&app.post_json(path, &body).await, 422, "ValidationError");
        let names: Vec<&String> = details.as_object().unwrap().keys().collect();
        assert_eq!(names, fields, "{path} {body}");
    }
    for path in ["/token", "/token/refresh"] {
        let post = |body: &str| {
            let request = app.request(Method::POST, path).header("Content-Type", "application/json");
            app.send(request.body(body.to_owned()))
        };
        for broken in ["", "{", "email=a&password=b", "{\"email\": \"a@b\", \"email\": \"c@d\", \"refresh\": \"\"}"] {
            assert_error(&post(broken).await, 400, "BadRequest");
        }
        assert_error(&post(&format!("{{\"refresh\": \"{}\"}}", "x".repeat(100_000))).await, 413, "PayloadTooLarge");
        let form = app.request(Method::POST, path).header("Content-Type", "application/x-www-form-urlencoded").body("a=b");
        assert_error(&app.send(form).await, 415, "UnsupportedMediaType");
        assert_error(&app.get(path).await, 405, "MethodNotAllowed");
    }
}
