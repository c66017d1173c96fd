//! `GET /health` and `GET /ready`.

use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn health_reports_that_the_process_is_up() {
    let app = TestApp::start().await;
    let expected = json!({"status": "healthy", "service": "instagram-image-service", "version": "1.0.0"});
    assert_eq!(app.get("/health").await.ok(), expected);
}

#[tokio::test]
async fn ready_reports_that_database_and_storage_are_up() {
    let app = TestApp::start().await;
    assert_eq!(
        app.get("/ready").await.ok(),
        json!({"status": "ready", "database": "up", "storage": "up", "captions": "off", "caption_model": null})
    );
}
