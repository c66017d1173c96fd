//! The bucket and the connection to it: a missing bucket, old object versions, credentials, proxies and certificates.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::assert_error;
use crate::harness::bucket_server::BucketServer;
use crate::harness::client::{Client, Upload};
use crate::harness::process::{Home, Process};

/// A home that uses the storage at `url`.
async fn home_at(url: &str) -> Home {
    let mut home = Home::new().await;
    // The machine's own CA bundle must not apply here.
    home.unset("AWS_CA_BUNDLE");
    for (variable, value) in [
        ("S3_ENDPOINT_URL", url),
        ("S3_BUCKET", "images"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "us-east-1"),
    ] {
        home.set(variable, value);
    }
    home
}

async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_until_ready(client: &Client) {
    wait_until("the service is ready", async || client.try_get("/ready").await == Some(200)).await;
}

/// Uploads an image, deletes it, and waits until it is purged.
async fn upload_and_purge(client: &Client, server: &BucketServer) {
    let image = client.upload(&Upload::small("to be purged", 1)).await.image_id();
    client.delete(&image).await;
    wait_until("nothing waits for its removal", async || {
        server.contents().count().0 == 0 && client.get("/metrics").await.text().contains("intents{state=\"removing\"} 0\n")
    })
    .await;
}

const IMMEDIATE_PURGE: [(&str, &str); 2] = [("RETENTION_DAYS", "0"), ("SWEEP_INTERVAL", "1")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_is_named_by_readiness_and_the_log_until_it_exists() {
    let server = BucketServer::without_bucket().await;
    let home = home_at(&server.url).await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let mut answer = client.get("/ready").await;
    for _ in 0..4 {
        answer = client.get("/ready").await;
    }
    assert_eq!(answer.status, 503);
    let message = "The bucket \"images\" does not exist. Create it, or set S3_CREATE_BUCKET=true.";
    assert_eq!((&answer.json()["message"], &answer.json()["storage"]), (&message.into(), &"down".into()));
    assert_error(&client.upload(&Upload::small("too early", 1)).await, 503, "ServiceUnavailable");
    let sentence = format!(
        "the storage cannot be used: the bucket \"images\" does not exist at {}; create it, or set S3_CREATE_BUCKET=true",
        server.url
    );
    server.contents().exists = true;
    wait_until_ready(&client).await;
    client.upload(&Upload::small("in time", 1)).await.ok();
    let log = process.stop().await;
    assert_eq!(log.matches(&sentence).count(), 1, "a repeated failure is logged once: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_is_created_if_configured() {
    for (region, expected) in [("us-east-1", ""), ("eu-north-1", "<LocationConstraint>eu-north-1</LocationConstraint>")] {
        let server = BucketServer::without_bucket().await;
        let homes = [home_at(&server.url).await, home_at(&server.url).await];
        let settings = [("AWS_REGION", region), ("S3_CREATE_BUCKET", "true")];
        // Both instances find no bucket.
        let (one, other) = tokio::join!(Process::start(&homes[0], &settings), Process::start(&homes[1], &settings));
        for process in [one, other] {
            let client = Client::new(process.address);
            wait_until_ready(&client).await;
            client.upload(&Upload::small("stored", 1)).await.ok();
            process.stop().await;
        }
        let creation_body = server.contents().creation_body.clone().expect("the bucket was created");
        assert!(creation_body.contains(expected) && creation_body.contains("Location") != expected.is_empty(), "{creation_body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_deletes_all_versions_in_a_versioned_bucket() {
    // The service learns about versioning from the bucket's configuration, or else from the response to a deletion.
    for refused in [&[][..], &["versioning"]] {
        let server = BucketServer::start().await;
        server.contents().versioned = true;
        server.contents().rejected.extend(refused);
        let home = home_at(&server.url).await;
        let process = Process::start(&home, &IMMEDIATE_PURGE).await;
        let client = Client::new(process.address);
        upload_and_purge(&client, &server).await;
        assert_eq!(server.contents().count(), (0, 0), "{refused:?}");
        let log = process.stop().await;
        assert_eq!(log.matches("a purge deletes all versions of an object").count(), 1, "{log}");
        let report = home.run(&["doctor"], &[]).await;
        let told = if refused.is_empty() { "a purge deletes all versions" } else { "unknown whether the bucket is versioned" };
        assert!(report.status.success() && report.output.contains(told), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_cannot_be_deleted_are_logged_once_and_do_not_block_purges() {
    for refused in ["list versions", "delete version"] {
        let server = BucketServer::start().await;
        server.contents().versioned = true;
        server.contents().rejected.insert(refused);
        let home = home_at(&server.url).await;
        let process = Process::start(&home, &IMMEDIATE_PURGE).await;
        let client = Client::new(process.address);
        let attempts = || server.contents().requests.iter().filter(|asked| *asked == "DELETE versionId").count();
        upload_and_purge(&client, &server).await;
        let tried = attempts();
        upload_and_purge(&client, &server).await;
        assert_eq!(attempts(), tried, "{refused}: an operation that was rejected is not attempted for every object");
        let (live, versions) = server.contents().count();
        assert!(live == 0 && versions >= 12, "{refused}: {versions}");
        let log = process.stop().await;
        assert_eq!(log.matches("purged images stay in the bucket \"images\" as old versions").count(), 1, "{refused}: {log}");
        assert!(log.contains("NoncurrentVersionExpiration") && log.contains("the storage answered 403 AccessDenied"), "{log}");
        if refused == "list versions" {
            let report = home.run(&["doctor"], &[]).await;
            assert!(report.output.contains("purged images stay in it as old versions"), "{report:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_takes_one_request_in_an_unversioned_bucket() {
    let server = BucketServer::start().await;
    let mut home = home_at(&server.url).await;
    // No copies before deletions.
    home.set("DELETE_REVOKES_URLS", "false");
    let process = Process::start(&home, &IMMEDIATE_PURGE).await;
    let client = Client::new(process.address);
    upload_and_purge(&client, &server).await;
    let asked = server.contents().requests.clone();
    let count = |what: &str| asked.iter().filter(|asked| *asked == what).count();
    // The original and two thumbnails.
    assert_eq!((count("PUT"), count("DELETE"), count("GET versions"), count("DELETE versionId")), (3, 3, 0, 0), "{asked:?}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_credentials_are_logged_in_one_sentence_and_no_metadata_service_is_contacted() {
    let server = BucketServer::start().await;
    let metadata = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", metadata.local_addr().unwrap());
    let mut home = Home::new().await;
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        home.unset(variable);
    }
    for (variable, value) in [
        ("S3_ENDPOINT_URL", server.url.as_str()),
        ("S3_BUCKET", "images"),
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address),
    ] {
        home.set(variable, value);
    }
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let ready = client.get("/ready").await;
    let message = "There are no credentials for the storage. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a \
                   profile that has them.";
    assert_eq!((ready.status, &ready.json()["message"]), (503, &message.into()));
    assert_error(&client.upload(&Upload::small("without", 1)).await, 503, "ServiceUnavailable");
    let log = process.stop().await;
    let sentence = "the storage cannot be used: there are no credentials for the storage: set AWS_ACCESS_KEY_ID and \
                    AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile that has them\n";
    assert!(log.contains(sentence) && !log.contains("Ec2InstanceMetadata") && !log.contains('{'), "{log}");
    assert!(server.contents().requests.is_empty());
    let asked = tokio::time::timeout(Duration::from_millis(1), metadata.accept()).await;
    assert!(asked.is_err(), "the metadata service was contacted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_failures_of_the_service_are_logged_as_errors() {
    let home = home_at("http://127.0.0.1:1").await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    assert_eq!(client.get("/ready").await.status, 503);
    assert_eq!(client.get("/images/none").await.status, 404);
    let log = process.stop().await;
    let level = |text: &str| log.lines().find(|line| line.contains(text)).and_then(|line| line.split_whitespace().nth(1));
    assert_eq!((level("request failed"), level("request rejected")), (Some("ERROR"), Some("INFO")), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_storage_is_named_with_its_address() {
    let home = home_at("http://127.0.0.1:1").await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    assert_eq!(client.get("/ready").await.status, 503);
    let log = process.stop().await;
    assert!(log.contains("cannot reach http://127.0.0.1:1: ") && log.contains("Connection refused"), "{log}");
    let examined = home.run(&["doctor"], &[]).await;
    let line = examined.log.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("error: the storage is unavailable: ") && line.contains("cannot reach http://127.0.0.1:1: "),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_read_from_a_profile() {
    let server = BucketServer::start().await;
    let mut home = home_at(&server.url).await;
    home.unset("AWS_ACCESS_KEY_ID");
    home.unset("AWS_SECRET_ACCESS_KEY");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "[shop]\naws_access_key_id = AKIDSHOP\naws_secret_access_key = b\n").unwrap();
    home.set("AWS_SHARED_CREDENTIALS_FILE", file.path().to_str().unwrap());
    home.set("AWS_PROFILE", "shop");
    let process = Process::start(&home, &[]).await;
    let image = Client::new(process.address).upload(&Upload::small("by a profile", 1)).await.image();
    assert!(image["download_url"].as_str().unwrap().contains("AKIDSHOP"), "{image}");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_used_for_a_remote_storage_but_not_for_a_local_one() {
    // This server accepts requests for any host, like a proxy.
    let server = BucketServer::start().await;
    for (endpoint, proxy, ready) in [
        (server.url.as_str(), "http://127.0.0.1:9", true),
        ("http://s3.example.org", &server.url, true),
        ("http://s3.example.org", "http://127.0.0.1:9", false),
    ] {
        let home = home_at(endpoint).await;
        let process = Process::start(&home, &[("HTTP_PROXY", proxy), ("S3_TIMEOUT", "2")]).await;
        let answer = Client::new(process.address).get("/ready").await;
        let storage: Value = if ready { "up" } else { "down" }.into();
        assert_eq!(answer.json()["storage"], storage, "{endpoint} by {proxy}: {}", process.log());
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_storage_certificate_is_trusted_through_either_variable() {
    let (server, certificate) = BucketServer::start_secure().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, certificate).unwrap();
    let path = file.path().to_str().unwrap();
    let home = home_at(&server.url).await;
    for (variable, ready) in [("SSL_CERT_FILE", true), ("AWS_CA_BUNDLE", true), ("SOMETHING_ELSE", false)] {
        let process = Process::start(&home, &[(variable, path)]).await;
        let answer = Client::new(process.address).get("/ready").await;
        let storage: Value = if ready { "up" } else { "down" }.into();
        assert_eq!(answer.json()["storage"], storage, "{variable}: {}", process.log());
        let log = process.stop().await;
        assert!(log.contains("UnknownIssuer") != ready && !log.contains("Error {"), "{log}");
    }
    let refused = home.run(&["serve"], &[("AWS_CA_BUNDLE", "/does/not/exist")]).await;
    assert!(!refused.status.success() && refused.log.contains("invalid AWS_CA_BUNDLE: /does/not/exist: "), "{refused:?}");
}
