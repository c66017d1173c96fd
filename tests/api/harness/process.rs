//! The real program as a process of its own, to be killed, stopped and looked at from outside.
//!
//! A [`Home`] is what outlives a process: its data directory, and a database and a bucket of its own where the
//! environment names servers for them (see `tests/run`). Nothing else of this environment reaches the program.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
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

/// What a process leaves behind for the next one.
pub struct Home {
    variables: BTreeMap<String, String>,
    // Dropped in this order.
    bucket: Option<Bucket>,
    pub database: Option<Database>,
    directory: TempDir,
}

/// Starting takes a fraction of a second; this is for a machine with much else to do.
const START_LIMIT: Duration = Duration::from_secs(60);

impl Home {
    /// On the database and the S3 server that the environment names, or on those inside the program.
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

    /// On SQLite and the S3 server inside the program, whatever the environment names.
    pub fn embedded() -> Self {
        let variables = [("PORT", "0"), ("S3_EMBEDDED_PORT", "0"), ("S3_BUCKET", "images")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { variables: variables.into(), bucket: None, database: None, directory: tempdir().expect("a directory") }
    }

    /// Sets an environment variable of the processes to come.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Takes an environment variable from the processes to come.
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
        Some(url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an endpoint like http://127.0.0.1:4566"))
    }

    pub fn database_address(&self) -> Option<SocketAddr> {
        let url = PgConnectOptions::from_str(self.variables.get("DATABASE_URL")?).expect("a database's URL");
        Some(SocketAddr::new(url.get_host().parse().expect("an address and no name"), url.get_port()))
    }

    pub fn database_url(&self) -> &str {
        &self.variables["DATABASE_URL"]
    }

    /// Leads the processes to come to the database by another address.
    pub fn move_database_to(&mut self, address: SocketAddr) {
        let url = PgConnectOptions::from_str(&self.variables["DATABASE_URL"]).expect("a database's URL");
        let url = url.host(&address.ip().to_string()).port(address.port());
        self.set("DATABASE_URL", url.to_url_lossy().as_str());
    }

    /// The program with this home's settings and nothing of this environment's.
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
        // The SDK looks for its own files there, and for credentials of the machine.
        command.env("HOME", self.directory.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("DATA_DIR", self.data_dir()).envs(&self.variables).envs(settings.iter().copied());
    }

    /// Runs a command that ends by itself, and insists that it does.
    pub async fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
        self.run_with_input(arguments, settings, b"").await
    }

    /// As [`Home::run`], with this to read from standard input.
    pub async fn run_with_input(&self, arguments: &[&str], settings: &[(&str, &str)], input: &[u8]) -> Finished {
        let mut child = self.command(arguments, settings).stdin(Stdio::piped()).spawn().unwrap();
        // One that has ended without reading it is no fault.
        child.stdin.take().unwrap().write_all(input).ok();
        let output = collect(child.stdout.take().unwrap());
        let log = collect(child.stderr.take().unwrap());
        let mut process = Guard { child };
        let status = process.wait(START_LIMIT).await.unwrap_or_else(|| panic!("{arguments:?} did not end"));
        Finished { status, output: output.join().unwrap(), log: log.join().unwrap() }
    }

    /// Starts the service in this very process, with a clock that is ahead. The program must not be running.
    pub async fn start_ahead(&self, ahead: TimeDelta) -> Running {
        let mut flags = vec![format!("--data-dir={}", self.data_dir().display())];
        let settings = self.variables.iter().filter(|(variable, _)| !variable.starts_with("AWS_"));
        flags.extend(settings.map(|(variable, value)| format!("--{}={value}", variable.to_lowercase().replace('_', "-"))));
        // Its own sweeper must leave something to the test's.
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
            (None, None) => panic!("there is no storage"),
        }
    }

    /// Takes everything out of the database, the schema too.
    pub async fn empty_database(&self) {
        let database = self.database.as_ref().expect("a database");
        database.run("drop schema public cascade; create schema public").await;
    }
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
    pub log: String,
}

/// The running program. Dropping it kills it; in a test that fails, what it logged is printed.
pub struct Process {
    guard: Guard,
    pub address: SocketAddr,
    pub storage_address: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `serve` and waits until it answers.
    pub async fn start(home: &Home, settings: &[(&str, &str)]) -> Self {
        Self::from_command(home.command(&["serve"], settings), home.has_embedded_storage()).await
    }

    /// As [`Process::start`], after the shell has run `preparation`: `ulimit -n 200`.
    pub async fn start_after(preparation: &str, home: &Home, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        home.prepare(&mut command, settings);
        command.arg("-c").arg(format!("{preparation}; exec \"$0\" serve")).arg(env!("CARGO_BIN_EXE_image-service"));
        Self::from_command(command, home.has_embedded_storage()).await
    }

    async fn from_command(mut command: Command, has_storage: bool) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = read_lines(child.stdout.take().unwrap(), Arc::default());
        let mut process = Self {
            guard: Guard { child },
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            storage_address: None,
            log: Arc::clone(&log),
        };
        read_lines(process.guard.child.stderr.take().unwrap(), log);
        process.address = address(&mut lines, "listening on http://").await;
        if has_storage {
            process.storage_address = Some(address(&mut lines, "storage on http://").await);
        }
        process
    }

    pub fn pid(&self) -> u32 {
        self.guard.child.id()
    }

    /// kill -9.
    pub async fn kill(mut self) {
        self.guard.child.kill().unwrap();
        self.wait(START_LIMIT).await;
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let killed = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid())).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end, and insists on it.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.guard.wait(limit).await.unwrap_or_else(|| panic!("the process is still there after {limit:?}"))
    }

    /// Asks it to stop, and insists that it does so in order.
    pub async fn stop(mut self) {
        self.terminate();
        let status = self.wait(START_LIMIT).await;
        assert!(status.success(), "{status}");
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A number of bytes from /proc/<pid>/status, such as `VmHWM`, the most memory that it ever had.
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
        // One that has ended by itself cannot be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn address(lines: &mut mpsc::UnboundedReceiver<String>, prefix: &str) -> SocketAddr {
    let line = tokio::time::timeout(START_LIMIT, lines.recv()).await.expect("the program did not start in time");
    let line = line.expect("the program ended instead of starting");
    line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line:?} is not {prefix:?}")).parse().unwrap()
}

/// Hands on lines as they come, and keeps them.
fn read_lines(pipe: impl Read + Send + 'static, kept: Arc<Mutex<String>>) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
            drop(kept);
            sender.send(line).ok();
        }
    });
    receiver
}

fn collect(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// All files in a directory and those below it.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
