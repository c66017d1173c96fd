//! Basic authentication: who is asked for a password, and how it is encoded.

use base64::Engine;
use reqwest::Method;
use serde_json::json;

use crate::harness::TestApp;

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
