//! Readers that keep all caches filled while images change: no instance sends a file after a change was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use http::Method;
use image_service::app::Running;
use serde_json::{Value, json};

use crate::harness::accounts::Login;
use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp};

/// An image, and the addresses of all instances that serve it.
struct Shared<'a> {
    app: &'a TestApp,
    admin: Login,
    account: String,
    id: String,
    bases: Vec<String>,
}

impl Shared<'_> {
    fn urls(&self) -> Vec<String> {
        let id = &self.id;
        let paths = [
            format!("/images/{id}"),
            format!("/images/{id}/thumbnails/small"),
            format!("/images/{id}/thumbnail?width=80"),
            format!("/i/{id}"),
        ];
        self.bases.iter().flat_map(|base| paths.iter().map(move |path| format!("{base}{path}"))).collect()
    }

    async fn read_until(&self, done: &AtomicBool) {
        join_all(self.urls().into_iter().map(|url| async move {
            while !done.load(Ordering::Relaxed) {
                let status = self.app.send(self.app.client.get(&url)).await.status;
                assert!(matches!(status, 200 | 403 | 404), "{status}");
            }
        }))
        .await;
    }

    /// Changes the image through the instance at `base`, as its owner.
    async fn change(&self, base: &str, method: Method, path: &str, body: Option<Value>) {
        let request = self.app.client.request(method, format!("{base}/images/{}{path}", self.id)).header("X-User-Id", "alice");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        assert_eq!(self.app.send(request).await.status, 200, "{path}");
    }

    async fn set_plan(&self, base: &str, plan: &str) {
        let request = self.app.client.patch(format!("{base}/accounts/{}", self.account)).bearer_auth(&self.admin.access);
        assert_eq!(self.app.send(request.json(&json!({"plan": plan}))).await.status, 200, "{plan}");
    }

    /// Checks the response of every instance for each file; `metadata` is the status for the metadata.
    async fn assert_all(&self, metadata: u16, files: u16) {
        for url in self.urls() {
            let status = self.app.send(self.app.client.get(&url)).await.status;
            assert_eq!(status, if url.ends_with(&self.id) && url.contains("/images/") { metadata } else { files }, "{url}");
        }
    }

    async fn change_and_check(&self) {
        for round in 0..8 {
            let base = &self.bases[round % self.bases.len()];
            self.change(base, Method::PATCH, "", Some(json!({"visibility": "private"}))).await;
            self.assert_all(404, 404).await;
            self.change(base, Method::PATCH, "", Some(json!({"visibility": "public"}))).await;
            self.assert_all(200, 200).await;
            self.change(base, Method::DELETE, "", None).await;
            self.assert_all(404, 404).await;
            self.change(base, Method::POST, "/restore", None).await;
            self.assert_all(200, 200).await;
            self.set_plan(base, "Nothing").await;
            self.assert_all(200, 403).await;
            self.set_plan(base, "All").await;
            self.assert_all(200, 200).await;
        }
    }
}

/// Starts a second instance with the same database and bucket, if the back end can be shared.
async fn second_instance(app: &TestApp) -> Option<(Running, tempfile::TempDir)> {
    let mut config = app.config();
    if config.database_url.is_none() || app.objects_dir().is_some() {
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    config.data_dir = directory.path().join("data");
    Some((image_service::app::start(config, app.clock.clone()).await.expect("a second instance"), directory))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_instance_sends_a_file_after_a_change_was_acknowledged() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let all = json!({"name": "All", "thumbnails": ["small"], "original": true, "custom_sizes": true});
    for plan in [&all, &json!({"name": "Nothing"})] {
        assert_eq!(app.json_as(&admin, Method::POST, "/plans", plan).await.status, 201);
    }
    let account = app.account(&admin, "alice", &json!({"plan": "All"})).await.id;
    let second = second_instance(&app).await;
    let mut bases = vec![app.url("")];
    bases.extend(second.as_ref().map(|(second, _)| format!("http://{}", second.address)));
    let id = app.post(Form::upload("alice", &jpeg(640, 480, 1))).await.image_id();
    let mut shared = Shared { app: &app, admin, account, id, bases };
    shared.assert_all(200, 200).await;
    let done = AtomicBool::new(false);
    let changes = async {
        shared.change_and_check().await;
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(shared.read_until(&done), changes);
    // Takedowns and purges cannot be undone.
    for purge in [false, true] {
        shared.id = app.post(Form::upload("alice", &jpeg(640, 480, 2))).await.image_id();
        shared.assert_all(200, 200).await;
        let done = AtomicBool::new(false);
        let remove = async {
            if purge {
                shared.change(&shared.bases[0], Method::DELETE, "?purge=true", None).await;
            } else {
                let path = format!("/images/{}", shared.id);
                assert_eq!(app.send(app.request_as(&shared.admin, Method::DELETE, &path)).await.status, 200);
            }
            shared.assert_all(404, 404).await;
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(shared.read_until(&done), remove);
    }
    if let Some((second, _)) = second {
        second.shut_down().await.expect("an orderly shutdown");
    }
}
