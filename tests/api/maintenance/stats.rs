//! `GET /stats`: what all instances have processed since the service was installed.

use serde_json::{Value, json};

use crate::harness::client::{Client, Upload};
use crate::harness::pictures::{flat_jpeg, gif, jpeg, padded, png, webp};
use crate::harness::process::{Home, Process};
use crate::harness::{Form, TestApp, assert_error};

async fn stats(app: &TestApp) -> Value {
    app.get("/stats").await.ok()
}

#[tokio::test]
async fn before_the_first_image_every_count_is_zero() {
    let app = TestApp::start().await;
    let none = json!({"success": 0, "total_processing_time": 0.0, "avg_processing_time": 0.0});
    assert_eq!(
        stats(&app).await,
        json!({
            "success": 0, "failure": 0, "total_processing_time": 0.0, "avg_processing_time": 0.0,
            "formats": {"gif": none, "jpeg": none, "png": none, "webp": none}, "stages": {}, "failures": {},
        })
    );
    assert_error(&app.get("/stats?since=yesterday").await, 422, "ValidationError");
}

#[tokio::test]
async fn stored_and_rejected_files_are_counted_across_restarts() {
    let mut app = TestApp::start().await;
    let mut total = 0.0;
    for file in [jpeg(200, 200, 1), jpeg(200, 200, 2), png(200, 200, 3), webp(200, 200, 4)] {
        total += app.post(Form::upload("alice", &file)).await.image()["processing_time"].as_f64().unwrap();
    }
    let mut damaged = jpeg(200, 200, 5);
    damaged.truncate(2000);
    let too_large = padded(flat_jpeg(60, 60), 10 * 1024 * 1024 + 1);
    for rejected in [damaged, padded(flat_jpeg(40, 40), 2000), vec![0xff; 100], Vec::new(), too_large] {
        let answer = app.post(Form::upload("alice", &rejected)).await;
        assert!([400, 415].contains(&answer.status), "{}", answer.text());
    }
    assert_error(&app.post(Form::upload("alice", &vec![7; 5000])).await, 415, "UnsupportedMediaType");
    // Invalid requests do not count as rejected files.
    assert_error(&app.post(Form::upload("no spaces", &jpeg(60, 60, 1))).await, 422, "ValidationError");
    assert_error(&app.post(Form::new().text("user_id", "alice")).await, 422, "ValidationError");

    let counted = stats(&app).await;
    assert_eq!((&counted["success"], &counted["failure"]), (&json!(4), &json!(6)), "{counted:#}");
    let failures = counted["failures"].as_object().unwrap();
    assert_eq!(failures.values().map(|number| number.as_u64().unwrap()).sum::<u64>(), 6);
    assert!(failures["unsupported_format"].as_u64() >= Some(1) && failures["invalid_file"].as_u64() >= Some(3), "{failures:?}");
    let seconds = |value: &Value| value.as_f64().unwrap();
    assert!((seconds(&counted["total_processing_time"]) - total).abs() < 1e-5, "{counted:#}");
    assert!((seconds(&counted["avg_processing_time"]) - total / 4.0).abs() < 1e-5, "{counted:#}");
    for (format, number) in [("jpeg", 2), ("png", 1), ("webp", 1), ("gif", 0)] {
        let of_format = &counted["formats"][format];
        assert_eq!(of_format["success"], number);
        assert_eq!(seconds(&of_format["total_processing_time"]) > 0.0, number > 0);
    }
    for stage in ["decode", "thumbnails", "colors", "placeholder", "hash", "metadata", "intent", "objects", "record"] {
        assert_eq!(counted["stages"][stage]["count"], 4, "{stage}: {counted:#}");
        assert!(seconds(&counted["stages"][stage]["total_time"]) > 0.0, "{stage}");
    }
    app.restart().await;
    assert_eq!(stats(&app).await, counted, "counts in memory are saved at shutdown");
    app.post(Form::upload("alice", &gif(60, 60, 1, 1))).await.ok();
    assert_eq!(stats(&app).await["success"], 5);
    app.assert_sound().await;
}

#[tokio::test]
async fn deletions_and_repeated_uploads_do_not_change_the_counts() {
    let app = TestApp::start().await;
    let form = || Form::upload("alice", &jpeg(60, 60, 1));
    let id = app.post_with_key("key", form()).await.image_id();
    app.post_with_key("key", form()).await.ok();
    app.delete("alice", &id).await.ok();
    let counted = stats(&app).await;
    assert_eq!((&counted["success"], &counted["failure"]), (&json!(1), &json!(0)));
    assert_error(&app.post_with_key("key", Form::upload("alice", &jpeg(60, 60, 2))).await, 422, "ValidationError");
    assert_eq!(stats(&app).await["failure"], 0, "a key conflict is not a rejected file");
}

#[tokio::test]
async fn counts_are_not_doubled_while_they_are_being_saved() {
    let app = TestApp::start().await;
    for number in 1..=8 {
        app.post(Form::upload("alice", &vec![7; 5000])).await;
        let (written, counted) = tokio::join!(app.service().write_tally(), stats(&app));
        written.unwrap();
        assert_eq!(counted["failures"], json!({"unsupported_format": number}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_cover_all_instances_and_a_kill_loses_no_success() {
    let home = Home::new().await;
    let several = home.database_address().is_some() && !home.has_embedded_storage();
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    for seed in 0..3 {
        client.upload(&Upload::small("stored", seed)).await.ok();
    }
    let mut success = 3;
    if several {
        let other = Process::start(&home, &[]).await;
        Client::new(other.address).upload(&Upload::small("stored", 9)).await.ok();
        success += 1;
        assert_eq!(client.get("/stats").await.ok()["success"], success);
        other.stop().await;
        assert_eq!(client.get("/stats").await.ok()["stages"]["record"]["count"], success, "saved at shutdown");
    }
    process.kill().await;
    let process = Process::start(&home, &[]).await;
    assert_eq!(Client::new(process.address).get("/stats").await.ok()["success"], success);
    process.stop().await;
}
