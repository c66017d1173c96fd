//! CORS: which origins may call the API, with which headers.

use reqwest::Method;

use crate::harness::{Answer, TestApp, assert_error};

async fn preflight(app: &TestApp, origin: &str) -> Answer {
    let request = app.request(Method::OPTIONS, "/images").header("Origin", origin);
    let request = request.header("Access-Control-Request-Method", "POST");
    app.send(request.header("Access-Control-Request-Headers", "content-type,x-user-id,idempotency-key")).await
}

#[tokio::test]
async fn cors_allows_the_headers_of_upload_widgets_and_tracing_and_exposes_response_headers() {
    for origins in ["*", "https://example.org"] {
        let app = TestApp::with(&[&format!("--cors-origins={origins}")]).await;
        let answer = preflight(&app, "https://example.org").await;
        let allowed = answer.header("access-control-allow-headers").to_lowercase();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        for name in [
            "authorization",
            "baggage",
            "cache-control",
            "content-type",
            "if-none-match",
            "if-range",
            "range",
            "sentry-trace",
            "traceparent",
            "tracestate",
            "x-api-key",
            "x-requested-with",
        ] {
            assert!(allowed.contains(&name), "{name} is not in {allowed:?}");
        }
        assert!(answer.header("access-control-max-age").parse::<u32>().is_ok_and(|seconds| seconds >= 600));
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://example.org")).await;
        let exposed = answer.header("access-control-expose-headers").to_lowercase();
        for name in [
            "accept-ranges",
            "content-disposition",
            "content-range",
            "etag",
            "link",
            "location",
            "retry-after",
            "www-authenticate",
        ] {
            assert!(exposed.split(',').any(|known| known.trim() == name), "{name} is not in {exposed}");
        }
    }
}

#[tokio::test]
async fn other_origins_are_not_allowed_by_default() {
    let app = TestApp::start().await;
    let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://example.org")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
    let answer = preflight(&app, "https://example.org").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    assert_eq!(answer.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn cors_origins_allows_the_named_origins() {
    let app = TestApp::with(&["--cors-origins=https://example.org,http://localhost:3000"]).await;
    for origin in ["https://example.org", "http://localhost:3000"] {
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", origin)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
        assert!(answer.header("vary").to_lowercase().contains("origin"), "caches must tell origins apart");
        assert!(answer.header("access-control-expose-headers").to_lowercase().contains("x-request-id"));
        let answer = app.send(app.request(Method::GET, "/images?limit=0").header("Origin", origin)).await;
        assert_error(&answer, 422, "ValidationError");
        assert_eq!(answer.header("access-control-allow-origin"), origin, "pages may read errors, too");
        let answer = preflight(&app, origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
        let headers = answer.header("access-control-allow-headers").to_lowercase();
        assert!(["content-type", "x-user-id", "idempotency-key"].iter().all(|header| headers.contains(header)), "{headers}");
        let methods = answer.header("access-control-allow-methods");
        assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    for other in ["https://example.com", "http://example.org", "https://example.org.evil.com", "null"] {
        let answer = app.send(app.request(Method::GET, "/images").header("Origin", other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
        assert_eq!(preflight(&app, other).await.header("access-control-allow-origin"), "", "{other}");
    }
}

#[tokio::test]
async fn a_star_in_cors_origins_allows_every_origin() {
    let app = TestApp::with(&["--cors-origins=*"]).await;
    let answer = app.send(app.request(Method::GET, "/images").header("Origin", "https://anything.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
}
