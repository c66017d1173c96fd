//! A PostgreSQL server that rejects the user, the password or the database name. A small server of its own sends the error, so these
//! tests need no PostgreSQL.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::PASSWORD;
use crate::harness::backend::Database;
use crate::harness::process::Home;

/// Less than the 30 seconds for which a start waits for a database, and more than any command takes on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(20);

const REJECTIONS: [(&str, &str); 3] = [
    ("28P01", "password authentication failed for user \"ann\""),
    ("28000", "no pg_hba.conf entry for host \"127.0.0.1\", user \"ann\", database \"images\", no encryption"),
    ("3D000", "database \"images\" does not exist"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_fail_at_once_if_the_database_rejects_them_and_say_why() {
    for (code, message) in REJECTIONS {
        let address = reject_all(code, message);
        let mut home = Home::embedded();
        home.set("DATABASE_URL", &format!("postgres://ann:pw@{address}/images?sslmode=disable"));
        home.set("DATABASE_TIMEOUT", "30");
        assert_all_fail_at_once(&home, &format!(": cannot connect to {address}: {message}\n")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_fail_at_once_if_every_host_rejects_them() {
    let (code, message) = REJECTIONS[0];
    let (first, second) = (reject_all(code, message), reject_all(code, message));
    let mut home = Home::embedded();
    home.set("DATABASE_URL", &format!("postgres://ann:pw@{first},{second}/images?sslmode=disable"));
    assert_all_fail_at_once(&home, &format!(": {first}: {message}; {second}: {message}\n")).await;
}

async fn assert_all_fail_at_once(home: &Home, ending: &str) {
    // The doctor reads DATA_DIR first.
    std::fs::create_dir_all(home.data_dir().join("objects")).expect("a directory");
    for command in [
        &["migrate"][..],
        &["doctor"],
        &["create-admin", "--email", "root@example.org"],
        &["set-password", "--email", "root@example.org"],
    ] {
        let started = Instant::now();
        let failed = home.run_with_input(command, &[], PASSWORD.as_bytes()).await;
        assert!(
            failed.status.code() == Some(1) && started.elapsed() < AT_ONCE,
            "{command:?} {:?}: {failed:?}",
            started.elapsed()
        );
        let error = "error: the database could not be opened: PostgreSQL rejects the user, the password or the database name in \
            DATABASE_URL";
        let line = failed.log.split_inclusive('\n').find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.starts_with(error) && line.ends_with(ending), "{command:?}: {failed:?}");
        assert!(!failed.log.contains("waiting for the database"), "{command:?}: {failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_role_and_the_database_and_logs_what_is_missing() {
    for (code, message) in REJECTIONS {
        let address = reject_all(code, message);
        let mut home = Home::embedded();
        home.set("DATABASE_URL", &format!("postgres://ann:pw@{address}/images?sslmode=disable"));
        let mut child = home.command(&["serve"], &[]).spawn().expect("the program can be started");
        let log = BufReader::new(child.stderr.take().expect("a log")).lines().map_while(Result::ok);
        let line = { log }.find(|line| line.contains("waiting for the database"));
        let waits = child.try_wait().expect("a status").is_none();
        child.kill().expect("the program can be killed");
        child.wait().expect("a status");
        let line = line.expect("a log line");
        assert!(waits && line.ends_with(&format!(" in DATABASE_URL: cannot connect to {address}: {message}")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_schema_is_named_as_the_reason_for_a_failed_migration() {
    let Some(database) = Database::create_empty("").await else { return };
    let mut home = Home::embedded();
    let separator = if database.direct_url.contains('?') { '&' } else { '?' };
    home.set("DATABASE_URL", &format!("{}{separator}options=-c%20search_path%3Dnone", database.direct_url));
    let failed = home.run(&["migrate"], &[]).await;
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let reason = "migration 1 (images) failed, because the role can use no schema in its search_path: create the schema";
    assert!(failed.log.contains(reason) && failed.log.contains(": no schema has been selected to create in"), "{failed:?}");
}

/// Starts a server that answers every connection with this error.
fn reject_all(code: &str, message: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let fields: String = [("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", message)]
        .iter()
        .map(|(kind, text)| format!("{kind}{text}\0"))
        .collect();
    let body = format!("{fields}\0").into_bytes();
    let length = u32::try_from(body.len() + 4).expect("a short message").to_be_bytes();
    let answer = [b"E", &length[..], &body].concat();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| reject(stream, &answer)));
    address
}

/// Reads the startup message, which begins with its length, and answers it.
fn reject(mut stream: TcpStream, answer: &[u8]) {
    let mut length = [0; 4];
    if stream.read_exact(&mut length).is_ok() {
        let mut startup = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        // A client that is gone needs no answer.
        stream.read_exact(&mut startup).and_then(|()| stream.write_all(answer)).ok();
    }
}
