//! A service that belongs to one test, and a client for it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Command, FromArgMatches};
use image_service::app::{self, Running};
use image_service::config::Config;
use image_service::fetch::Network;
use image_service::service::Service;
use image_service::service::maintenance::doctor::{Fix, Report};
use image_service::service::maintenance::step::Outcome;
use image_service::worker::{imports, sweeper};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answer::Answer;
use super::backend::{Bucket, Database, Storage};
use super::clock::TestClock;
use super::form::Form;
use super::world::World;

/// A running service. Dropping it removes its data.
pub struct TestApp {
    pub clock: Arc<TestClock>,
    pub client: Client,
    running: Option<Running>,
    settings: Vec<String>,
    network: Arc<dyn Network>,
    // Dropped in this order.
    bucket: Option<Bucket>,
    pub database: Option<Database>,
    data_dir: TempDir,
}

/// Enough for the concurrent tests. A server that allows 300 connections can serve many tests in parallel.
const CONNECTIONS: u32 = 4;

impl TestApp {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts with settings in the form that `serve` takes: `--url-window=60`.
    pub async fn with(settings: &[&str]) -> Self {
        // A network without any hosts.
        Self::within(World::new(), settings).await
    }

    /// Starts with a network that the test controls.
    pub async fn within(network: Arc<dyn Network>, settings: &[&str]) -> Self {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let (database, bucket) = tokio::join!(Database::create(), Bucket::create());
        let mut flags = vec![
            "--host=127.0.0.1".to_owned(),
            "--port=0".to_owned(),
            "--s3-embedded-port=0".to_owned(),
            format!("--database-connections={CONNECTIONS}"),
            // Tests run the sweeper's steps themselves.
            "--sweep-interval=86400".to_owned(),
            // Generous timeouts for busy machines.
            "--database-timeout=30".to_owned(),
            "--s3-timeout=60".to_owned(),
            "--admission-timeout=60".to_owned(),
            format!("--data-dir={}", data_dir.path().join("data").display()),
        ];
        flags.extend(database.as_ref().map(|database| format!("--database-url={}", database.url)));
        if let Some(bucket) = &bucket {
            flags.push(format!("--s3-endpoint-url={}", bucket.storage.endpoint));
            flags.push(format!("--s3-bucket={}", bucket.storage.bucket));
        }
        let clock = Arc::new(TestClock::default());
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().expect("a client");
        let mut app = Self { clock, client, running: None, settings: flags, network, bucket, database, data_dir };
        settings.iter().for_each(|setting| app.set(setting));
        app.run().await;
        app
    }

    async fn run(&mut self) {
        let running = app::start_in(config(&self.settings), Arc::clone(&self.clock) as _, Arc::clone(&self.network));
        self.running = Some(running.await.expect("the service starts"));
    }

    /// Stops the service and starts it again on the same data.
    pub async fn restart(&mut self) {
        let running = self.running.take().expect("the service is running");
        running.shut_down().await.expect("all requests finish");
        self.run().await;
    }

    /// Sets or changes a setting for the next start.
    pub fn set(&mut self, setting: &str) {
        let name = setting.split('=').next().unwrap_or_default().to_owned();
        self.settings.retain(|known| known.split('=').next() != Some(&name));
        self.settings.push(setting.to_owned());
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the service is running")
    }

    pub fn service(&self) -> &Arc<Service> {
        &self.running().service
    }

    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.running().admin_address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().address)
    }

    // Requests.

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("an answer")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// A request with a header.
    pub async fn get_with(&self, path: &str, header: &str, value: &str) -> Answer {
        self.send(self.request(Method::GET, path).header(header, value)).await
    }

    /// Returns the value of a series in `/metrics`, or 0 if the series does not exist yet.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").await;
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(&format!("image_service_{series} ")));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Sends a request with `X-User-Id`.
    pub async fn by(&self, user: &str, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path).header("X-User-Id", user)).await
    }

    pub async fn delete(&self, user: &str, id: &str) -> Answer {
        self.by(user, Method::DELETE, &format!("/images/{id}")).await
    }

    pub async fn restore(&self, user: &str, id: &str) -> Answer {
        self.by(user, Method::POST, &format!("/images/{id}/restore")).await
    }

    pub async fn patch(&self, user: &str, id: &str, change: &Value) -> Answer {
        let request = self.request(Method::PATCH, &format!("/images/{id}")).header("X-User-Id", user);
        self.send(request.json(change)).await
    }

    pub async fn post(&self, form: Form) -> Answer {
        self.send(self.upload(form)).await
    }

    /// Builds an upload request, to which headers can still be added.
    pub fn upload(&self, form: Form) -> RequestBuilder {
        self.request(Method::POST, "/images").header("Content-Type", Form::content_type()).body(form.finish())
    }

    /// Uploads with an idempotency key.
    pub async fn post_with_key(&self, key: &str, form: Form) -> Answer {
        self.send(self.upload(form).header("Idempotency-Key", key)).await
    }

    /// Fetches a presigned URL. Returns the storage's own response.
    pub async fn fetch(&self, url: &str) -> Answer {
        Answer::read_foreign(self.client.get(url).send().await.expect("a response of the storage")).await
    }

    /// Follows a list page by page. Returns the ids of all images.
    pub async fn walk(&self, path: &str, limit: u32) -> Vec<String> {
        let mut ids = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = self.request(Method::GET, path).query(&[("limit", limit.to_string())]);
            request = request.query(&token.map(|token| [("page_token", token)]));
            let page = self.send(request).await.ok();
            ids.extend(ids_of(&page));
            token = page["next_page_token"].as_str().map(str::to_owned);
            assert_eq!(page["has_more"], token.is_some());
            if token.is_none() {
                return ids;
            }
        }
    }

    /// Creates an import for alice. Returns its id.
    pub async fn import(&self, urls: &[impl AsRef<str>]) -> String {
        self.import_for("alice", urls).await
    }

    pub async fn import_for(&self, user: &str, urls: &[impl AsRef<str>]) -> String {
        let urls: Vec<&str> = urls.iter().map(AsRef::as_ref).collect();
        let answer = self.post_json("/imports", &json!({"urls": urls, "user_id": user})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["jobId"].as_str().expect("an id").to_owned()
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Returns an import in its current state.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/imports/{id}")).await.ok()
    }

    /// Waits until an import is complete.
    pub async fn done(&self, id: &str) -> Value {
        for _ in 0..1200 {
            let job = self.job(id).await;
            if job["status"] == "complete" {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("import {id} is not complete: {:#}", self.job(id).await);
    }

    // Behind the API.

    /// Runs the importer's step for the next URL. For services whose own importer is off.
    pub async fn import_next(&self) -> Outcome {
        imports::run_next(self.service()).await.expect("the queue can be read")
    }

    /// Runs import steps until none is due.
    pub async fn import_all(&self) {
        while self.import_next().await == Outcome::Done {}
    }

    /// Runs the sweeper's step, as the service does at each interval.
    pub async fn sweep(&self) -> Outcome {
        sweeper::sweep(self.service()).await.expect("the sweeper's step succeeds")
    }

    /// Sweeps until nothing is left to do: a single step may find that another sweeper is working.
    pub async fn sweep_all(&self) {
        while self.sweep().await == Outcome::Done {}
    }

    pub async fn examine(&self) -> Report {
        self.service().examine(Fix::default()).await.expect("the doctor's report")
    }

    /// Checks that the doctor reports nothing: no missing or surplus object, no wrong counter, no collection item that
    /// disagrees with its image.
    #[track_caller]
    pub fn assert_sound(&self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let report = self.examine().await;
            let objects = [&report.missing, &report.lost_variants, &report.wrong_size, &report.orphans];
            let found = objects.into_iter().chain([&report.unclaimed, &report.unclaimed_recent, &report.foreign.examples]);
            let rows_agree = report.counters.is_empty() && report.collection_items.is_empty();
            assert!(found.into_iter().all(Vec::is_empty) && rows_agree, "{caller}: {report}");
        }
    }

    /// Direct access to the service's storage, with its credentials.
    pub fn storage(&self) -> Storage {
        match self.running().s3_address {
            Some(address) => Storage::embedded(&address.to_string(), &self.embedded_objects()),
            None => self.bucket.as_ref().map(|bucket| bucket.storage.clone()).expect("a bucket"),
        }
    }

    /// The directory of the embedded S3 server, if the service uses it.
    pub fn objects_dir(&self) -> Option<PathBuf> {
        self.bucket.is_none().then(|| self.embedded_objects())
    }

    fn embedded_objects(&self) -> PathBuf {
        self.data_dir.path().join("data/objects")
    }

    pub fn config(&self) -> Config {
        config(&self.settings)
    }

    /// Opens a second connection pool to the service's database.
    pub async fn database(&self) -> image_service::store::Db {
        let config = config(&self.settings).db();
        image_service::store::Db::open(&config).await.expect("the database can be opened")
    }
}

/// The ids of the images on a page.
pub fn ids_of(page: &Value) -> Vec<String> {
    let images = page["images"].as_array().expect("images");
    images.iter().map(|image| image["image_id"].as_str().expect("an id").to_owned()).collect()
}

/// Parses settings from flags only: variables in a developer's shell must not direct a test to another database.
fn config(flags: &[String]) -> Config {
    // A test's own settings come last and override the common ones.
    let command = Config::augment_args(Command::new("tests").no_binary_name(true).args_override_self(true));
    let command = command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
    let matches = command.try_get_matches_from(flags).unwrap_or_else(|error| panic!("{error}"));
    Config::from_arg_matches(&matches).expect("settings")
}
