//! Connecting to PostgreSQL: several hosts, poolers, certificates.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use image_service::store::database::db::{Location, Run, Sql};
use image_service::store::{Db, DbConfig};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, Row};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::backend::{Database, pooler};
use crate::harness::client::{Client, Upload};
use crate::harness::process::{Home, Process};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::world::certified_for;
use crate::harness::{Form, TestApp, pictures};

// Several hosts.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_writable_host_is_used() {
    let mut home = Home::new().await;
    let Some(address) = home.database_address() else { return };
    let standby = start_standby().await;
    // No server listens at the first host.
    set_hosts(&mut home, &format!("127.0.0.1:1,{standby},{address}"), "");
    let process = Process::start(&home, &[]).await;
    Client::new(process.address).upload(&Upload::small("at the third host", 1)).await.ok();
    process.stop().await;
    // If any host is acceptable, the standby is detected only by the check for writes.
    let url = format!("postgres://images@127.0.0.1:1,{standby}/images?target_session_attrs=any");
    let error = open(&url).await.check().await.expect_err("the standby is read-only");
    assert!(!error.to_string().contains("host"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_no_host_is_usable_each_is_named_with_its_reason() {
    let Some(_database) = Database::create().await else { return };
    let standby = start_standby().await;
    let error = open(&format!("postgres://images@127.0.0.1:1,{standby}/images")).await.check().await.expect_err("no host");
    let cause = error.cause().expect("a cause");
    assert!(error.is_transient() && error.to_string() == "none of the hosts in DATABASE_URL can be used", "{error}");
    assert!(cause.starts_with("127.0.0.1:1: Connection refused"), "{cause}");
    assert!(cause.contains(&format!("; {standby}: the database is read-only")), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_new_connections_use_the_other_host() {
    let mut home = Home::new().await;
    let Some(address) = home.database_address() else { return };
    let (first, second) = (Proxy::in_front_of(address).await, Proxy::in_front_of(address).await);
    second.set(Fault::Refused);
    set_hosts(&mut home, &format!("{},{}", first.address, second.address), "");
    let process = Process::start(&home, &[("DATABASE_TIMEOUT", "5")]).await;
    let client = Client::new(process.address);
    client.upload(&Upload::small("at the first", 1)).await.ok();
    for (round, (from, to)) in [(&first, &second), (&second, &first), (&first, &second)].into_iter().enumerate() {
        to.set(Fault::None);
        from.set(if round == 2 { Fault::Hang } else { Fault::Refused });
        let upload = Upload::small(&format!("after fail-over {round}"), 2 + round as u64);
        let started = Instant::now();
        while client.upload(&upload).await.status != 200 {
            assert!(started.elapsed() < Duration::from_secs(60), "no connection to the other host");
        }
    }
    assert!(client.list().await.len() >= 4);
}

// Poolers.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pooled_server_connections_keep_no_settings_statements_or_locks() {
    let Some((host, port)) = pooler() else { return };
    let app = TestApp::start().await;
    let Some(database) = &app.database else { return };
    let upload = |seed| app.post(Form::new().text("user_id", "ann").file(&pictures::jpeg(96, 64, seed)));
    for answer in futures::future::join_all((0..12).map(upload)).await {
        answer.ok();
    }
    futures::future::join_all((0..12).map(|_| app.get("/images"))).await.into_iter().for_each(|page| drop(page.ok()));
    // Open transactions, so that each one occupies its own server connection.
    let options = PgConnectOptions::new_without_pgpass().host(&host).port(port).username("postgres").extra_float_digits(None);
    let options = options.database(database.name());
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = options.connect().await.expect("cannot connect to the pooler");
        other.execute(sqlx::raw_sql("begin")).await.expect("a transaction");
        others.push(other);
    }
    for other in &mut others {
        assert_eq!(text(other, "select current_setting('statement_timeout')").await, "0");
        assert_eq!(text(other, "select current_setting('idle_in_transaction_session_timeout')").await, "0");
        assert_eq!(text(other, "select count(*)::text from pg_prepared_statements").await, "0");
    }
    let locks = "select count(*)::text from pg_locks join pg_database on oid = database \
        where locktype = 'advisory' and datname = current_database()";
    assert_eq!(text(&mut others[0], locks).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_pooler_do_not_run_statements_of_each_other() {
    let Some(_) = pooler() else { return };
    let Some(database) = Database::create().await else { return };
    let (one, other) = (open(&database.url).await, open(&database.url).await);
    let run_many = |db: Db, sql: &'static str, answer: i64| async move {
        for _ in 0..100 {
            assert_eq!(db.fetch::<(i64,)>(Sql::new(sql)).await.expect(sql), [(answer,)]);
        }
    };
    let ones = (0..4).map(|_| run_many(one.clone(), "select cast(1 as bigint)", 1));
    let others = (0..4).map(|_| run_many(other.clone(), "select cast(2 as bigint)", 2));
    tokio::join!(futures::future::join_all(ones), futures::future::join_all(others));
}

async fn text(connection: &mut PgConnection, sql: &'static str) -> String {
    connection.fetch_one(sqlx::raw_sql(sql)).await.expect(sql).get(0)
}

// Certificates.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_ca_in_ssl_cert_file_is_trusted() {
    let mut home = Home::new().await;
    let Some(address) = home.database_address() else { return };
    let (port, certificate) = start_tls_host(address).await;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate).expect("a file");
    for parameters in ["sslmode=verify-full", "sslrootcert=system"] {
        set_hosts(&mut home, &format!("localhost:{port}"), parameters);
        let trusted = home.run(&["migrate"], &[("SSL_CERT_FILE", file.to_str().unwrap())]).await;
        assert!(trusted.status.success(), "{parameters}: {trusted:?}");
        let url = home.database_url();
        let error = open(url).await.check().await.expect_err("an untrusted certificate");
        assert!(error.cause().is_some_and(|cause| cause.contains("invalid peer certificate")), "{parameters}: {error:?}");
    }
}

/// Starts a TLS host in front of a server without TLS. Returns its port, and the certificate for `localhost`.
async fn start_tls_host(server: SocketAddr) -> (u16, String) {
    let (certificate, acceptor) = certified_for("localhost");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                client.read_exact(&mut [0; 8]).await?;
                client.write_all(b"S").await?;
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (port, certificate.pem())
}

// Helpers.

/// Points the home's database URL to other hosts.
fn set_hosts(home: &mut Home, hosts: &str, parameters: &str) {
    let options = home.database.as_ref().expect("a database");
    let url = format!("postgres://postgres@{hosts}/{}?{parameters}", options.name());
    home.set("DATABASE_URL", &url);
}

async fn open(url: &str) -> Db {
    let (location, timeout) = (Location::Postgres(url.to_owned()), Duration::from_secs(5));
    Db::open(&DbConfig { location, max_connections: 4, timeout, statement_timeout: timeout })
        .await
        .expect("the database can be opened")
}

/// Starts a server that imitates a read-only standby. Returns its address.
async fn start_standby() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // Connection errors are the client's concern.
            tokio::spawn(async move { answer_as_standby(client).await.ok() });
        }
    });
    address
}

/// Accepts every login, and answers every simple query with the row that a session requests at its start.
async fn answer_as_standby(mut client: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    const SSL_REQUEST: &[u8] = &80_877_103_i32.to_be_bytes();
    while read_body(&mut client).await?.starts_with(SSL_REQUEST) {
        client.write_all(b"N").await?;
    }
    client.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat()).await?;
    loop {
        let kind = client.read_u8().await?;
        read_body(&mut client).await?;
        if kind != b'Q' {
            return Ok(());
        }
        let columns = ["mark", "read_only", "encoding"].map(|name| {
            // Belongs to no table; type text in text format.
            [name.as_bytes(), b"\0", &[0; 6], &25_i32.to_be_bytes(), &(-1_i16).to_be_bytes(), &[255; 4], &[0; 2]].concat()
        });
        let values = ["", "on", "UTF8"].map(|value| [&(value.len() as i32).to_be_bytes(), value.as_bytes()].concat());
        let three = 3_i16.to_be_bytes();
        let rows =
            [message(b'T', &[&three[..], &columns.concat()].concat()), message(b'D', &[&three[..], &values.concat()].concat())];
        client.write_all(&[&rows.concat()[..], &message(b'C', b"SELECT 1\0"), &message(b'Z', b"I")].concat()).await?;
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

async fn read_body(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(client.read_i32().await?).unwrap();
    let mut body = vec![0; length - 4];
    client.read_exact(&mut body).await?;
    Ok(body)
}
