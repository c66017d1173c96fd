//! A full disk: stored images are served, new uploads are rejected, and everything works again once space is available.
//! The test simulates a full disk with a limit on file sizes, which it sets and lifts.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::assert_error;
use crate::harness::client::{Client, Upload};
use crate::harness::pictures::{jpeg, padded};
use crate::harness::process::{Home, Process};

/// Limits the size of files that the running process may write. Larger writes fail.
fn limit_files(process: &Process, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &process.pid().to_string(), &limit]).status().unwrap();
    assert!(status.success(), "prlimit from util-linux must set the limit");
}

/// SQLite and the embedded S3 server, which both write to the limited disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_recovered_from() {
    let home = Home::embedded();
    // Without this trap, the kernel kills a process that writes beyond the limit.
    let process = Process::start_after("trap '' XFSZ", &home, &[]).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("before", 0)).await.image_id();
    let mut stored = 1;
    let log_bytes = std::fs::metadata(home.data_dir().join("images.sqlite-wal")).unwrap().len();
    // From no space at all to space for the start of a transaction.
    for (round, limit) in [1, 4096, 20_000, log_bytes + 100, log_bytes + 10_000, log_bytes + 60_000].into_iter().enumerate() {
        limit_files(&process, &limit.to_string());
        for seed in 0..3 {
            let answer = client.upload(&Upload::small("during", round as u64 * 10 + seed)).await;
            if answer.status == 200 {
                stored += 1;
            } else {
                assert_error(&answer, 503, "ServiceUnavailable");
            }
        }
        let change = client.patch(&id, &json!({"description": format!("in round {round}")})).await;
        assert!(matches!(change.status, 200 | 503), "{}", change.text());
        assert_eq!(client.get(&format!("/images/{id}")).await.ok()["title"], "before");
        assert_eq!(client.get("/images").await.ok()["total_count"], stored, "rejected uploads are not listed");
        limit_files(&process, "unlimited");
        upload_until_stored(&client, round as u64 + 100).await;
        stored += 1;
        client.patch(&id, &json!({"description": "with room"})).await.ok();
    }
    assert_eq!(client.list().await.len(), stored);
    for image in client.list().await {
        client.assert_whole(&image).await;
    }
    process.stop().await;
    let report = home.run(&["doctor"], &[]).await;
    assert!(report.status.success(), "{report:?}");
}

/// An upload that does not fit into the memory for arriving bodies spills to disk, which has no space left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_spill_to_disk_is_rejected_and_logged() {
    let home = Home::embedded();
    let process = Process::start_after("trap '' XFSZ", &home, &[("UPLOAD_MEMORY_BUDGET", "11MiB")]).await;
    let client = Client::new(process.address);
    let large = Upload::of("large", &padded(jpeg(96, 64, 1), 4 << 20));
    limit_files(&process, "65536");
    assert_error(&client.upload(&large).await, 503, "ServiceUnavailable");
    limit_files(&process, "unlimited");
    client.upload(&large).await.ok();
    assert_eq!(client.count_whole("large").await, 1);
    let log = process.stop().await;
    assert!(log.contains("failed to write an upload's temporary file in UPLOAD_DISK_DIR"), "{log}");
}

async fn upload_until_stored(client: &Client, seed: u64) {
    let started = Instant::now();
    loop {
        let answer = client.upload(&Upload::small("after", seed)).await;
        if answer.status == 200 {
            return;
        }
        assert_error(&answer, 503, "ServiceUnavailable");
        assert!(started.elapsed() < Duration::from_secs(20), "the service does not recover: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A failing log output must not affect requests.
#[tokio::test]
async fn a_failing_log_output_does_not_affect_requests() {
    let home = Home::embedded();
    let process = Process::start_after("exec 2>/dev/full", &home, &[("LOG_LEVEL", "debug")]).await;
    let client = Client::new(process.address);
    let id = client.upload(&Upload::small("unlogged", 0)).await.image_id();
    assert_eq!(client.get(&format!("/images/{id}")).await.ok()["title"], "unlogged");
    process.stop().await;
}
