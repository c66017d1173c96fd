//! The database and the S3 server behind the service: SQLite and the embedded S3 server, or PostgreSQL and an external S3
//! server. `TEST_DATABASE_URL`, `TEST_S3_ENDPOINT_URL` and `AWS_*` configure the latter; `tests/run --only services --keep`
//! prints them.

use std::str::FromStr;
use std::time::Duration;

use image_service::store::DbConfig;
use image_service::store::database::db::Location;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use crate::server::{cpu_with_children, parent_of};
use crate::{Error, Result};

pub const BUCKET: &str = "bench";

pub enum Backend {
    Embedded,
    Postgres(Box<Postgres>),
}

pub struct Postgres {
    options: PgConnectOptions,
    /// The PID of the server's main process. Its children serve the connections.
    process: u32,
}

impl Backend {
    /// Both back ends, or only the embedded one if `TEST_DATABASE_URL` is not set.
    pub async fn all() -> Result<Vec<Self>> {
        let mut backends = vec![Self::Embedded];
        match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => backends.push(Self::postgres(&url).await?),
            Err(_) => println!("TEST_DATABASE_URL is not set: skipping PostgreSQL"),
        }
        Ok(backends)
    }

    async fn postgres(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?;
        let mut connection = options.connect().await?;
        let (backend,): (i32,) = sqlx::query_as("select pg_backend_pid()").fetch_one(&mut connection).await?;
        let process = parent_of(u32::try_from(backend)?)?;
        connection.close().await?;
        Ok(Self::Postgres(Box::new(Postgres { options, process })))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "SQLite + embedded S3",
            Self::Postgres(_) => "PostgreSQL + S3",
        }
    }

    /// Total CPU time of the database server. SQLite runs in the service's process, so its time is zero here.
    pub fn database_cpu(&self) -> Result<Duration> {
        match self {
            Self::Embedded => Ok(Duration::ZERO),
            Self::Postgres(postgres) => cpu_with_children(postgres.process),
        }
    }

    /// Creates an empty database. Returns the service's data directory and its settings.
    pub async fn settings(&self, database: &str) -> Result<(TempDir, Vec<(&'static str, String)>)> {
        let folder = tempfile::tempdir()?;
        let mut settings = vec![("DATA_DIR", folder.path().display().to_string())];
        if let Self::Postgres(postgres) = self {
            postgres.create_database(database).await?;
            settings.push(("DATABASE_URL", postgres.url(database)));
            settings.extend(storage_settings().await?);
        }
        Ok((folder, settings))
    }
}

impl Postgres {
    /// Returns the URL without sqlx's own parameters, which other clients reject.
    pub fn url(&self, database: &str) -> String {
        let mut url = self.options.clone().database(database).to_url_lossy();
        url.set_query(None);
        url.to_string()
    }

    pub fn options(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database)
    }

    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.execute(&format!("drop database if exists {name} with (force)")).await?;
        self.execute(&format!("create database {name}")).await
    }

    pub async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection = self.options.connect().await?;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))).await?;
        Ok(connection.close().await?)
    }

    pub async fn has_database(&self, name: &str) -> Result<bool> {
        let mut connection = self.options.connect().await?;
        let query = sqlx::query("select 1 from pg_database where datname = $1").bind(name);
        Ok(query.fetch_optional(&mut connection).await?.is_some())
    }
}

/// Creates the bucket on the external S3 server. Returns the settings for both.
pub async fn storage_settings() -> Result<Vec<(&'static str, String)>> {
    let mut settings = vec![("S3_BUCKET", BUCKET.to_owned())];
    for (from, to) in [
        ("TEST_S3_ENDPOINT_URL", "S3_ENDPOINT_URL"),
        ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_REGION", "AWS_REGION"),
    ] {
        match std::env::var(from) {
            Ok(value) => settings.push((to, value)),
            Err(_) if from == "AWS_REGION" => settings.push((to, "us-east-1".to_owned())),
            Err(_) => return Err(format!("{from} is not set: see benches/README.md").into()),
        }
    }
    let endpoint = std::env::var("TEST_S3_ENDPOINT_URL")?;
    let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(endpoint).region("us-east-1");
    let config = aws_sdk_s3::config::Builder::from(&sdk.load().await).force_path_style(true).build();
    let client = aws_sdk_s3::Client::from_conf(config);
    if client.head_bucket().bucket(BUCKET).send().await.is_err() {
        client.create_bucket().bucket(BUCKET).send().await.map_err(Error::from)?;
    }
    Ok(settings)
}

/// The configuration for accessing a database through the crate's own store.
pub fn db_config(location: Location) -> DbConfig {
    DbConfig { location, max_connections: 2, timeout: Duration::from_secs(600), statement_timeout: Duration::from_secs(600) }
}
