//! How imports fetch URLs: how misbehaving servers are handled, and which reasons are reported. These tests run end to
//! end, with names and servers of their own that record look-ups and connections.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, padded};
use crate::harness::world::{Reply, answer, head, picture, reply};
use crate::harness::{TestApp, World};

/// One attempt, and short timeouts.
pub const ONCE: [&str; 4] = ["--import-concurrency=0", "--import-attempts=1", "--import-answer-timeout=1", "--import-timeout=2"];

pub async fn start(world: &Arc<World>) -> TestApp {
    TestApp::within(Arc::clone(world) as _, &ONCE).await
}

/// Returns `None` if the URL became an image, otherwise the reason why it did not.
pub async fn import(app: &TestApp, url: &str) -> Option<String> {
    let id = app.import(&[url]).await;
    app.import_all().await;
    let job = app.job(&id).await;
    assert_eq!(job["status"], "complete", "{job}");
    match job["errors"].get(url) {
        Some(reason) => {
            assert_eq!(job["uploaded"]["failed"], json!([url]));
            Some(reason.as_str().unwrap().to_owned())
        }
        None => {
            assert_eq!(job["uploaded"]["complete"].as_array().unwrap().len(), 1);
            None
        }
    }
}

#[track_caller]
pub fn assert_reason(reason: Option<String>, expected: &str) {
    assert_eq!(reason.as_deref(), Some(expected));
}

#[tokio::test]
async fn a_request_sends_a_user_agent_and_no_other_identifying_header() {
    let (heads, world) = (Arc::new(std::sync::Mutex::new(Vec::new())), World::new());
    let kept = Arc::clone(&heads);
    world
        .site("public.test", move |path, head| {
            kept.lock().unwrap().push(head.to_owned());
            match path {
                "/1?a=b%20c" => {
                    reply("302 Found", &[("Location", "/2"), ("Set-Cookie", "track=1"), ("WWW-Authenticate", "Basic")], b"")
                }
                _ => picture(&jpeg(64, 64, 1)),
            }
        })
        .await;
    let app = start(&world).await;
    assert_eq!(import(&app, "http://PUBLIC.test:80/1?a=b%20c#fragment").await, None);
    let heads = heads.lock().unwrap().clone();
    for (head, path) in heads.iter().zip(["/1?a=b%20c", "/2"]) {
        let lines: Vec<String> = head.trim_end().lines().map(str::to_lowercase).collect();
        assert_eq!(lines[0], format!("get {path} http/1.1"));
        let names: Vec<&str> = lines[1..].iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(names, ["host", "user-agent", "accept", "accept-encoding", "connection"]);
        assert_eq!((lines[1].as_str(), lines[2].as_str()), ("host: public.test", "user-agent: image-service/1.0.0"));
    }
    assert_eq!(heads.len(), 2);
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_match_the_host() {
    let world = World::new();
    world.secure_site("good.test", "good.test", true, picture(&jpeg(64, 64, 1))).await;
    world.secure_site("wrong.test", "other.test", true, picture(&jpeg(64, 64, 2))).await;
    world.secure_site("self.test", "self.test", false, picture(&jpeg(64, 64, 3))).await;
    world.site("plain.test", |_, _| picture(&jpeg(64, 64, 4))).await;
    let app = start(&world).await;
    assert_eq!(import(&app, "https://good.test/x.jpg").await, None);
    for name in ["wrong.test", "self.test"] {
        assert_reason(import(&app, &format!("https://{name}/x.jpg")).await, "its host's TLS certificate is not valid");
    }
    // None of these servers received a request.
    assert_eq!(world.requests(), ["good.test/x.jpg"]);
    assert_reason(import(&app, "https://plain.test/x.jpg").await, "its host refused the connection or did not respond");
    assert_eq!(app.metric("import_fetches_total{result=\"tls\"}").await, 2.0);
}

#[tokio::test]
async fn a_body_is_not_read_beyond_the_size_limit() {
    let world = World::new();
    let jpeg_of_length = |length| padded(jpeg(64, 64, 1), length);
    let (exact, over) = (jpeg_of_length(10 << 20), jpeg_of_length((10 << 20) + 1));
    world
        .site("public.test", move |path, _| match path {
            "/exact" => picture(&exact),
            "/over" => picture(&over),
            // Without a Content-Length.
            "/unsaid" => Reply::Whole([head("200 OK", &[]), over.clone()].concat()),
            "/announced" => Reply::ThenSilence(head("200 OK", &[("Content-Length", "99999999999999")])),
            "/endless" => Reply::Endless(
                head("200 OK", &[("Transfer-Encoding", "chunked")]),
                [&b"10000\r\n"[..], &[7; 0x10000], b"\r\n"].concat(),
            ),
            _ => Reply::Endless(head("200 OK", &[]), vec![7; 0x10000]),
        })
        .await;
    let app = TestApp::within(Arc::clone(&world) as _, &["--import-concurrency=0", "--import-attempts=1"]).await;
    assert_eq!(import(&app, "http://public.test/exact").await, None);
    let sent = world.sent();
    for path in ["over", "unsaid", "announced", "endless", "endless-and-unsaid"] {
        let reason = import(&app, &format!("http://public.test/{path}")).await;
        assert_reason(reason, "it is larger than the limit of 10485760 bytes; the operator can raise MAX_FILE_SIZE");
    }
    // Apart from what the buffers of five connections held.
    assert!(world.sent() - sent < 5 * (16 << 20), "{} bytes were read", world.sent() - sent);
}

#[tokio::test]
async fn slow_servers_time_out() {
    let world = World::new();
    let file = answer("200 OK", &[], &jpeg(64, 64, 1));
    world
        .site("public.test", move |path, _| match path {
            "/silent" => Reply::ThenSilence(Vec::new()),
            "/head" => Reply::Drip(file.clone(), Duration::from_millis(100)),
            "/half" => Reply::ThenSilence(file[..file.len() / 2].to_vec()),
            "/redirects" => {
                Reply::Drip(head("302 Found", &[("Location", "/redirects"), ("Content-Length", "0")]), Duration::from_millis(12))
            }
            _ => Reply::Drip([head("200 OK", &[]), vec![7; 1000]].concat(), Duration::from_millis(10)),
        })
        .await;
    let app = start(&world).await;
    for path in ["silent", "head", "half", "body", "redirects"] {
        let started = Instant::now();
        assert_reason(import(&app, &format!("http://public.test/{path}")).await, "its host did not respond in time");
        assert!(started.elapsed() < Duration::from_secs(30), "{path} took {:?}", started.elapsed());
    }
    // A port that accepts no connection: nothing listens there.
    world.name("gone.test", &[&["93.184.216.250"]]);
    assert_reason(import(&app, "http://gone.test/").await, "its host refused the connection or did not respond");
}

#[tokio::test]
async fn compressed_bodies_are_bounded_while_they_are_decompressed() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let file = jpeg(64, 64, 1);
    let (plain, cut, bomb) = (gzip(&file), gzip(&file)[..200].to_vec(), gzip(&vec![0; 64 << 20]));
    let bombs: Vec<u8> = std::iter::repeat_n(gzip(&vec![0; 1 << 20]), 40).flatten().collect();
    assert!(bomb.len() < 100_000);
    let world = World::new();
    world
        .site("public.test", move |path, _| match path {
            "/plain" => reply("200 OK", &[("Content-Encoding", "gzip")], &plain),
            "/identity" => reply("200 OK", &[("Content-Encoding", "identity")], &file),
            "/cut" => reply("200 OK", &[("Content-Encoding", "x-gzip")], &cut),
            "/bomb" => reply("200 OK", &[("Content-Encoding", "gzip")], &bomb),
            "/bombs" => reply("200 OK", &[("Content-Encoding", "gzip")], &bombs),
            _ => reply("200 OK", &[("Content-Encoding", "br")], &file),
        })
        .await;
    let app = start(&world).await;
    assert_eq!(import(&app, "http://public.test/plain").await, None);
    assert_eq!(import(&app, "http://public.test/identity").await, None);
    assert_reason(import(&app, "http://public.test/cut").await, "its response cannot be decompressed");
    for path in ["bomb", "bombs"] {
        let reason = import(&app, &format!("http://public.test/{path}")).await;
        assert_reason(reason, "it is larger than the limit of 10485760 bytes; the operator can raise MAX_FILE_SIZE");
    }
    assert_reason(import(&app, "http://public.test/br").await, "its response has a Content-Encoding that was not requested");
    app.assert_sound().await;
}

#[tokio::test]
async fn content_type_and_length_sent_by_a_server_are_not_trusted() {
    let world = World::new();
    let file = jpeg(64, 64, 1);
    let html = b"<!doctype html><title>Not found</title>".repeat(50);
    world
        .site("public.test", move |path, _| match path {
            "/jpeg-as-html" => reply("200 OK", &[("Content-Type", "text/html; charset=utf-8")], &file),
            "/html-as-jpeg" => reply("200 OK", &[("Content-Type", "image/jpeg")], &html),
            "/error-page" => reply("200 OK", &[("Content-Type", "text/html")], &html),
            "/odd-type" => reply("200 OK", &[("Content-Type", "<script>/x")], &html),
            "/empty" => reply("200 OK", &[("Content-Type", "image/jpeg")], b""),
            "/longer" => Reply::Whole([head("200 OK", &[("Content-Length", "99999")]), file.clone()].concat()),
            // Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
            "/both" => {
                let chunk = [format!("{:x}\r\n", file.len()).as_bytes(), &file, b"\r\n0\r\n\r\n"].concat();
                Reply::Whole([head("200 OK", &[("Content-Length", "1"), ("Transfer-Encoding", "chunked")]), chunk].concat())
            }
            "/shorter" => Reply::Whole([head("200 OK", &[("Content-Length", "1500")]), file.clone()].concat()),
            _ => reply("200 OK", &[], &file[..file.len() - 100]),
        })
        .await;
    let app = start(&world).await;
    let outcome = async |path: &str| import(&app, &format!("http://public.test/{path}")).await;
    assert_eq!(outcome("jpeg-as-html").await, None);
    let not_an_image = "the response is not a JPEG, PNG, GIF or WebP image";
    assert_reason(outcome("html-as-jpeg").await, &format!("{not_an_image}; its Content-Type is image/jpeg"));
    assert_reason(outcome("error-page").await, &format!("{not_an_image}; its Content-Type is text/html"));
    assert_reason(outcome("odd-type").await, not_an_image);
    assert_reason(outcome("empty").await, "the file is empty");
    assert_eq!(outcome("both").await, None);
    assert_reason(outcome("longer").await, "its host closed the connection before the response was complete");
    for path in ["shorter", "cut"] {
        let reason = outcome(path).await.unwrap();
        assert!(reason.starts_with("the image is damaged"), "{reason}");
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
    // They count as rejected files, as uploads do.
    let failures: Value = app.get("/stats").await.ok()["failures"].clone();
    assert_eq!(failures, json!({"invalid_file": 3, "unsupported_format": 3}));
    app.assert_sound().await;
}

#[tokio::test]
async fn the_file_name_comes_from_content_disposition_or_else_from_the_url() {
    let world = World::new();
    let file = jpeg(64, 64, 1);
    const DISPOSITIONS: [&str; 7] = [
        "inline; filename=\"real name.jpg\"",
        "attachment; filename=\"ete.jpg\"; filename*=UTF-8''%C3%A9t%C3%A9.jpg",
        "attachment;filename = plain.jpg",
        "inline; filename=\"../../etc/passwd\"",
        "inline; filename=\"\"",
        "inline",
        ";;;=\"",
    ];
    world
        .site("public.test", move |path, _| {
            let number: usize = path.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            reply("200 OK", &[("Content-Disposition", DISPOSITIONS[number])], &file)
        })
        .await;
    let app = start(&world).await;
    for (number, name) in ["real name.jpg", "été.jpg", "plain.jpg", "passwd", "4.jpg", "5.jpg", "6.jpg"].into_iter().enumerate()
    {
        assert_eq!(import(&app, &format!("http://public.test/{number}.jpg")).await, None);
        assert_eq!(app.get("/images?limit=1").await.ok()["images"][0]["file_name"], name);
    }
    // A line ending after a URL is not part of it.
    let id = app.import(&["http://public.test/0.jpg\r\n"]).await;
    app.import_all().await;
    let job = app.job(&id).await;
    assert_eq!((&job["status"], &job["errors"]), (&json!("complete"), &json!({})));
}

#[tokio::test]
async fn only_status_200_is_accepted_as_an_image() {
    let world = World::new();
    let file = jpeg(64, 64, 1);
    world
        .site("public.test", move |path, _| match path {
            "/204" => Reply::Whole(head("204 No Content", &[])),
            "/206" => reply("206 Partial Content", &[("Content-Range", "bytes 0-99/100")], &file),
            "/304" => Reply::Whole(head("304 Not Modified", &[])),
            "/404" => reply("404 Not Found", &[("Content-Type", "image/jpeg")], &file),
            "/100" => Reply::Whole([&b"HTTP/1.1 100 Continue\r\n\r\n"[..], &answer("200 OK", &[], &file)].concat()),
            "/nonsense" => Reply::Whole(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            "/nothing" => Reply::Whole(Vec::new()),
            "/long-head" => reply("200 OK", &[("X-Long", &"x".repeat(200_000))], &file),
            "/endless-head" => Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-More: of it\r\n".repeat(100)),
            _ => reply("200 OK", &[("X-Many", "1"); 150], &file),
        })
        .await;
    let app = start(&world).await;
    let outcome = async |path: &str| import(&app, &format!("http://public.test/{path}")).await;
    assert_reason(outcome("204").await, "its host responded with 204 No Content");
    assert_reason(outcome("206").await, "its host responded with 206 Partial Content");
    assert_reason(outcome("304").await, "its host responded with 304 Not Modified");
    assert_reason(outcome("404").await, "its host responded with 404 Not Found");
    assert_eq!(outcome("100").await, None);
    for path in ["nonsense", "long-head", "endless-head", "many-heads"] {
        assert_eq!(outcome(path).await.as_deref(), Some("its host's response is not HTTP, or its head is too large"), "{path}");
    }
    assert_reason(outcome("nothing").await, "its host closed the connection before the response was complete");
}
