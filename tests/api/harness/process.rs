//! The real program as a separate process, to be killed, stopped and observed from outside.
//!
//! A [`Home`] outlives its processes. It has a data directory, and its own database and bucket where the environment
//! names servers for them (see `tests/run`). No other environment variables reach the program.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use clap::{Args, FromArgMatches};
use image_service::app::{self, Running};
use image_service::config::Config;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tempfile::{TempDir, tempdir};
use tokio::sync::mpsc;

use super::backend::{Bucket, Database, Storage};
use super::clock::TestClock;

/// The data and settings that successive processes share.
pub struct Home {
    variables: BTreeMap<String, String>,
    // Dropped in this order.
    bucket: Option<Bucket>,
    pub database: Option<Database>,
    directory: TempDir,
}

/// A start takes a fraction of a second. The limit is for busy machines.
const START_LIMIT: Duration = Duration::from_secs(60);

impl Home {
    /// Uses the database and the S3 server that the environment names, or else SQLite and the embedded S3 server.
    pub async fn new() -> Self {
        let mut home = Self::embedded();
        if let Some(database) = Database::create().await {
            home.set("DATABASE_URL", &database.url);
            home.database = Some(database);
        }
        if let Some(bucket) = Bucket::create().await {
            for (variable, value) in std::env::vars().filter(|(variable, _)| variable.starts_with("AWS_")) {
                home.set(&variable, &value);
            }
            home.set("S3_ENDPOINT_URL", &bucket.storage.endpoint);
            home.set("S3_BUCKET", &bucket.storage.bucket);
            home.bucket = Some(bucket);
        }
        home
    }

    /// Uses SQLite and the embedded S3 server, whatever the environment names.
    pub fn embedded() -> Self {
        let variables = [("PORT", "0"), ("S3_EMBEDDED_PORT", "0"), ("S3_BUCKET", "images")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { variables: variables.into(), bucket: None, database: None, directory: tempdir().expect("a directory") }
    }

    /// Sets an environment variable for processes started later.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Removes an environment variable for processes started later.
    pub fn unset(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn bucket(&self) -> &str {
        &self.variables["S3_BUCKET"]
    }

    pub fn has_embedded_storage(&self) -> bool {
        !self.variables.contains_key("S3_ENDPOINT_URL")
    }

    pub fn storage_address(&self) -> Option<SocketAddr> {
        let url = self.variables.get("S3_ENDPOINT_URL")?;
        Some(url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an endpoint such as http://127.0.0.1:4566"))
    }

    pub fn database_address(&self) -> Option<SocketAddr> {
        let url = PgConnectOptions::from_str(self.variables.get("DATABASE_URL")?).expect("a database URL");
        Some(SocketAddr::new(url.get_host().parse().expect("an IP address, not a host name"), url.get_port()))
    }

    pub fn database_url(&self) -> &str {
        &self.variables["DATABASE_URL"]
    }

    /// Makes processes started later connect to the database at another address.
    pub fn move_database_to(&mut self, address: SocketAddr) {
        let url = PgConnectOptions::from_str(&self.variables["DATABASE_URL"]).expect("a database URL");
        let url = url.host(&address.ip().to_string()).port(address.port());
        self.set("DATABASE_URL", url.to_url_lossy().as_str());
    }

    /// The program with this home's settings and without the test's own environment.
    pub fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-service"));
        self.prepare(&mut command, settings);
        command.args(arguments);
        command
    }

    fn prepare(&self, command: &mut Command, settings: &[(&str, &str)]) {
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // The SDK searches for its configuration files there, and for instance credentials on the network.
        command.env("HOME", self.directory.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("DATA_DIR", self.data_dir()).envs(&self.variables).envs(settings.iter().copied());
    }

    /// Runs a command to its end. Panics if it does not exit.
    pub async fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
        self.run_with_input(arguments, settings, b"").await
    }

    /// Like [`Home::run`], with `input` on standard input.
    pub async fn run_with_input(&self, arguments: &[&str], settings: &[(&str, &str)], input: &[u8]) -> Finished {
        let mut child = self.command(arguments, settings).stdin(Stdio::piped()).spawn().unwrap();
        // A program may exit without reading its input.
        child.stdin.take().unwrap().write_all(input).ok();
        let output = collect(child.stdout.take().unwrap());
        let log = collect(child.stderr.take().unwrap());
        let mut process = Guard { child };
        let status = process.wait(START_LIMIT).await.unwrap_or_else(|| panic!("{arguments:?} did not exit"));
        Finished { status, output: output.join().unwrap(), log: log.join().unwrap() }
    }

    /// Starts the service in the test's process, with a clock that is ahead. The program must not be running.
    pub async fn start_ahead(&self, ahead: TimeDelta) -> Running {
        let mut flags = vec![format!("--data-dir={}", self.data_dir().display())];
        let settings = self.variables.iter().filter(|(variable, _)| !variable.starts_with("AWS_"));
        flags.extend(settings.map(|(variable, value)| format!("--{}={value}", variable.to_lowercase().replace('_', "-"))));
        // Leave the sweeping to the test.
        flags.push("--sweep-interval=86400".to_owned());
        let command = Config::augment_args(clap::Command::new("tests").no_binary_name(true));
        let command = command.mut_args(|argument| argument.env(clap::builder::Resettable::Reset));
        let config = Config::from_arg_matches(&command.try_get_matches_from(flags).expect("settings")).expect("settings");
        let clock = TestClock::default();
        clock.advance(ahead);
        app::start(config, Arc::new(clock)).await.expect("the service starts")
    }

    /// Direct access to the objects. With the embedded server, `process` must be running.
    pub fn storage(&self, process: &Process) -> Storage {
        match (&self.bucket, process.storage_address) {
            (Some(bucket), _) => bucket.storage.clone(),
            (None, Some(address)) => Storage::embedded(&address.to_string(), &self.data_dir().join("objects")),
            (None, None) => panic!("no storage is available"),
        }
    }

    /// Drops everything in the database, including the schema.
    pub async fn empty_database(&self) {
        let database = self.database.as_ref().expect("a database");
        database.run("drop schema public cascade; create schema public").await;
    }
}

/// The result of a command that has exited.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
    pub log: String,
}

/// The running program. Dropping it kills it. If the test fails, the last lines of its log are printed.
pub struct Process {
    guard: Guard,
    pub address: SocketAddr,
    pub storage_address: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `serve` and waits until it listens.
    pub async fn start(home: &Home, settings: &[(&str, &str)]) -> Self {
        Self::from_command(home.command(&["serve"], settings), home.has_embedded_storage()).await
    }

    /// Like [`Process::start`], after the shell has run `preparation`: `ulimit -n 200`.
    pub async fn start_after(preparation: &str, home: &Home, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        home.prepare(&mut command, settings);
        command.arg("-c").arg(format!("{preparation}; exec \"$0\" serve")).arg(env!("CARGO_BIN_EXE_image-service"));
        Self::from_command(command, home.has_embedded_storage()).await
    }

    async fn from_command(mut command: Command, has_storage: bool) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut lines, _) = read_lines(child.stdout.take().unwrap(), Arc::default());
        let mut process = Self {
            guard: Guard { child },
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            storage_address: None,
            log: Arc::clone(&log),
            log_reader: None,
        };
        process.log_reader = Some(read_lines(process.guard.child.stderr.take().unwrap(), log).1);
        process.address = address(&mut lines, "listening on http://").await;
        if has_storage {
            process.storage_address = Some(address(&mut lines, "storage on http://").await);
        }
        process
    }

    pub fn pid(&self) -> u32 {
        self.guard.child.id()
    }

    /// Sends SIGKILL and waits for the exit.
    pub async fn kill(mut self) {
        self.guard.child.kill().unwrap();
        self.wait(START_LIMIT).await;
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let killed = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid())).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for the process to exit. Panics after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.guard.wait(limit).await.unwrap_or_else(|| panic!("the process is still running after {limit:?}"))
    }

    /// Sends SIGTERM and checks that the process exits with success. Returns the whole log.
    pub async fn stop(mut self) -> String {
        self.terminate();
        let status = self.wait(START_LIMIT).await;
        assert!(status.success(), "{status}");
        self.log_reader.take().expect("a log").join().expect("the log is read");
        self.log()
    }

    /// The log so far. A request is logged after its response, so a line may be missing that [`Process::stop`] returns.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A size in bytes from `/proc/<pid>/status`, such as `VmHWM`, the peak of the resident memory.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the last lines of {} logged by the program", lines.len());
            lines[lines.len().saturating_sub(60)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

struct Guard {
    child: Child,
}

impl Guard {
    async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if started.elapsed() > limit {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A process that has already exited cannot be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn address(lines: &mut mpsc::UnboundedReceiver<String>, prefix: &str) -> SocketAddr {
    let line = tokio::time::timeout(START_LIMIT, lines.recv()).await.expect("the program did not start in time");
    let line = line.expect("the program exited instead of starting");
    line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line:?} does not start with {prefix:?}")).parse().unwrap()
}

/// Forwards lines as they arrive, and collects them in `kept`.
fn read_lines(pipe: impl Read + Send + 'static, kept: Arc<Mutex<String>>) -> (mpsc::UnboundedReceiver<String>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
            drop(kept);
            sender.send(line).ok();
        }
    });
    (receiver, reader)
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// All files in a directory and its subdirectories.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
