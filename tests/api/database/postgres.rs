//! PostgreSQL as operators run it: with restricted roles, connection limits, changed defaults and read-only periods. On
//! SQLite, these tests do nothing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use image_service::store::database::db::{Location, Run, Sql};
use image_service::store::{self, Db, DbConfig};
use serde_json::Value;

use crate::harness::backend::Database;
use crate::harness::client::{Client, Upload};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::{Form, TestApp, assert_error, pictures};

/// More than a start, a fail-over or a recovery takes on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

// Roles.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_ddl_permissions_can_serve_a_migrated_database() {
    let Some(database) = Database::create().await else { return };
    let role = Role::create(&database, "").await;
    let mut home = Home::embedded();
    home.set("DATABASE_URL", &role.url);
    let process = Process::start(&home, &[]).await;
    Client::new(process.address).upload(&Upload::small("by a role with little rights", 1)).await.ok();
    process.stop().await;
    // The `migrate` command succeeds too, because there is nothing to do.
    let migrated = home.run(&["migrate"], &[]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    role.drop(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_cannot_migrate_gets_an_error_that_names_the_command() {
    let Some(fresh) = Database::create_empty("").await else { return };
    let Some(older) = Database::create().await else { return };
    older.run("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)").await;
    for (database, migration) in [(&fresh, "migration 1 (images) has not run"), (&older, " has not run")] {
        let role = Role::create(database, "").await;
        let mut home = Home::embedded();
        home.set("DATABASE_URL", &role.url);
        let started = home.run(&["serve"], &[]).await;
        let line = started.log.lines().last().unwrap_or_default();
        assert_eq!(started.status.code(), Some(1), "{started:?}");
        let explains = [migration, "run `image-service migrate`"].iter().all(|words| line.contains(words));
        assert!(explains && contains_postgres_error(line), "{line}");
        role.drop(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_privileges_on_a_table_gets_an_error_that_names_the_grants() {
    let Some(database) = Database::create().await else { return };
    let role = Role::create(&database, "").await;
    let mut home = Home::new().await;
    home.set("DATABASE_URL", &role.url);
    for table in ["_sqlx_migrations", "accounts"] {
        database.run(&format!("revoke select on {table} from {}", role.name)).await;
        let settings = [("AUTH_MODE", "required")];
        for command in ["serve", "doctor"].into_iter().take(if table == "accounts" { 1 } else { 2 }) {
            let refused = home.run(&[command], &settings).await;
            let line = refused.log.lines().last().unwrap_or_default();
            let explains = line.contains("lacks a privilege: grant it USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on");
            assert!(explains && line.ends_with(&format!(": permission denied for table {table}")), "{line}");
            assert!(!line.contains("request_id"), "{line}");
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        }
        database.run(&format!("grant select on {table} to {}", role.name)).await;
    }
    role.drop(&database).await;
}

fn contains_postgres_error(line: &str) -> bool {
    [": permission denied for schema public", ": must be owner of table "].iter().any(|words| line.contains(words))
}

// Read-only databases.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_not_ready_while_the_database_is_read_only() {
    let home = Home::new().await;
    let Some(database) = &home.database else { return };
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    client.upload(&Upload::small("before", 1)).await.ok();
    make_read_only(database, true).await;
    // The reason is logged once the terminated connections have been replaced.
    let reason = "the database cannot be used: the database is read-only: it is a standby";
    wait_until("the service is not ready", async || client.get("/ready").await.status == 503 && process.log().contains(reason))
        .await;
    let readiness = client.get("/ready").await.json();
    assert_eq!((&readiness["database"], &readiness["storage"]), (&Value::from("down"), &Value::from("up")));
    assert_error(&client.upload(&Upload::small("during", 2)).await, 503, "ServiceUnavailable");
    wait_until("images are listed", async || client.get("/images").await.status == 200).await;
    assert_eq!(client.get("/images").await.ok()["total_count"], 1);
    make_read_only(database, false).await;
    wait_until("the service is ready", async || client.get("/ready").await.status == 200).await;
    wait_until("uploads succeed", async || client.upload(&Upload::small("after", 3)).await.status == 200).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_starts_on_a_standby_waits_until_it_is_writable() {
    let home = Home::new().await;
    let Some(database) = &home.database else { return };
    make_read_only(database, true).await;
    let mut child = KillOnDrop(home.command(&["serve"], &[]).spawn().expect("the program can be started"));
    let mut log = BufReader::new(child.0.stderr.take().expect("a log")).lines();
    let line = log.find(|line| line.as_ref().expect("a line").contains("waiting for the database")).expect("a log line").unwrap();
    assert!(line.contains("waiting for the database: the database is read-only"), "{line}");
    // Checks that only read, such as those of the doctor, succeed.
    let db = open(&database.url, 1, Duration::from_secs(30)).await;
    db.ping().await.expect("the database responds");
    assert!(matches!(db.check().await, Err(store::Error::ReadOnly)));
    store::database::migrate::check(&db).await.expect("the schema is current");
    db.close().await;
    make_read_only(database, false).await;
    // The program must not block on a full log pipe.
    std::thread::spawn(move || log.for_each(drop));
    let mut output = BufReader::new(child.0.stdout.take().expect("an output")).lines();
    assert!(output.next().expect("a line").unwrap().starts_with("listening on"));
}

/// Changes the default of new transactions, and terminates the connections that have the old default.
async fn make_read_only(database: &Database, read_only: bool) {
    let state = if read_only { "on" } else { "off" };
    database.administer(&format!("alter database {{database}} set default_transaction_read_only = {state}")).await;
    database.terminate_connections().await;
}

// Isolation.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_uploads_succeed_with_any_default_isolation_level() {
    for level in ["serializable", "repeatable read"] {
        let mut app = TestApp::start().await;
        let Some(database) = &app.database else { return };
        database.administer(&format!("alter database {{database}} set default_transaction_isolation = '{level}'")).await;
        // Existing connections, including those of a pooler, must be replaced.
        database.terminate_connections().await;
        app.restart().await;
        let upload = |seed| app.post(Form::new().text("user_id", "ann").text("tags", "a,b").file(&pictures::jpeg(96, 64, seed)));
        for answer in futures::future::join_all((0..24).map(upload)).await {
            answer.ok();
        }
        assert_eq!(app.get("/images?tags=a").await.ok()["total_count"], 24);
        app.assert_sound().await;
    }
}

// Connections.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_limit_below_the_pool_size_fails_no_request_and_is_logged() {
    let Some(database) = Database::create().await else { return };
    let role = Role::create(&database, "connection limit 3").await;
    let mut home = Home::embedded();
    home.set("DATABASE_URL", &role.url);
    let process = Process::start(&home, &[("DATABASE_CONNECTIONS", "20")]).await;
    let client = Client::new(process.address);
    // Whether four requests use the database concurrently is up to chance.
    let mut warning = None;
    for round in 0..20 {
        let number = |seed: u64| 30 * round + seed;
        let uploads: Vec<Upload> =
            (0..30).map(|seed| Upload::small(&format!("one of many {}", number(seed)), number(seed))).collect();
        for answer in futures::future::join_all(uploads.iter().map(|upload| client.upload(upload))).await {
            answer.ok();
        }
        let log = process.log();
        warning = log.lines().find(|line| line.contains("DATABASE_CONNECTIONS is 20")).map(str::to_owned);
        if warning.is_some() {
            break;
        }
    }
    let line = warning.expect("a warning");
    assert!(line.ends_with(&format!("too many connections for role \"{}\"", role.name)), "{line}");
    process.stop().await;
    role.drop(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_the_server_limit_when_no_connection_can_be_opened() {
    let Some(database) = Database::create().await else { return };
    let role = Role::create(&database, "connection limit 0").await;
    let db = open(&role.url, 5, Duration::from_secs(1)).await;
    let error = db.check().await.expect_err("no connection");
    assert!(matches!(error, store::Error::TooManyConnections { open: 0, max: 5, .. }), "{error:?}");
    assert!(error.is_transient() && error.cause().unwrap().contains("too many connections for role"), "{error:?}");
    role.drop(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_when_all_pool_connections_are_in_use() {
    let Some(database) = Database::create().await else { return };
    let db = open(&database.url, 1, Duration::from_millis(500)).await;
    let tx = db.begin().await.expect("a transaction");
    let error = db.check().await.expect_err("the only connection is in use");
    assert!(matches!(error, store::Error::NoneIdle { max: 1, .. }), "{error:?}");
    drop(tx);
    wait_until("the connection is returned to the pool", async || db.check().await.is_ok()).await;
    db.close().await;
}

// Connection settings.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_connections_have_session_settings_and_named_statements() {
    let Some(database) = Database::create().await else { return };
    let db = open(&database.direct_url, 1, Duration::from_secs(30)).await;
    assert_eq!(fetch_number(&db, "select count(*) from collections").await, 0);
    assert_eq!(
        fetch_number(&db, "select count(*) from pg_prepared_statements where statement like '%from collections'").await,
        1
    );
    for (setting, value) in [
        ("statement_timeout", "1min"),
        ("idle_in_transaction_session_timeout", "2min"),
        ("default_transaction_isolation", "read committed"),
        ("plan_cache_mode", "force_generic_plan"),
    ] {
        let sql = Sql::new("select current_setting($1)").bind(setting);
        assert_eq!(db.fetch::<(String,)>(sql).await.unwrap(), [(value.to_owned(),)], "{setting}");
    }
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_statement_cache_no_prepared_statement_remains() {
    let Some(database) = Database::create().await else { return };
    let db = open(&format!("{}&statement-cache-capacity=0", database.direct_url), 1, Duration::from_secs(30)).await;
    for _ in 0..20 {
        fetch_number(&db, "select count(*) from images").await;
    }
    assert_eq!(fetch_number(&db, "select count(*) from pg_prepared_statements").await, 0);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_limited_encoding_is_rejected_and_sql_ascii_is_accepted() {
    let Some(latin) = Database::create_empty("encoding 'LATIN1' locale 'C'").await else { return };
    let mut home = Home::embedded();
    home.set("DATABASE_URL", &latin.url);
    let started = home.run(&["serve"], &[]).await;
    let line = started.log.lines().last().unwrap_or_default();
    assert_eq!(started.status.code(), Some(1), "{started:?}");
    assert!(line.contains("database encoding is LATIN1") && line.contains("UTF8"), "{line}");
    let Some(ascii) = Database::create_empty("encoding 'SQL_ASCII' locale 'C'").await else { return };
    let migrated = home.run(&["migrate"], &[("DATABASE_URL", &ascii.url)]).await;
    assert!(migrated.status.success(), "{migrated:?}");
}

// Logging.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_url_parameters_are_logged_without_their_values() {
    let Some(database) = Database::create().await else { return };
    let mut home = Home::embedded();
    home.set("DATABASE_URL", &format!("{}&sslpassword=secret1&gssencmode=secret2", database.url));
    let migrated = home.run(&["migrate"], &[("LOG_LEVEL", "trace")]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    assert!(migrated.log.contains("these parameters of DATABASE_URL have no effect: sslpassword, gssencmode"), "{migrated:?}");
    assert!(!migrated.log.contains("secret"), "{migrated:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_database_is_logged_in_one_sentence_that_ends_with_the_cause() {
    let Some(database) = Database::create().await else { return };
    let (host, rest) = database.direct_url.split_once("/test_").expect("a database's URL");
    let missing = format!("{host}/no_{rest}");
    for (url, cause) in [
        (
            "postgres://images@127.0.0.1:1/images",
            "the database is unavailable: cannot connect to 127.0.0.1:1: Connection refused (os error 111)",
        ),
        (&*missing, "does not exist"),
    ] {
        let mut home = Home::embedded();
        home.set("DATABASE_URL", url);
        let mut child =
            KillOnDrop(home.command(&["serve"], &[("DATABASE_TIMEOUT", "1")]).spawn().expect("the program can be started"));
        let mut log = BufReader::new(child.0.stderr.take().expect("a log")).lines();
        let line =
            log.find(|line| line.as_ref().expect("a line").contains("waiting for the database")).expect("a log line").unwrap();
        assert!(line.contains("waiting for the database: "), "{line}");
        let explains = line.trim_end_matches('"').contains(cause);
        assert!(
            explains && !["{", "Some(", "returned from database", "line "].iter().any(|noise| line.contains(noise)),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_for_not_being_ready_is_logged_while_attempts_continue() {
    let mut home = Home::new().await;
    let Some(address) = home.database_address() else { return };
    let proxy = Proxy::in_front_of(address).await;
    home.move_database_to(proxy.address);
    let process = Process::start(&home, &[("DATABASE_TIMEOUT", "30")]).await;
    proxy.set(Fault::Refused);
    let client = Client::new(process.address);
    wait_until("the reason is logged", async || {
        let not_ready = client.get("/ready").await.status == 503;
        let reason =
            format!("the database cannot be used: cannot connect to {}: Connection refused (os error 111)", proxy.address);
        not_ready && process.log().contains(&reason)
    })
    .await;
}

// Helpers.

/// A role that can read and write rows, and nothing else.
struct Role {
    name: String,
    url: String,
}

impl Role {
    async fn create(database: &Database, limits: &str) -> Self {
        let name = format!("role_of_{}", database.name());
        database
            .run(&format!(
                "create role {name} login {limits}; revoke create on schema public from public; \
                 grant usage on schema public to {name}; \
                 grant select, insert, update, delete on all tables in schema public to {name}; \
                 grant usage, select on all sequences in schema public to {name}"
            ))
            .await;
        Self { url: database.url_of(&name), name }
    }

    async fn drop(self, database: &Database) {
        database.run(&format!("drop owned by {0}; drop role {0}", self.name)).await;
    }
}

/// A child process that is killed when dropped.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // A process that has already exited cannot be killed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn open(url: &str, max_connections: u32, timeout: Duration) -> Db {
    let location = Location::Postgres(url.to_owned());
    Db::open(&DbConfig { location, max_connections, timeout, statement_timeout: timeout })
        .await
        .expect("the database can be opened")
}

async fn fetch_number(db: &Db, sql: &'static str) -> i64 {
    let rows: BTreeSet<(i64,)> = db.fetch::<(i64,)>(Sql::new(sql)).await.expect(sql).into_iter().collect();
    rows.first().expect("a row").0
}

async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < RECOVERY_LIMIT, "timed out after {RECOVERY_LIMIT:?} waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
