//! Counters stay exact while images are deleted, restored and changed concurrently.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

async fn upload(app: &TestApp) -> String {
    app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea,sun")).await.image_id()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_concurrent_deletions_exactly_one_counts() {
    let app = Arc::new(TestApp::start().await);
    for _ in 0..5 {
        let id = upload(&app).await;
        let requests = (0..6).map(|_| {
            let (app, id) = (Arc::clone(&app), id.clone());
            tokio::spawn(async move { app.delete("alice", &id).await })
        });
        let answers: Vec<_> = join_all(requests).await.into_iter().map(|answer| answer.expect("a response")).collect();
        let (deleted, rejected): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(deleted.len(), 1);
        rejected.iter().for_each(|answer| drop(assert_error(answer, 410, "Gone")));
        assert_eq!(app.get("/tags/sea/images").await.ok()["total_count"], 0);
    }
    app.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deletions_restorations_and_changes_keep_every_counter_exact() {
    let app = Arc::new(TestApp::start().await);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(upload(&app).await);
    }
    let tasks = (0..6).map(|task| {
        let (app, ids) = (Arc::clone(&app), ids.clone());
        tokio::spawn(async move {
            for round in 0..15 {
                let id = &ids[(task + round) % ids.len()];
                let answer = match task % 3 {
                    0 => app.delete("alice", id).await,
                    1 => app.restore("alice", id).await,
                    _ => app.patch("alice", id, &json!({"tags": [format!("tag {}", round % 4), "sea"]})).await,
                };
                assert!([200, 404, 409, 410].contains(&answer.status), "{}", answer.text());
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("every response has an expected status");
    }
    app.assert_sound().await;
    let live = app.walk("/images", 100).await.len();
    for list in ["/images", "/users/alice/images", "/images?start_date=2020-01-01"] {
        assert_eq!(app.get(list).await.ok()["total_count"], live, "{list}");
    }
    for id in &ids {
        app.restore("alice", id).await;
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 3);
    app.assert_sound().await;
}
