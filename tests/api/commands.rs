//! The program's commands: missing data, blocked start-up, signals, and accounts.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use image_service::store::database::db::Location;
use image_service::store::{self, Db, DbConfig};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::migrate::Migrate;
use tempfile::TempDir;

use crate::harness::backend::Database;
use crate::harness::client::Client;
use crate::harness::pictures;
use crate::harness::process::{Finished, Home, Process};
use crate::harness::{Answer, PASSWORD};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_creates_nothing_without_existing_data() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    let mut home_elsewhere = Home::embedded();
    home_elsewhere.set("DATA_DIR", "mistyped");
    for home in [home, home_elsewhere] {
        for _ in 0..2 {
            let report = home.run(&["doctor"], &[]).await;
            assert!(report.status.code() == Some(1) && report.output.is_empty(), "{report:?}");
            assert!(
                report.log.contains(" does not exist") || report.log.contains("migration 1 (images) has not run"),
                "{report:?}"
            );
        }
        assert!(!home.data_dir().exists() && !home.data_dir().with_file_name("mistyped").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_waits_for_its_database_stops_immediately_on_a_signal() {
    let mut home = Home::embedded();
    // No server listens on this port.
    home.set("DATABASE_URL", "postgres://images:hunter2@127.0.0.1:1/images");
    for signal in ["TERM", "INT"] {
        let mut child = home.command(&["serve"], &[]).spawn().expect("the program can be started");
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let line = log
            .by_ref()
            .map(|line| line.expect("a line"))
            .find(|line| line.contains("waiting for the database"))
            .expect("a line");
        assert!(line.contains(": cannot connect to 127.0.0.1:1: ") && !line.contains("hunter2"), "{line}");
        let signalled = Instant::now();
        Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().expect("the signal is sent");
        assert_eq!(child.wait().expect("the exit status").code(), Some(0));
        assert!(signalled.elapsed() < Duration::from_secs(10), "{signal}: {:?}", signalled.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_migration_lock_times_out() {
    let Some(database) = Database::create_empty("").await else { return };
    let mut other = sqlx::PgConnection::connect(&database.direct_url).await.expect("cannot connect to the database");
    other.lock().await.expect("the migration lock is acquired");
    // The limit for the lock is a multiple of the statement timeout.
    let (timeout, statement_timeout) = (Duration::from_secs(30), Duration::from_millis(200));
    let location = Location::Postgres(database.url.clone());
    let config = DbConfig { location, max_connections: 1, timeout, statement_timeout };
    let db = Db::open(&config).await.expect("the database can be opened");
    let waited =
        tokio::time::timeout(Duration::from_secs(60), store::database::migrate::run(&db)).await.expect("the migration returns");
    assert!(matches!(waited, Err(store::Error::MigrationLocked(..))), "{waited:?}");
    other.unlock().await.expect("the lock is released");
    store::database::migrate::run(&db).await.expect("the migrations succeed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_connects_to_the_address_of_the_service() {
    for host in ["127.0.0.2", "0.0.0.0"] {
        let mut home = Home::embedded();
        home.set("HOST", host);
        home.set("AUTH_MODE", "required");
        let process = Process::start(&home, &[]).await;
        let checked = home.run(&["healthcheck"], &[("PORT", &process.address.port().to_string())]).await;
        assert!(checked.status.success(), "{host}: {checked:?}");
        process.stop().await;
    }
}

/// Runs the requests of a page's `sh` blocks as one script, in a folder with `photo.jpg`. Returns the folder, and what the script printed.
async fn run_requests(page: &str, process: &Process, password: &str) -> (TempDir, String) {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let requests: Vec<&str> = blocks.filter(|block| block.contains("http://localhost:8000")).collect();
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("photo.jpg"), pictures::jpeg(300, 200, 1)).expect("a photo");
    let script = requests.join("\n").replace("http://localhost:8000", &format!("http://{}", process.address));
    // An error response fails the script, as a command that fails does.
    let script = format!("curl() {{ command curl -fsS --noproxy '*' \"$@\"; }}\n{}", script.replace('…', password));
    let output = Command::new("sh").args(["-euc", &script]).current_dir(folder.path()).output().expect("a shell");
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}\n{out}");
    (folder, out.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_readme_work() {
    let readme = include_str!("../../README.md");
    assert!(readme.matches("curl ").count() >= 9, "{readme}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let (folder, _) = run_requests(readme, &process, "").await;
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    assert!(file("small.jpg").starts_with(b"\xff\xd8") && file("small.jpg").len() > 500);
    // The photo has no location metadata, so every byte is as it was sent.
    assert!(file("original.jpg") == file("photo.jpg") && file("public.jpg") == file("photo.jpg"));
    let image = Client::new(process.address).list().await.remove(0);
    assert_eq!((&image["title"], &image["user_id"]), (&"Dusk".into(), &"user123".into()));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_api_guide_work() {
    let page = include_str!("../../docs/api.md");
    assert!(page.matches("curl ").count() >= 30, "{page}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let (folder, _) = run_requests(page, &process, "").await;
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    for name in ["original.jpg", "public.jpg", "shared.jpg"] {
        assert!(file(name) == file("photo.jpg"), "{name}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_authentication_guide_work() {
    let page = include_str!("../../docs/authentication.md");
    for mode in ["trusted", "required"] {
        let home = Home::embedded();
        assert!(account_command(&home, "create-admin", "root@example.org", "a password of root\n").await.status.success());
        let process = Process::start(&home, &[("AUTH_MODE", mode)]).await;
        let (_, out) = run_requests(page, &process, "a password of root").await;
        assert!(out.contains("\"visibility\":\"private\"") && out.contains("\"images\":1,"), "{out}");
        // Private images are listed for their owner only.
        assert!(Client::new(process.address).list().await.is_empty());
        process.stop().await;
    }
}

/// Runs a command on an account. `input` holds the password.
async fn account_command(home: &Home, command: &str, email: &str, input: &str) -> Finished {
    home.run_with_input(&[command, "--email", email], &[], input.as_bytes()).await
}

async fn log_in(process: &Process, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    Client::new(process.address).post_json("/token", &body).await
}

/// Returns the status and account that an access token leads to.
async fn account_of(process: &Process, tokens: &Answer) -> (u16, Value) {
    let url = Client::new(process.address).url("/accounts/me");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.get(url).bearer_auth(tokens.json()["access"].as_str().expect("a token"));
    let answer = Answer::read(request.send().await.expect("an answer")).await;
    (answer.status, answer.json())
}

#[track_caller]
fn assert_failed(finished: &Finished, why: &str) {
    assert_eq!((finished.status.code(), finished.output.as_str()), (Some(1), ""), "{finished:?}");
    assert!(finished.log.contains("error: ") && finished.log.contains(why), "{finished:?}");
    assert!(!finished.log.contains("horse"), "the log contains the password: {finished:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_admin_creates_accounts_before_the_first_start_and_while_the_service_runs() {
    let home = Home::new().await;
    let first = account_command(&home, "create-admin", "Root@example.org", &format!("{PASSWORD}\r\nwhat follows\n")).await;
    assert!(first.status.success() && first.output.starts_with("created the administrator root@example.org: "), "{first:?}");
    let process = Process::start(&home, &[]).await;
    let tokens = log_in(&process, "root@example.org", PASSWORD).await;
    let (status, account) = account_of(&process, &tokens).await;
    assert_eq!((status, &account["admin"], &account["plan"]), (200, &json!(true), &Value::Null));
    let file = home.data_dir().join("images.sqlite").display().to_string();
    let database = if home.database.is_some() { "DATABASE_URL".to_owned() } else { file };
    assert!(first.output.contains(&database), "{first:?}");
    assert_eq!(first.output.contains("created a new database"), home.database.is_none(), "{first:?}");
    assert!(first.output.contains(account["id"].as_str().expect("an id")), "{first:?}");
    assert_eq!(account["user_id"], account["id"]);
    // While the service runs, and without a newline after the password.
    let arguments = ["create-admin", "--email", "second@example.org", "--user-id", "second"];
    let second = home.run_with_input(&arguments, &[], b" another horse battery ").await;
    assert!(second.status.success() && second.output.contains("user_id second"), "{second:?}");
    assert!(second.output.contains(&database) && !second.output.contains("created a new database"), "{second:?}");
    assert_eq!(log_in(&process, "second@example.org", "another horse battery").await.status, 401);
    let tokens = log_in(&process, "second@example.org", " another horse battery ").await;
    assert_eq!(account_of(&process, &tokens).await.1["user_id"], "second");
    for taken in ["root@example.org", "ROOT@EXAMPLE.ORG"] {
        assert_failed(&account_command(&home, "create-admin", taken, PASSWORD).await, "already exists");
    }
    let arguments = ["create-admin", "--email", "third@example.org", "--user-id", "second"];
    assert_failed(&home.run_with_input(&arguments, &[], PASSWORD.as_bytes()).await, "already exists");
    assert_eq!(log_in(&process, "root@example.org", PASSWORD).await.status, 201, "the password is unchanged");
    for log in [first.log, second.log, process.log()] {
        assert!(!log.contains("horse"), "{log}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_admin_reads_the_password_only_from_standard_input() {
    let home = Home::embedded();
    for (input, why) in [
        ("", "must be 12 to 128 characters long"),
        ("\n", "must be 12 to 128 characters long"),
        ("short horse\n", "must be 12 to 128 characters long"),
        ("a horse with a\ttab\n", "must not contain control characters"),
        ("isk_horse_battery\n", "must not start with isk_"),
    ] {
        let finished = account_command(&home, "create-admin", "root@example.org", input).await;
        assert_failed(&finished, &format!("the password {why}"));
    }
    let latin_1 = home.run_with_input(&["create-admin", "--email", "root@example.org"], &[], b"\xfcber horses all\n").await;
    assert_eq!(latin_1.status.code(), Some(1), "{latin_1:?}");
    for arguments in [
        &["create-admin", "--email", "root@example.org", "--password", PASSWORD][..],
        &["create-admin", "--email", "root@example.org", PASSWORD],
        &["create-admin"],
        &["create-admin", "--email", "root"],
        &["create-admin", "--email", "root@example.org", "--user-id", "a b"],
    ] {
        let finished = home.run_with_input(arguments, &[("PASSWORD", PASSWORD)], PASSWORD.as_bytes()).await;
        assert!(finished.status.code() == Some(2) && finished.output.is_empty(), "{arguments:?}: {finished:?}");
    }
    assert!(!home.data_dir().exists(), "a rejected command creates nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_password_revokes_all_sessions_with_and_without_a_running_service() {
    let home = Home::new().await;
    let made = account_command(&home, "create-admin", "root@example.org", PASSWORD).await;
    assert!(made.status.success(), "{made:?}");
    let process = Process::start(&home, &[]).await;
    let before = log_in(&process, "root@example.org", PASSWORD).await;
    assert_failed(&account_command(&home, "set-password", "root@example.org", "short horse").await, "12 to 128 characters");
    let unknown = account_command(&home, "set-password", "nobody@example.org", PASSWORD).await;
    assert_failed(&unknown, "error: there is no account with the e-mail address nobody@example.org. The database is ");
    assert_eq!(account_of(&process, &before).await.0, 200);
    let set = account_command(&home, "set-password", "Root@example.org", "another horse battery\n").await;
    assert!(set.status.success() && set.output.starts_with("changed the password of root@example.org "), "{set:?}");
    assert!(set.output.contains("The database is "), "{set:?}");
    assert_eq!(account_of(&process, &before).await.0, 401);
    assert_eq!(log_in(&process, "root@example.org", PASSWORD).await.status, 401);
    let between = log_in(&process, "root@example.org", "another horse battery").await;
    assert_eq!(account_of(&process, &between).await.0, 200);
    process.stop().await;
    let set = account_command(&home, "set-password", "root@example.org", PASSWORD).await;
    assert!(set.status.success(), "{set:?}");
    let process = Process::start(&home, &[]).await;
    assert_eq!(account_of(&process, &between).await.0, 401);
    assert_eq!(account_of(&process, &log_in(&process, "root@example.org", PASSWORD).await).await.0, 200);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_access_settings_are_rejected_at_startup() {
    let home = Home::embedded();
    let long = "0123456789abcdef0123456789abcdef";
    for (variable, value) in [
        ("JWT_SECRET", "0123456789abcdef0123456789abcde"),
        ("JWT_SECRET", &format!("{long},short-secret")),
        ("AUTH_MODE", "none"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("RATE_LIMIT_READS_PER_CALLER", "1000001"),
        ("RATE_LIMIT_LOGINS_PER_ADDRESS", "-1"),
    ] {
        let finished = home.run(&["serve"], &[(variable, value)]).await;
        assert!(!finished.status.success() && finished.output.is_empty(), "{variable}={value}: {finished:?}");
        let named = finished.log.contains(variable) || finished.log.contains(&variable.to_lowercase().replace('_', "-"));
        assert!(named, "{variable}={value}: {finished:?}");
        assert!(!finished.log.contains("0123456789abcde") && !finished.log.contains("short-secret"), "{finished:?}");
    }
    let help = home.run(&["serve", "--help"], &[("JWT_SECRET", long)]).await;
    assert!(help.status.success() && help.output.contains("JWT_SECRET") && !help.output.contains(long), "{help:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_password_creates_nothing_without_existing_data() {
    let home = Home::embedded();
    let finished = account_command(&home, "set-password", "root@example.org", PASSWORD).await;
    assert_failed(&finished, "");
    assert!(!home.data_dir().exists());
}
