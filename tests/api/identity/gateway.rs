//! Trust in gateways: which requests may name their user in `X-User-Id`, and what the log says about callers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use image_service::{http, web};
use reqwest::{Client, Method};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::form::Form;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, PASSWORD, TestApp, assert_error, pictures};

/// Serves the app as if on a network address, trusting these proxies. The test's client is at 127.0.0.1.
async fn serve_on_network(app: &TestApp, proxies: &str) -> String {
    let mut config = app.config();
    config.access.trusted_proxies = vec![proxies.to_owned()];
    let config = config.validate().expect("settings");
    let address = "192.0.2.1:8000".parse().expect("an address");
    let router = web::router(Arc::clone(app.service()), config.http(address));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(http::server::serve(listener, router, config.server(), CancellationToken::new()));
    base
}

async fn send(method: Method, url: String, user: Option<&str>, form: Option<Form>) -> Answer {
    let mut request = Client::builder().no_proxy().build().expect("a client").request(method, url);
    if let Some(user) = user {
        request = request.header("X-User-Id", user);
    }
    if let Some(form) = form {
        request = request.header("Content-Type", Form::content_type()).body(form.finish());
    }
    Answer::read(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn only_a_trusted_gateway_may_name_the_user() {
    let app = TestApp::start().await;
    let picture = pictures::jpeg(64, 64, 7);
    let private = app.post(Form::upload("ann", &picture).text("visibility", "private")).await.image_id();
    let trusted_base = serve_on_network(&app, "127.0.0.0/8").await;
    let untrusted_base = serve_on_network(&app, "192.0.2.0/24").await;
    let image = format!("/images/{private}");
    let form = || Some(Form::upload("ann", &picture));
    let urls = json!({"urls": ["http://example.org/a.jpg"], "user_id": "ann"});
    for (base, trusted) in [(&trusted_base, true), (&untrusted_base, false)] {
        let read = send(Method::GET, format!("{base}{image}"), Some("ann"), None).await;
        assert_eq!(read.status, if trusted { 200 } else { 404 });
        for user in [None, Some("ann")] {
            let upload = send(Method::POST, format!("{base}/images"), user, form()).await;
            if trusted {
                upload.ok();
            } else {
                assert_error(&upload, 401, "Unauthorized");
            }
        }
        let import = app.client.post(format!("{base}/imports")).json(&urls).send().await.expect("an answer");
        assert_eq!(import.status().as_u16(), if trusted { 202 } else { 401 });
        let list = send(Method::GET, format!("{base}/images"), None, None).await.ok();
        assert_eq!(list["total_count"], 2, "public images are readable by anyone");
    }
    assert_error(&send(Method::DELETE, format!("{untrusted_base}{image}"), Some("ann"), None).await, 401, "Unauthorized");
    assert_eq!(send(Method::DELETE, format!("{trusted_base}{image}"), Some("ann"), None).await.status, 200);
}

#[tokio::test]
async fn the_gateways_user_owns_uploads_and_the_request_cannot_name_another() {
    let app = TestApp::start().await;
    let trusted_base = serve_on_network(&app, "127.0.0.0/8").await;
    let untrusted_base = serve_on_network(&app, "192.0.2.0/24").await;
    let file = pictures::jpeg(64, 64, 7);
    let upload = async |base: &str, caller, form: Form| send(Method::POST, format!("{base}/images"), caller, Some(form)).await;
    let unnamed = || Form::new().file(&file);
    assert_eq!(upload(&trusted_base, Some("ann"), unnamed()).await.image()["user_id"], "ann");
    assert_eq!(upload(&trusted_base, Some("ann"), Form::upload("", &file)).await.image()["user_id"], "ann");
    assert_eq!(upload(&trusted_base, Some("ann"), Form::upload("ann", &file)).await.image()["user_id"], "ann");
    assert_error(&upload(&trusted_base, Some("ann"), Form::upload("bob", &file)).await, 403, "Forbidden");
    let missing = upload(&trusted_base, None, unnamed()).await;
    assert_eq!(assert_error(&missing, 422, "ValidationError"), json!({"user_id": "is required"}));
    assert_eq!(missing.json()["message"], "user_id is required.");
    assert_error(&upload(&untrusted_base, Some("ann"), unnamed()).await, 401, "Unauthorized");
    let import = async |caller: Option<&str>, order: &serde_json::Value| {
        let request = app.client.post(format!("{trusted_base}/imports")).json(order);
        let request = caller.into_iter().fold(request, |request, caller| request.header("X-User-Id", caller));
        Answer::read(request.send().await.expect("an answer")).await
    };
    let order = json!({"urls": ["http://example.org/a.jpg"]});
    assert_eq!(import(Some("ann"), &order).await.status, 202);
    assert_error(&import(None, &order).await, 422, "ValidationError");
    let other = json!({"urls": ["http://example.org/a.jpg"], "user_id": "bob"});
    assert_error(&import(Some("ann"), &other).await, 403, "Forbidden");
    let jobs = send(Method::GET, format!("{trusted_base}/imports"), Some("ann"), None).await.ok();
    assert_eq!(jobs["imports"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_401_names_only_accepted_credentials() {
    let app = TestApp::start().await;
    let delete = async |app: &TestApp| app.send(app.request(Method::DELETE, "/collections/none")).await;
    let trusted = delete(&app).await;
    assert_error(&trusted, 401, "Unauthorized");
    assert!(trusted.text().contains("an API key") && trusted.text().contains("X-User-Id"), "{}", trusted.text());
    let account = app.by("ann", Method::GET, "/api-keys").await;
    assert_error(&account, 401, "Unauthorized");
    assert!(account.text().contains("an access token") && !account.text().contains("X-User-Id"), "{}", account.text());
    let required = TestApp::with(&["--auth-mode=required"]).await;
    for refused in [delete(&required).await, required.post(Form::upload("ann", &pictures::jpeg(64, 64, 7))).await] {
        assert_error(&refused, 401, "Unauthorized");
        let message = "Authentication required: send an access token, an API key, or an e-mail address and password.";
        assert_eq!(refused.json()["message"], message);
    }
}

#[tokio::test]
async fn cross_site_requests_and_dns_rebinding_are_rejected() {
    let app = TestApp::with(&["--cors-origins=https://app.example.org"]).await;
    let upload = || app.upload(Form::upload("victim", &pictures::jpeg(64, 64, 7)).text("visibility", "private"));
    let refused = app.send(upload().header("Origin", "https://evil.example").header("Sec-Fetch-Site", "cross-site")).await;
    assert_error(&refused, 403, "Forbidden");
    let names = |text: &str, words: [&str; 2]| assert!(words.iter().all(|word| text.contains(word)), "{text}");
    names(refused.text(), ["The Origin header ", "CORS_ORIGINS (`*` allows only reading)"]);
    let refused = app.send(upload().header("Sec-Fetch-Site", "cross-site")).await;
    assert_error(&refused, 403, "Forbidden");
    names(refused.text(), ["The Sec-Fetch-Site header ", "CORS_ORIGINS"]);
    assert_error(&app.send(upload().header("Origin", "null")).await, 403, "Forbidden");
    app.send(upload().header("Origin", "https://app.example.org").header("Sec-Fetch-Site", "cross-site")).await.ok();
    let own = app.url("");
    let image = app.send(upload().header("Origin", own).header("Sec-Fetch-Site", "same-origin")).await.image_id();
    // DNS rebinding: the attacker's host name resolves to this machine, so the page has the same origin as the service.
    let rebound = |path: String| app.request(Method::GET, &path).header("X-User-Id", "victim").header("Host", "rebound.example");
    for path in [format!("/images/{image}"), "/images".to_owned(), "/metrics".to_owned()] {
        let refused = app.send(rebound(path)).await;
        assert_error(&refused, 403, "Forbidden");
        names(refused.text(), ["The Host header must be localhost, an IP address or the host of PUBLIC_URL.", "TRUSTED_PROXIES"]);
    }
    assert_eq!(app.by("victim", Method::GET, &format!("/images/{image}")).await.status, 200);
}

#[tokio::test]
async fn a_local_proxy_may_forward_its_own_host_name() {
    for settings in
        [&["--public-url=https://images.example.org"][..], &["--trusted-proxies=127.0.0.1"], &["--auth-mode=required"]]
    {
        let app = TestApp::with(settings).await;
        app.get_with("/images", "Host", "images.example.org").await.ok();
    }
}

/// Sends a hand-written request. Returns the status.
fn raw(app: &TestApp, request: &str) -> String {
    let mut connection = TcpStream::connect(app.url("").trim_start_matches("http://")).expect("a connection");
    connection.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the response is complete");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_exactly_one_host() {
    let app = TestApp::start().await;
    for (head, status) in [
        ("HTTP/1.1\r\n", "400"),
        ("HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "400"),
        ("HTTP/1.1\r\nHost: a b\r\n", "400"),
        ("HTTP/1.1\r\nHost: user@localhost\r\n", "400"),
        ("HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("HTTP/1.1\r\nHost: localhost:8000\r\n", "200"),
        ("HTTP/1.0\r\n", "200"),
    ] {
        for path in ["/openapi.json", "/limits"] {
            // HTTP/1.0 needs no Host header, so the request names no host of this service.
            let expected = if head.starts_with("HTTP/1.0") && path == "/limits" { "403" } else { status };
            assert_eq!(raw(&app, &format!("GET {path} {head}Connection: close\r\n\r\n")), expected, "{path} {head:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_administrator_is_created_once_from_a_password_file() {
    let home = Home::new().await;
    let file = home.data_dir().with_file_name("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let path = file.to_str().expect("a path").to_owned();
    let settings = [("ADMIN_EMAIL", "root@example.org"), ("ADMIN_PASSWORD_FILE", path.as_str()), ("AUTH_MODE", "required")];
    let log_in = async |process: &Process, password: &str| {
        let client = Client::builder().no_proxy().build().expect("a client");
        let fields = json!({"email": "root@example.org", "password": password});
        client.post(format!("http://{}/token", process.address)).json(&fields).send().await.expect("an answer").status().as_u16()
    };
    let process = Process::start(&home, &[("AUTH_MODE", "required")]).await;
    let log = process.stop().await;
    assert!(log.contains("no account exists") && log.contains("create-admin"), "{log}");
    let process = Process::start(&home, &settings).await;
    assert_eq!(log_in(&process, PASSWORD).await, 201);
    assert!(!process.stop().await.contains("no account exists"));
    // The account exists now, with its own password.
    std::fs::write(&file, "another password").expect("a file");
    let process = Process::start(&home, &settings).await;
    assert_eq!((log_in(&process, PASSWORD).await, log_in(&process, "another password").await), (201, 401));
    process.stop().await;
    // So the file is no longer read.
    std::fs::write(&file, "short").expect("a file");
    let process = Process::start(&home, &settings).await;
    assert_eq!(log_in(&process, PASSWORD).await, 201);
    process.stop().await;
    for (text, reason) in [(Some("short"), "must be 12"), (None, "cannot read ")] {
        let empty = Home::new().await;
        match text {
            Some(text) => std::fs::write(&file, text).expect("a file"),
            None => std::fs::remove_file(&file).expect("a file"),
        }
        let finished = empty.run(&["serve"], &settings).await;
        assert!(
            !finished.status.success() && finished.log.contains("ADMIN_PASSWORD_FILE") && finished.log.contains(reason),
            "{finished:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_the_client_address_and_the_account_and_api_key() {
    let home = Home::new().await;
    let file = home.data_dir().with_file_name("password");
    std::fs::write(&file, PASSWORD).expect("a file");
    let path = file.to_str().expect("a path").to_owned();
    let admin = [("ADMIN_EMAIL", "root@example.org"), ("ADMIN_PASSWORD_FILE", path.as_str()), ("LOG_FORMAT", "json")];
    let client = Client::builder().no_proxy().build().expect("a client");
    for address in [true, false] {
        let shown = address.to_string();
        let settings = [&admin[..], &[("TRUSTED_PROXIES", "127.0.0.1"), ("LOG_CLIENT_ADDRESS", &shown)]].concat();
        let process = Process::start(&home, &settings).await;
        let base = format!("http://{}", process.address);
        let key = client.post(format!("{base}/api-keys")).basic_auth("root@example.org", Some(PASSWORD));
        let key: serde_json::Value = key.json(&json!({})).send().await.expect("an answer").json().await.expect("JSON");
        let request = client.get(format!("{base}/accounts/me")).bearer_auth(key["key"].as_str().expect("a key"));
        let answer = request.header("X-Forwarded-For", "203.0.113.9").header("X-Request-Id", "with-a-key").send().await;
        let account: serde_json::Value = answer.expect("an answer").json().await.expect("JSON");
        client.get(format!("{base}/images")).header("X-Request-Id", "nobody").send().await.expect("an answer");
        let log = process.stop().await;
        let line = |id: &str| {
            let line = log.lines().find(|line| line.contains(&format!("\"{id}\"")));
            line.unwrap_or_else(|| panic!("nothing was logged about {id}: {log}"))
        };
        let (with_key, anonymous) = (line("with-a-key"), line("nobody"));
        for id in [&account["id"], &key["id"]] {
            assert!(with_key.contains(id.as_str().expect("an id")), "{id} {with_key}");
        }
        assert_eq!(with_key.contains("203.0.113.9"), address, "{with_key}");
        assert!(!anonymous.contains("account_id"), "{anonymous}");
        assert!(!log.contains("root@example.org"), "e-mail addresses are not logged: {log}");
    }
}
