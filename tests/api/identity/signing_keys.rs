//! The keys that sign access tokens: secrets of the operator, generated keys, and their rotation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use image_service::store::Db;
use image_service::store::database::db::Run;
use image_service::store::database::sql::Sql;
use serde_json::json;

use super::access_tokens::{Jwt, OTHER_SECRET, SECRET, hs256, log_in, status, with_secret};
use crate::harness::{PASSWORD, TestApp, assert_error};

#[tokio::test]
async fn a_secret_is_rotated_by_listing_the_new_one_first_and_then_removing_the_old_one() {
    let (mut app, admin) = with_secret().await;
    app.set(&format!("--jwt-secret={OTHER_SECRET},{SECRET}"));
    app.restart().await;
    assert_eq!(status(&app, &admin.access).await, 200);
    let next = log_in(&app, &admin.email).await;
    assert_eq!(status(&app, &next).await, 200);
    let (old, new) = (Jwt::read(&admin.access), Jwt::read(&next));
    assert_ne!(old.header["kid"], new.header["kid"]);
    assert_eq!(status(&app, &new.signed(SECRET)).await, 401, "a token must be signed with the key that its kid names");
    assert_eq!(next, resigned(&next, OTHER_SECRET));
    app.set(&format!("--jwt-secret={OTHER_SECRET}"));
    app.restart().await;
    assert_eq!((status(&app, &admin.access).await, status(&app, &next).await), (401, 200));
    // The session itself does not depend on a signature.
    let refreshed = app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await.json();
    let refreshed = refreshed["access"].as_str().expect("a token");
    assert_eq!((status(&app, refreshed).await, &Jwt::read(refreshed).header), (200, &new.header));
}

/// Two instances with the settings of adjacent steps run at the same time while the instances restart one after another.
#[tokio::test]
async fn while_instances_restart_one_after_another_each_accepts_tokens_of_the_others() {
    let (mut app, admin) = with_secret().await;
    let (old, new) = (SECRET, OTHER_SECRET);
    let (added, moved) = (format!("{old},{new}"), format!("{new},{old}"));
    for (before, after, accepted_before) in [(old, &*added, 200), (&added, &moved, 200), (&moved, new, 200), (old, &moved, 401)] {
        let mut tokens = Vec::new();
        for secrets in [before, after] {
            app.set(&format!("--jwt-secret={secrets}"));
            app.restart().await;
            tokens.push(log_in(&app, &admin.email).await);
        }
        assert_eq!(status(&app, &tokens[0]).await, 200, "from {before} to {after}");
        app.set(&format!("--jwt-secret={before}"));
        app.restart().await;
        assert_eq!(status(&app, &tokens[1]).await, accepted_before, "from {before} to {after}");
    }
}

fn resigned(token: &str, secret: &str) -> String {
    let (text, _) = token.rsplit_once('.').unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hs256(secret, text)))
}

#[tokio::test]
async fn without_a_secret_a_generated_key_is_stored_and_rotated_after_30_days() {
    let mut app = TestApp::start().await;
    app.clock.stop_at("2030-05-06T07:08:09Z");
    let admin = app.admin().await;
    let (db, kid) = (app.database().await, |token: &str| Jwt::read(token).header["kid"].clone());
    app.restart().await;
    assert_eq!(status(&app, &admin.access).await, 200);
    assert_eq!(keys(&db).await, 1);
    app.clock.advance(TimeDelta::days(30) - TimeDelta::minutes(1));
    let last = log_in(&app, &admin.email).await;
    assert_eq!(kid(&last), kid(&admin.access));
    app.clock.advance(TimeDelta::minutes(1));
    let first = log_in(&app, &admin.email).await;
    assert_ne!(kid(&first), kid(&admin.access));
    app.restart().await;
    app.clock.advance(TimeDelta::minutes(14) - TimeDelta::milliseconds(1));
    assert_eq!((status(&app, &last).await, status(&app, &first).await), (200, 200));
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!((status(&app, &last).await, status(&app, &first).await), (401, 200));
    // Keys that cannot have signed an unexpired token are deleted.
    for _ in 0..3 {
        app.clock.advance(TimeDelta::days(30));
        log_in(&app, &admin.email).await;
        assert_eq!(keys(&db).await, 2);
    }
    db.close().await;
}

async fn keys(db: &Db) -> i64 {
    let (keys,) = db.fetch_optional::<(i64,)>(Sql::new("select count(*) from signing_keys")).await.unwrap().unwrap();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_accept_tokens_of_each_other() {
    let app = TestApp::start().await;
    let mut config = app.config();
    if config.database_url.is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    config.data_dir = folder.path().join("data");
    let second = image_service::app::start(config, app.clock.clone()).await.expect("a second instance starts");
    let at_second = |path: &str| format!("http://{}{path}", second.address);
    let log_in_at_second = async |email: &str| {
        let answer = app.send(app.client.post(at_second("/token")).json(&json!({"email": email, "password": PASSWORD}))).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["access"].as_str().expect("a token").to_owned()
    };
    let status_at_second =
        async |token: &str| app.send(app.client.get(at_second("/accounts/me")).bearer_auth(token)).await.status;
    let admin = app.admin().await;
    for _ in 0..3 {
        // Both instances may find the key expired at the same moment.
        let (here, there) = tokio::join!(log_in(&app, &admin.email), log_in_at_second(&admin.email));
        assert_eq!(Jwt::read(&here).header, Jwt::read(&there).header);
        assert_eq!((status(&app, &there).await, status_at_second(&here).await), (200, 200));
        app.clock.advance(TimeDelta::days(30));
        // One instance has signed with a key that the other has not loaded yet.
        let here = log_in(&app, &admin.email).await;
        assert_eq!(status_at_second(&here).await, 200);
        app.clock.advance(TimeDelta::days(30));
    }
    let here = log_in(&app, &admin.email).await;
    let tokens = app.send(app.client.post(at_second("/token")).json(&json!({"email": admin.email, "password": PASSWORD}))).await;
    let refresh = tokens.json()["refresh"].clone();
    let refreshed = app.post_json("/token/refresh", &json!({"refresh": refresh})).await;
    assert_eq!((refreshed.status, status_at_second(&here).await), (201, 200));
    // A client whose response was lost may retry on the other instance.
    let again = async || app.send(app.client.post(at_second("/token/refresh")).json(&json!({"refresh": refresh}))).await;
    let repeated = again().await;
    assert_eq!((repeated.status, &repeated.json()["refresh"]), (201, &refreshed.json()["refresh"]));
    // A session revoked on one instance is revoked on the other.
    app.clock.advance(TimeDelta::seconds(60));
    assert_error(&again().await, 401, "Unauthorized");
    assert_eq!(status(&app, refreshed.json()["access"].as_str().unwrap()).await, 401);
    second.shut_down().await.expect("an orderly shutdown");
}

#[tokio::test]
async fn spaces_around_secrets_are_ignored() {
    let (mut app, admin) = with_secret().await;
    app.set(&format!("--jwt-secret={OTHER_SECRET}, {SECRET} "));
    app.restart().await;
    assert_eq!(status(&app, &admin.access).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_of_another_instance_is_found_after_a_look_up_of_an_unknown_key() {
    let app = TestApp::start().await;
    let mut config = app.config();
    if config.database_url.is_none() {
        return;
    }
    app.clock.stop();
    let folder = tempfile::tempdir().expect("a directory");
    config.data_dir = folder.path().join("data");
    let second = image_service::app::start(config, app.clock.clone()).await.expect("a second instance starts");
    let status_at_second = async |token: &str| {
        let url = format!("http://{}/accounts/me", second.address);
        app.send(app.client.get(url).bearer_auth(token)).await.status
    };
    let made_up = Jwt { header: json!({"alg": "HS256", "kid": "0123456789abcdef"}), claims: json!({}) }.signed(SECRET);
    assert_eq!(status_at_second(&made_up).await, 401);
    let admin = app.admin().await;
    assert_eq!(status_at_second(&admin.access).await, 200);
    app.clock.advance(TimeDelta::days(30));
    assert_eq!(status_at_second(&made_up).await, 401);
    assert_eq!(status_at_second(&log_in(&app, &admin.email).await).await, 200);
    second.shut_down().await.expect("an orderly shutdown");
}
