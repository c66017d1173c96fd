//! The served OpenAPI document, and the pages that show it.

use image_service::http::openapi;

use crate::harness::TestApp;

#[tokio::test]
async fn the_documentation_pages_are_served() {
    let app = TestApp::start().await;
    for path in ["/", "/docs"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, "docs/"), "{path}");
    }
    let page = app.get("/docs/").await;
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("swagger-ui"), "{}", page.text());
    assert!(page.text().contains("<title>Image Service</title>"), "{}", page.text());
    let initializer = app.get("/docs/swagger-initializer.js").await;
    assert!(initializer.text().contains("\"../openapi.json\""), "{}", initializer.text());
    assert!(initializer.text().contains("\"persistAuthorization\": true"), "{}", initializer.text());
    let page = app.get("/redoc").await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(!page.text().contains("//cdn"), "the page loads nothing from other hosts");
    let source = page.text().split("<script src=\"").nth(1).unwrap().split('"').next().unwrap();
    let script = app.get(&format!("/{source}")).await;
    assert!(script.status == 200 && script.header("content-type").contains("javascript") && script.body.len() > 100_000);
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
}

#[tokio::test]
async fn the_documentation_pages_fit_small_screens_and_work_below_a_path_prefix() {
    let app = TestApp::start().await;
    for path in ["/docs/", "/redoc"] {
        let page = app.get(path).await;
        assert!(page.status == 200 && page.text().contains("<meta name=\"viewport\" content=\"width=device-width"), "{path}");
        // A proxy may serve this page below a path prefix that it strips. An absolute path would leave the prefix.
        for attribute in ["src=\"", "href=\"", "spec-url=\""] {
            for address in page.text().split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(!address.starts_with('/') && !address.starts_with("http"), "{path}: {address}");
                if address.starts_with("data:") {
                    continue;
                }
                let base = reqwest::Url::parse(&app.url(path)).unwrap();
                let target = base.join(address).unwrap();
                assert_eq!(app.get(target.path()).await.status, 200, "{path}: {address}");
            }
        }
    }
}

#[tokio::test]
async fn the_served_openapi_document_describes_the_routes() {
    let app = TestApp::start().await;
    let yaml = app.get("/openapi.yaml").await;
    assert_eq!((yaml.status, yaml.header("content-type")), (200, "application/yaml"));
    assert!(yaml.text().starts_with("openapi: ") && yaml.text().contains("\n  /images:\n"), "{}", yaml.text());
    let document = app.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert_eq!(document["paths"], serde_json::to_value(openapi::document()).expect("the document")["paths"]);
    assert!(document["paths"].as_object().expect("paths").len() > 30);
    let error = document["components"]["schemas"].as_object().unwrap().keys().any(|name| name == "ErrorType");
    assert!(error, "the document lists the error types");
}
