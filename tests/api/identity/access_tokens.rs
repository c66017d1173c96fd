//! Access tokens: their claims, which tokens are rejected, and the keys that sign them. The tests parse and write JWTs
//! by hand.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use hmac::{Hmac, KeyInit, Mac};
use image_service::store::Db;
use image_service::store::database::db::Run;
use image_service::store::database::sql::Sql;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use crate::harness::{Login, PASSWORD, TestApp, assert_error};

const SECRET: &str = "the-operators-own-secret-of-42-characters-";
const OTHER_SECRET: &str = "another-secret-that-nobody-has-told-to-us-";

async fn with_secret() -> (TestApp, Login) {
    let app = TestApp::with(&[&format!("--jwt-secret={SECRET}")]).await;
    app.clock.stop_at("2030-05-06T07:08:09Z");
    let admin = app.admin().await;
    (app, admin)
}

/// The status of a request with this token.
async fn status(app: &TestApp, token: &str) -> u16 {
    let answer = app.send(app.request(Method::GET, "/accounts/me").bearer_auth(token)).await;
    if answer.status == 401 {
        assert_error(&answer, 401, "Unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{answer:?}");
    }
    answer.status
}

async fn log_in(app: &TestApp, email: &str) -> String {
    let tokens = app.post_json("/token", &json!({"email": email, "password": PASSWORD})).await;
    assert_eq!(tokens.status, 201, "{}", tokens.text());
    tokens.json()["access"].as_str().expect("a token").to_owned()
}

/// A JWT, as any client could write it.
#[derive(Debug, Clone)]
struct Jwt {
    header: Value,
    claims: Value,
}

impl Jwt {
    fn read(token: &str) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        let read = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
        Self { header: read(parts[0]), claims: read(parts[1]) }
    }

    /// Returns the token with another header field, or without it.
    fn header(&self, name: &str, value: Option<Value>) -> Self {
        Self { header: changed(&self.header, name, value), ..self.clone() }
    }

    /// Returns the token with another claim, or without it.
    fn claim(&self, name: &str, value: Option<Value>) -> Self {
        Self { claims: changed(&self.claims, name, value), ..self.clone() }
    }

    fn unsigned(&self) -> String {
        let write = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", write(&self.header), write(&self.claims))
    }

    fn signed(&self, secret: &str) -> String {
        let text = self.unsigned();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(hs256(secret, &text)))
    }
}

fn changed(part: &Value, name: &str, value: Option<Value>) -> Value {
    let mut part = part.as_object().expect("an object").clone();
    match value {
        Some(value) => part.insert(name.to_owned(), value),
        None => part.remove(name),
    };
    Value::Object(part)
}

fn hs256(secret: &str, text: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn an_access_token_has_the_account_the_session_and_the_expiry_as_claims() {
    let (app, admin) = with_secret().await;
    let jwt = Jwt::read(&admin.access);
    let kid = jwt.header["kid"].as_str().expect("a key id");
    assert_eq!(jwt.header, json!({"alg": "HS256", "typ": "JWT", "kid": kid}));
    assert!(!kid.is_empty() && !SECRET.contains(kid), "{kid}");
    let issued = DateTime::parse_from_rfc3339("2030-05-06T07:08:09Z").unwrap().timestamp();
    let sid = jwt.claims["sid"].as_str().expect("a session");
    assert_eq!(
        jwt.claims,
        json!({
            "iss": "image-service", "aud": "image-service", "sub": admin.id, "sid": sid,
            "iat": issued, "exp": issued + 900,
        }),
    );
    let (text, signature) = admin.access.rsplit_once('.').unwrap();
    assert_eq!(signature, URL_SAFE_NO_PAD.encode(hs256(SECRET, text)));
    // Another login creates another session, signed with the same key.
    let other = Jwt::read(&log_in(&app, &admin.email).await);
    assert_eq!(other.header, jwt.header);
    assert_ne!(other.claims["sid"], sid);
}

#[tokio::test]
async fn an_access_token_expires_after_15_minutes() {
    let (app, admin) = with_secret().await;
    app.clock.advance(TimeDelta::minutes(15) - TimeDelta::milliseconds(1));
    assert_eq!(status(&app, &admin.access).await, 200);
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(status(&app, &admin.access).await, 401);
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(status(&app, &admin.access).await, 401);
    let next = app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await;
    assert_eq!(next.status, 201, "the session continues: {}", next.text());
    assert_eq!(status(&app, &admin.access).await, 401, "the access token has expired");
}

#[tokio::test]
async fn a_forged_token_is_rejected() {
    let (app, admin) = with_secret().await;
    let other = app.account(&admin, "ann", &json!({})).await;
    let jwt = Jwt::read(&admin.access);
    assert_eq!(status(&app, &jwt.signed(SECRET)).await, 200, "the service accepts tokens written by the test");
    let text = |value: &str| Some(json!(value));
    let (now, own_signature) = (jwt.claims["iat"].as_i64().unwrap(), admin.access.rsplit_once('.').unwrap().1);
    let mut refused = vec![
        ("another secret", jwt.signed(OTHER_SECRET)),
        ("no secret", jwt.signed("")),
        ("the key id as the secret", jwt.signed(jwt.header["kid"].as_str().unwrap())),
        ("no kid", jwt.header("kid", None).signed(SECRET)),
        ("an unknown kid", jwt.header("kid", text("0123456789abcdef")).signed(SECRET)),
        ("an empty kid", jwt.header("kid", text("")).signed(SECRET)),
        ("a kid that is not a string", jwt.header("kid", Some(json!(1))).signed(SECRET)),
        ("no alg", jwt.header("alg", None).signed(SECRET)),
        ("another issuer", jwt.claim("iss", text("image-service.example.org")).signed(SECRET)),
        ("no issuer", jwt.claim("iss", None).signed(SECRET)),
        ("another audience", jwt.claim("aud", text("another-service")).signed(SECRET)),
        ("no audience", jwt.claim("aud", None).signed(SECRET)),
        ("no expiry", jwt.claim("exp", None).signed(SECRET)),
        ("an expiry that is not a number", jwt.claim("exp", text("never")).signed(SECRET)),
        ("an expiry in the past", jwt.claim("exp", Some(json!(now - 1))).signed(SECRET)),
        ("an expiry in three years", jwt.claim("exp", Some(json!(now + 100_000_000))).signed(SECRET)),
        ("a lifetime of an hour", jwt.claim("iat", Some(json!(now - 1800))).claim("exp", Some(json!(now + 1800))).signed(SECRET)),
        (
            "a lifetime in the future",
            jwt.claim("iat", Some(json!(now + 9000))).claim("exp", Some(json!(now + 9900))).signed(SECRET),
        ),
        ("no session", jwt.claim("sid", None).signed(SECRET)),
        ("an unknown session", jwt.claim("sid", text("01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a")).signed(SECRET)),
        ("a malformed session id", jwt.claim("sid", text("' or 1=1")).signed(SECRET)),
        ("another account's session", jwt.claim("sub", text(&other.id)).signed(SECRET)),
        ("no account", jwt.claim("sub", None).signed(SECRET)),
        ("altered claims", format!("{}.{own_signature}", jwt.claim("exp", Some(json!(now + 901))).unsigned())),
        ("no signature", format!("{}.", jwt.unsigned())),
        ("two parts", jwt.unsigned()),
        ("four parts", format!("{}.e30", jwt.signed(SECRET))),
        ("half a signature", admin.access[..admin.access.len() - 22].to_owned()),
        ("other base64", jwt.signed(SECRET).split('.').map(standard).collect::<Vec<_>>().join(".")),
        ("claims that are not an object", sign_text(&jwt.header.to_string(), "[]")),
        ("a header that is not an object", sign_text("[]", &jwt.claims.to_string())),
        ("something else", "abc".to_owned()),
        ("dots", "..".to_owned()),
    ];
    for alg in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "HS256 "] {
        let jwt = jwt.header("alg", text(alg));
        refused.push((alg, jwt.signed(SECRET)));
        refused.push((alg, format!("{}.", jwt.unsigned())));
    }
    let (hs384, hs512) = (jwt.header("alg", text("HS384")).unsigned(), jwt.header("alg", text("HS512")).unsigned());
    let signature = Hmac::<Sha384>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(&hs384).finalize().into_bytes();
    refused.push(("HS384, signed as such", format!("{hs384}.{}", URL_SAFE_NO_PAD.encode(signature))));
    let signature = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(&hs512).finalize().into_bytes();
    refused.push(("HS512, signed as such", format!("{hs512}.{}", URL_SAFE_NO_PAD.encode(signature))));
    for (what, token) in refused {
        assert_eq!(status(&app, &token).await, 401, "{what}: {token}");
    }
    assert_eq!(status(&app, &admin.access).await, 200, "the valid token still works");
}

/// Encodes a part with the standard alphabet and padding instead of base64url.
fn standard(part: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    format!("{}=", STANDARD_NO_PAD.encode(bytes))
}

fn sign_text(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hs256(SECRET, &text)))
}

#[tokio::test]
async fn a_token_altered_at_any_position_is_rejected() {
    let (app, admin) = with_secret().await;
    let token = admin.access.as_bytes();
    // The last character encodes unused bits. They must match too.
    for position in (0..token.len()).step_by(5).chain([token.len() - 1]) {
        let mut altered = token.to_vec();
        altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(status(&app, &altered).await, 401, "{position}: {altered}");
    }
    let last = token[token.len() - 1];
    for other in (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"-_").filter(|other| *other != last) {
        let altered = format!("{}{}", &admin.access[..token.len() - 1], char::from(other));
        assert_eq!(status(&app, &altered).await, 401, "{altered}");
    }
}

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

/// The challenges of a 401, one per header field.
async fn challenges(app: &TestApp, headers: &[(&str, &str)]) -> Vec<String> {
    let request =
        headers.iter().fold(app.request(Method::GET, "/accounts/me"), |request, (name, value)| request.header(*name, *value));
    let answer = app.send(request).await;
    assert_eq!(answer.status, 401);
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn programs_get_a_basic_challenge_and_browsers_do_not() {
    let app = TestApp::start().await;
    let basic = "Basic realm=\"images\", charset=\"UTF-8\"";
    for program in [&[][..], &[("Accept", "*/*"), ("User-Agent", "Wget/1.21.3")], &[("Authorization", "Bearer nonsense")]] {
        let received = challenges(&app, program).await;
        assert!(
            received.len() == 2 && received[0].starts_with("Bearer realm=\"images\"") && received[1] == basic,
            "{received:?}"
        );
    }
    for browser in [
        ("Sec-Fetch-Mode", "cors"),
        ("X-Requested-With", "XMLHttpRequest"),
        ("Origin", "https://example.org"),
        ("Accept", "text/html,application/xhtml+xml"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
    ] {
        let received = challenges(&app, &[browser]).await;
        assert!(received.len() == 1 && received[0].starts_with("Bearer "), "{received:?}");
    }
}

#[tokio::test]
async fn a_password_in_latin_1_is_accepted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let password = "Grüße aus Köln 7";
    let fields = json!({"email": "case@example.org", "password": password});
    assert_eq!(app.json_as(&admin, Method::POST, "/accounts", &fields).await.status, 201);
    let latin1: Vec<u8> = format!("case@example.org:{password}").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf8 = format!("case@example.org:{password}").into_bytes();
    for (bytes, status) in [(latin1, 200), (utf8, 200), (b"case@example.org:Gr\xfc\xdfe".to_vec(), 401)] {
        let credentials = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&bytes));
        assert_eq!(app.get_with("/accounts/me", "Authorization", &credentials).await.status, status, "{bytes:?}");
    }
}
