//! The test's own database and bucket, on servers that all tests share. Without such servers, the tests use SQLite and
//! the embedded S3 server.
//!
//! - `TEST_DATABASE_URL`: a database on a PostgreSQL server, from which new databases may be created.
//! - `TEST_DATABASE_POOLER`: host and port of a pooler in front of that server, for all of its databases. The services
//!   connect through it.
//! - `TEST_S3_ENDPOINT_URL`: an S3 server, with its credentials in `AWS_*`.

use std::path::Path;
use std::str::FromStr;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use image_service::model::clock::{Clock, SystemClock};
use image_service::store::database::db::Location;
use image_service::store::{self, Db, DbConfig};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// A PostgreSQL database, which is dropped together with this value.
pub struct Database {
    /// The URL for services: through the pooler, if one is set.
    pub url: String,
    /// The URL that bypasses the pooler.
    pub direct_url: String,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    /// `None` when the tests run on SQLite.
    pub async fn create() -> Option<Self> {
        let server_url = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())?;
        let server = PgConnectOptions::from_str(&server_url).expect("TEST_DATABASE_URL must be a URL");
        let mut connection = server.connect().await.expect("cannot connect to TEST_DATABASE_URL");
        let template = ensure_template(&mut connection, &server).await;
        let database = Self::named(&format!("test_{}", random_name()), server);
        execute(&mut connection, &format!("create database {} template {template}", database.name)).await;
        connection.close().await.expect("the connection closes");
        Some(database)
    }

    /// Creates a database without a schema. `options` end the `create database` statement: `encoding 'LATIN1' …`.
    /// Returns `None` when the tests run on SQLite.
    pub async fn create_empty(options: &str) -> Option<Self> {
        let server_url = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())?;
        let server = PgConnectOptions::from_str(&server_url).expect("TEST_DATABASE_URL must be a URL");
        let database = Self::named(&format!("test_{}", random_name()), server);
        let mut connection = database.server.connect().await.expect("cannot connect to TEST_DATABASE_URL");
        execute(&mut connection, &format!("create database {} template template0 {options}", database.name)).await;
        Some(database)
    }

    fn named(name: &str, server: PgConnectOptions) -> Self {
        let direct = server.clone().database(name);
        let direct_url = direct.to_url_lossy().to_string();
        let url = match pooler() {
            Some((host, port)) => direct.host(&host).port(port).to_url_lossy().to_string(),
            None => direct_url.clone(),
        };
        Self { url, direct_url, name: name.to_owned(), server }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement about this database from another one, because this one may be read-only. `{database}` stands
    /// for its name.
    pub async fn administer(&self, sql: &str) {
        let mut connection = self.server.connect().await.expect("cannot connect to the server");
        execute(&mut connection, &sql.replace("{database}", &self.name)).await;
        connection.close().await.expect("the connection closes");
    }

    /// Runs statements in this database as the server's owner, bypassing the pooler. `{database}` stands for its name.
    pub async fn run(&self, sql: &str) {
        let mut connection = self.server.clone().database(&self.name).connect().await.expect("cannot connect to the database");
        execute(&mut connection, &sql.replace("{database}", &self.name)).await;
        connection.close().await.expect("the connection closes");
    }

    /// Terminates every connection to this database, so that new ones get its new settings.
    pub async fn terminate_connections(&self) {
        self.administer("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'").await;
    }

    /// The URL of this database for another role, bypassing the pooler.
    pub fn url_of(&self, role: &str) -> String {
        self.server.clone().database(&self.name).username(role).to_url_lossy().to_string()
    }
}

/// Host and port of the pooler.
pub fn pooler() -> Option<(String, u16)> {
    let address = std::env::var("TEST_DATABASE_POOLER").ok().filter(|address| !address.is_empty())?;
    let (host, port) = address.rsplit_once(':').expect("TEST_DATABASE_POOLER must be host:port");
    Some((host.to_owned(), port.parse().expect("TEST_DATABASE_POOLER must be host:port")))
}

/// Creates a template database with this version's schema, once for all tests. Tests run in separate processes, so a
/// lock in the server prevents duplicates.
async fn ensure_template(connection: &mut PgConnection, server: &PgConnectOptions) -> String {
    let name = format!("image_service_template_{}", schema_hash());
    execute(connection, "select pg_advisory_lock(20260131)").await;
    let found: Option<(i32,)> = sqlx::query_as("select 1 from pg_database where datname = $1")
        .bind(&name)
        .fetch_optional(&mut *connection)
        .await
        .expect("the databases can be listed");
    if found.is_none() {
        // It gets its final name only when it is complete.
        let draft = format!("draft_{}", random_name());
        execute(connection, &format!("create database {draft}")).await;
        migrate(&server.clone().database(&draft)).await;
        execute(connection, &format!("alter database {draft} rename to {name}")).await;
    }
    execute(connection, "select pg_advisory_unlock(20260131)").await;
    name
}

async fn migrate(database: &PgConnectOptions) {
    let location = Location::Postgres(database.to_url_lossy().to_string());
    let timeout = std::time::Duration::from_secs(30);
    let config = DbConfig { location, max_connections: 2, timeout, statement_timeout: timeout };
    let db = Db::open(&config).await.expect("the template opens");
    store::database::migrate::run(&db).await.expect("the migrations run");
    db.close().await;
}

/// A different schema needs a different template: the server may have served tests of another version.
fn schema_hash() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("migrations").map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).expect("a migration"));
    }
    hex::encode(&hash.finalize()[..8])
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        clean_up("database", async move {
            let mut connection = server.connect().await?;
            connection.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await?;
            Ok(connection.close().await?)
        });
    }
}

/// A bucket on an S3 server. Dropping it deletes the bucket with its objects.
pub struct Bucket {
    pub storage: Storage,
}

impl Bucket {
    /// Returns `None` when the tests run on the embedded S3 server.
    pub async fn create() -> Option<Self> {
        let endpoint = std::env::var("TEST_S3_ENDPOINT_URL").ok().filter(|url| !url.is_empty())?;
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("TEST_S3_ENDPOINT_URL requires {name}"));
        let credentials = Credentials::new(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), None, None, "tests");
        let storage = Storage::new(&endpoint, credentials, &format!("test-{}", random_name()));
        storage.client.create_bucket().bucket(&storage.bucket).send().await.expect("the bucket is created");
        Some(Self { storage })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let Storage { endpoint, bucket, credentials, .. } = self.storage.clone();
        clean_up("bucket", async move {
            // The test's own client cannot be used: the runtime that drives its connections is blocked meanwhile.
            let storage = Storage::new(&endpoint, credentials, &bucket);
            loop {
                let keys = storage.try_keys().await?;
                if keys.is_empty() {
                    break;
                }
                let identifiers = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
                let delete = Delete::builder().set_objects(Some(identifiers.collect::<Result<_, _>>()?)).build()?;
                storage.client.delete_objects().bucket(&storage.bucket).delete(delete).send().await?;
            }
            storage.client.delete_bucket().bucket(&storage.bucket).send().await?;
            Ok(())
        });
    }
}

/// Direct access to the objects, bypassing the service.
#[derive(Clone)]
pub struct Storage {
    pub endpoint: String,
    pub bucket: String,
    credentials: Credentials,
    client: Client,
}

impl Storage {
    fn new(endpoint: &str, credentials: Credentials, bucket: &str) -> Self {
        let region = std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(endpoint)
            .credentials_provider(credentials.clone())
            .force_path_style(true)
            .build();
        Self { endpoint: endpoint.to_owned(), bucket: bucket.to_owned(), credentials, client: Client::from_conf(config) }
    }

    /// The embedded S3 server, with the credentials that it keeps in its directory.
    pub fn embedded(address: &str, directory: &Path) -> Self {
        let file = std::fs::read(directory.join("credentials.json")).expect("the embedded server's keys");
        let keys: serde_json::Value = serde_json::from_slice(&file).expect("the embedded server's keys");
        let key = |name: &str| keys[name].as_str().expect("a key").to_owned();
        let credentials = Credentials::new(key("access_key_id"), key("secret_access_key"), None, None, "tests");
        Self::new(&format!("http://{address}"), credentials, "images")
    }

    pub async fn put(&self, key: &str, bytes: &[u8]) {
        let body = ByteStream::from(bytes.to_vec());
        self.client.put_object().bucket(&self.bucket).key(key).body(body).send().await.expect("an object is put");
    }

    pub async fn put_as(&self, key: &str, bytes: &[u8], content_type: &str) {
        let request = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type);
        request.body(ByteStream::from(bytes.to_vec())).send().await.expect("an object is put");
    }

    pub async fn delete(&self, key: &str) {
        self.client.delete_object().bucket(&self.bucket).key(key).send().await.expect("an object is deleted");
    }

    /// Returns the keys of up to 1000 objects.
    pub async fn keys(&self) -> Vec<String> {
        self.try_keys().await.expect("the objects can be listed")
    }

    async fn try_keys(&self) -> Result<Vec<String>, BoxError> {
        let listed = self.client.list_objects_v2().bucket(&self.bucket).send().await?;
        Ok(listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect())
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Runs asynchronous clean-up from a `drop`, on a thread with its own runtime. A failed clean-up does not fail the
/// test.
fn clean_up(what: &'static str, work: impl Future<Output = Result<(), BoxError>> + Send + 'static) {
    let cleaned = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    });
    match cleaned.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("the test's {what} was left behind: {error}"),
        Err(_) => eprintln!("the test's {what} was left behind"),
    }
}

/// 20 hexadecimal digits.
fn random_name() -> String {
    hex::encode(SystemClock.random())
}
