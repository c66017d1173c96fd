//! Access tokens: their claims, and which tokens are rejected. The tests parse and write JWTs by hand.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use crate::harness::{Login, PASSWORD, TestApp, assert_error};

pub const SECRET: &str = "the-operators-own-secret-of-42-characters-";
pub const OTHER_SECRET: &str = "another-secret-that-nobody-has-told-to-us-";

pub async fn with_secret() -> (TestApp, Login) {
    let app = TestApp::with(&[&format!("--jwt-secret={SECRET}")]).await;
    app.clock.stop_at("2030-05-06T07:08:09Z");
    let admin = app.admin().await;
    (app, admin)
}

/// The status of a request with this token.
pub async fn status(app: &TestApp, token: &str) -> u16 {
    let answer = app.send(app.request(Method::GET, "/accounts/me").bearer_auth(token)).await;
    if answer.status == 401 {
        assert_error(&answer, 401, "Unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{answer:?}");
    }
    answer.status
}

pub async fn log_in(app: &TestApp, email: &str) -> String {
    let tokens = app.post_json("/token", &json!({"email": email, "password": PASSWORD})).await;
    assert_eq!(tokens.status, 201, "{}", tokens.text());
    tokens.json()["access"].as_str().expect("a token").to_owned()
}

/// A JWT, as any client could write it.
#[derive(Debug, Clone)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
}

impl Jwt {
    pub fn read(token: &str) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        let read = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
        Self { header: read(parts[0]), claims: read(parts[1]) }
    }

    /// Returns the token with another header field, or without it.
    pub fn header(&self, name: &str, value: Option<Value>) -> Self {
        Self { header: changed(&self.header, name, value), ..self.clone() }
    }

    /// Returns the token with another claim, or without it.
    pub fn claim(&self, name: &str, value: Option<Value>) -> Self {
        Self { claims: changed(&self.claims, name, value), ..self.clone() }
    }

    pub fn unsigned(&self) -> String {
        let write = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", write(&self.header), write(&self.claims))
    }

    pub fn signed(&self, secret: &str) -> String {
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

pub fn hs256(secret: &str, text: &str) -> Vec<u8> {
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
