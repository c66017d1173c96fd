//! Floor 5: builds the adapters and the service, serves, starts the workers, stops in order. It alone knows everyone.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::caption::{self, Captioner};
use crate::config::access::AuthMode;
use crate::config::captions::CaptionSetup;
use crate::config::{Config, ConfigError, open_files};
use crate::data_dir::{self, UsedDatabase};
use crate::fetch::{Fetcher, Network, SystemNetwork};
use crate::http;
use crate::metrics::Metrics;
use crate::model::account::{Account, Email};
use crate::model::caller::UserId;
use crate::model::clock::Clock;
use crate::objects::embedded::{Embedded, EmbeddedConfig};
use crate::objects::{self, Endpoint, ObjectStore, ObjectStoreConfig};
use crate::service::Service;
use crate::service::error::chain;
use crate::service::identity::passwords::Password;
use crate::service::identity::registration;
use crate::service::jobs::captions::Captions;
use crate::service::maintenance::doctor::{Fix, Report};
use crate::service::maintenance::repeated_failures::Repeated;
use crate::store::{self, Db};
use crate::worker;

/// A service that is being served.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where `/health`, `/ready` and `/metrics` are, if that is a port of their own.
    pub admin_address: Option<SocketAddr>,
    /// Where the embedded S3 server listens, if there is one.
    pub s3_address: Option<SocketAddr>,
    pub service: Arc<Service>,
    stop: CancellationToken,
    server: JoinHandle<bool>,
    admin_server: Option<JoinHandle<bool>>,
    /// The sweeper, the importer, the captioner, the tally, and those that look after the bucket and the log.
    workers: [JoinHandle<()>; 6],
    parts: Parts,
    shutdown_timeout: Duration,
}

/// What a command works with.
struct Parts {
    service: Arc<Service>,
    embedded: Option<Embedded>,
    /// Held while this process uses the directory.
    _data_dir: Option<File>,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("DATA_DIR cannot be used: {} is in use by another process", .0.display())]
    DataDirInUse(PathBuf),
    #[error("DATA_DIR cannot be used: {}", .0.display())]
    DataDir(PathBuf, #[source] std::io::Error),
    #[error("DATA_DIR holds nothing to examine: there is no {}", .0.display())]
    NothingThere(PathBuf),
    #[error("HOST and PORT cannot be used: cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("HOST and ADMIN_PORT cannot be used: cannot listen on {0}")]
    AdminListen(SocketAddr, #[source] std::io::Error),
    #[error("the database could not be made ready")]
    Database(#[from] store::Error),
    #[error("the storage could not be made ready")]
    Storage(#[from] objects::Error),
    #[error("{variable} cannot be used")]
    Captions { variable: &'static str, source: Box<caption::OpenError> },
    #[error(transparent)]
    Service(#[from] crate::service::Error),
    #[error("requests were still running when SHUTDOWN_TIMEOUT ended")]
    CutOff,
}

/// Uploads whose clients were cut off have this long to be stored.
const LAST_UPLOADS: Duration = Duration::from_secs(5);

/// How long a start waits for a database that is not there yet.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);

/// Starts everything. When this returns, requests are answered.
///
/// # Errors
/// A setting cannot be used, or something that is needed cannot be had.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    start_in(config, clock, Arc::new(SystemNetwork::default())).await
}

/// As [`start`], fetching from another world than the machine's network.
///
/// # Errors
/// As [`start`].
pub async fn start_in(config: Config, clock: Arc<dyn Clock>, network: Arc<dyn Network>) -> Result<Running, Error> {
    let config = config.validate()?;
    config.check_exposure()?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    raise_open_files(&config);
    let listener = TcpListener::bind(config.address()).await.map_err(|error| Error::Listen(config.address(), error))?;
    let address = listener.local_addr().map_err(|error| Error::Listen(config.address(), error))?;
    let admin_listener = match config.admin_address() {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| Error::AdminListen(address, error))?),
        None => None,
    };
    let parts = build(&config, clock, network, Purpose::Serve).await?;
    let service = Arc::clone(&parts.service);
    prepare_accounts(&config, &service).await?;
    let stop = service.stopping.clone();
    let router = http::router(Arc::clone(&service), config.http(address));
    let admin_address = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let admin_server = admin_listener.map(|listener| {
        let router = http::admin_router(Arc::clone(&service), config.http(address));
        tokio::spawn(http::server::serve(listener, router, config.server(), stop.clone()))
    });
    let server = tokio::spawn(http::server::serve(listener, router, config.server(), stop.clone()));
    let sweeper = worker::sweeper::run(Arc::clone(&service), config.sweep_interval.duration(), stop.clone());
    let importer = worker::queue::run::<worker::imports::Imports>(Arc::clone(&service), stop.clone());
    let captioner = worker::queue::run::<worker::captions::Captions>(Arc::clone(&service), stop.clone());
    let tally = worker::tally::run(Arc::clone(&service), stop.clone());
    let bucket = worker::bucket::run(Arc::clone(&service), stop.clone());
    let repeated = worker::repeated::run(Arc::clone(&service), stop.clone());
    let workers = [
        tokio::spawn(sweeper),
        tokio::spawn(importer),
        tokio::spawn(captioner),
        tokio::spawn(tally),
        tokio::spawn(bucket),
        tokio::spawn(repeated),
    ];
    let s3_address = parts.embedded.as_ref().map(|embedded| embedded.address);
    let also = |what: &str, address: Option<SocketAddr>| address.map(|at| format!(", {what} on http://{at}")).unwrap_or_default();
    tracing::info!("serving on http://{address}{}{}", also("health", admin_address), also("storage", s3_address));
    let shutdown_timeout = config.shutdown_timeout.duration();
    Ok(Running { address, admin_address, s3_address, service, stop, server, admin_server, workers, parts, shutdown_timeout })
}

/// Makes the administrator that the settings name, and says how to make one where nobody could log in.
async fn prepare_accounts(config: &Config, service: &Service) -> Result<(), Error> {
    // The password of one that there is need not be one that could be chosen now.
    if let (Some(email), Some(path)) = (&config.access.admin_email, &config.access.admin_password_file)
        && !service.has_admin().await?
    {
        let unusable = |variable, reason: String| ConfigError { variable, reason };
        let email = Email::parse(email).map_err(|reason| unusable("ADMIN_EMAIL", format!("it {reason}")))?;
        let variable = "ADMIN_PASSWORD_FILE";
        let text =
            std::fs::read_to_string(path).map_err(|error| unusable(variable, format!("{path} cannot be read: {error}")))?;
        let password = Password::parse(text.trim_end_matches(['\r', '\n']));
        let password = password.map_err(|reason| unusable(variable, format!("the password in {path} {reason}")))?;
        if let Some(account) = service.create_first_admin(email, password).await? {
            tracing::info!(account_id = %account.id, "made the first administrator");
        }
    }
    if config.access.auth_mode == AuthMode::Required && !service.has_accounts().await? {
        tracing::warn!(
            "there is no account yet, and AUTH_MODE is required: make an administrator with `image-service create-admin --email \
             you@example.org` (in a container: `docker exec -it NAME image-service create-admin --email you@example.org`), or set \
             ADMIN_EMAIL and ADMIN_PASSWORD_FILE"
        );
    }
    Ok(())
}

fn raise_open_files(config: &Config) {
    let (limit, needed) = (open_files::raise().unwrap_or(u64::MAX), config.open_files_needed());
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "too few files may be open for MAX_CONNECTIONS: beyond the limit, connections wait and uploads fail; raise `ulimit -Hn`"
        );
    } else {
        tracing::info!(limit, needed, "open files");
    }
}

/// What the parts are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// What is missing is made.
    Serve,
    /// What is missing is an error: looking for it must not make it.
    Examine,
}

async fn build(config: &Config, clock: Arc<dyn Clock>, network: Arc<dyn Network>, purpose: Purpose) -> Result<Parts, Error> {
    let data_dir = if config.uses_data_dir() { Some(data_dir::lock(&config.data_dir)?) } else { None };
    let (endpoint, embedded) = storage_endpoint(config).await?;
    let storage = ObjectStoreConfig {
        bucket: config.s3_bucket.clone(),
        create_bucket: config.s3_create_bucket,
        endpoint,
        public_endpoint_url: config.s3_public_endpoint_url.clone(),
        timeout: config.s3_timeout.duration(),
    };
    let (objects, db) = tokio::join!(ObjectStore::open(&storage), open_database(config, purpose));
    let db = db?;
    let metrics = Arc::new(Metrics::new(db.system()));
    let fetcher = Fetcher::new(config.imports.fetch(), network);
    let captions = match purpose {
        Purpose::Serve => open_captions(config).await?,
        Purpose::Examine => Captions::Off,
    };
    let service = Arc::new(Service::new(db, objects?, fetcher, captions, clock, config.limits(), metrics));
    Ok(Parts { service, embedded, _data_dir: data_dir })
}

/// What makes captions. A model's files are large, and read here.
async fn open_captions(config: &Config) -> Result<Captions, Error> {
    let (source, model, timeout) = match config.captions.setup() {
        CaptionSetup::Off => return Ok(Captions::Off),
        CaptionSetup::Elsewhere => return Ok(Captions::Elsewhere),
        CaptionSetup::On { source, model, timeout } => (source, model, timeout),
    };
    let variable = match source {
        caption::Source::Folder { .. } => "CAPTION_MODEL_DIR",
        caption::Source::Endpoint { .. } => "CAPTION_URL",
    };
    let opening = tokio::task::spawn_blocking(move || Captioner::open(&source, model, timeout));
    let captioner = opening.await.map_err(crate::service::Error::internal)?;
    Ok(Captions::On(captioner.map_err(|source| Error::Captions { variable, source: Box::new(source) })?))
}

async fn storage_endpoint(config: &Config) -> Result<(Endpoint, Option<Embedded>), Error> {
    match config.s3_endpoint_url.as_deref() {
        Some("aws") => Ok((Endpoint::Aws, None)),
        Some(url) => Ok((Endpoint::Url(url.to_owned()), None)),
        None => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.s3_embedded_port));
            let mut settings = EmbeddedConfig::new(config.objects_dir(), address, &config.s3_bucket);
            settings.limits.min_bytes_per_second = config.body_min_rate.0;
            settings.limits.object_bytes = settings.limits.object_bytes.max(config.pictures.max_file_size.0);
            let embedded = Embedded::start(settings).await.map_err(objects::Error::from)?;
            let keys = &embedded.credentials;
            let credentials = Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "embedded");
            let [url, public_url] = [embedded.internal_address, embedded.address].map(|address| format!("http://{address}"));
            Ok((Endpoint::Embedded { url, public_url, credentials }, Some(embedded)))
        }
    }
}

/// Opens and migrates the database. One that does not answer yet is waited for: services of a group start together.
async fn open_database(config: &Config, purpose: Purpose) -> Result<Db, Error> {
    let mut settings = config.db();
    if purpose == Purpose::Examine {
        settings.statement_timeout = DOCTORS_PATIENCE;
    }
    if let (Purpose::Serve, Some(file)) = (purpose, config.database_file()) {
        data_dir::prepare_database(&file)?;
    }
    let db = Db::open(&settings).await?;
    let (started, repeated) = (tokio::time::Instant::now(), Repeated::default());
    loop {
        let state = match purpose {
            Purpose::Serve => db.check().await,
            // A standby will do for reading.
            Purpose::Examine => db.answers().await,
        };
        match state {
            Err(error) if error.is_transient() && started.elapsed() < DATABASE_PATIENCE => {
                repeated.warn(format!("the database cannot be used yet: {}", chain(&error)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
            Ok(()) => break,
        }
    }
    match purpose {
        Purpose::Serve => store::database::migrate::run(&db).await?,
        Purpose::Examine => store::database::migrate::check(&db).await?,
    }
    Ok(db)
}

impl Running {
    /// Stops in order: no new requests, those in flight finish, then the workers, the database, the storage.
    ///
    /// # Errors
    /// [`Error::CutOff`] when requests were still running after SHUTDOWN_TIMEOUT.
    pub async fn shut_down(self) -> Result<(), Error> {
        self.stop.cancel();
        let in_time = tokio::time::timeout(self.shutdown_timeout + LAST_UPLOADS, async {
            let all_answered = self.server.await.unwrap_or(false);
            if let Some(server) = self.admin_server {
                // Those who look at its health can look again.
                server.await.unwrap_or(false);
            }
            for worker in self.workers {
                if let Err(error) = worker.await {
                    tracing::error!("a worker had ended early: {error}");
                }
            }
            self.service.finish().await;
            all_answered
        })
        .await
        .unwrap_or(false);
        if let Some(embedded) = self.parts.embedded {
            embedded.shutdown(Duration::from_secs(5)).await;
        }
        if in_time { Ok(()) } else { Err(Error::CutOff) }
    }
}

/// Runs the migrations and ends.
///
/// # Errors
/// The database is unavailable, or a migration failed.
pub async fn migrate(config: Config) -> Result<(), Error> {
    let config = config.validate()?;
    let _data_dir = if config.database_url.is_none() { Some(data_dir::lock(&config.data_dir)?) } else { None };
    open_database(&config, Purpose::Serve).await?.close().await;
    Ok(())
}

/// Makes an administrator; also beside a service that is running.
///
/// # Errors
/// The database is unavailable, or the e-mail address or the user has an account.
pub async fn create_admin(
    config: Config,
    clock: Arc<dyn Clock>,
    email: Email,
    password: Password,
    user_id: Option<UserId>,
) -> Result<(Account, UsedDatabase), Error> {
    let used = UsedDatabase::of(&config);
    let (db, _lock) = open_for_accounts(config, Purpose::Serve).await?;
    let account = registration::create_admin(&db, &*clock, email, password, user_id).await;
    db.close().await;
    Ok((account?, used))
}

/// Gives an account another password; also beside a service that is running.
///
/// # Errors
/// The database is unavailable, or there is no such account.
pub async fn set_password(
    config: Config,
    clock: Arc<dyn Clock>,
    email: Email,
    password: Password,
) -> Result<UsedDatabase, Error> {
    let used = UsedDatabase::of(&config);
    if let Some(missing) = config.clone().validate()?.database_file().filter(|path| !path.exists()) {
        return Err(Error::NothingThere(missing));
    }
    let (db, _lock) = open_for_accounts(config, Purpose::Examine).await?;
    let set = registration::set_password(&db, &*clock, &email, &password).await;
    db.close().await;
    set?;
    Ok(used)
}

/// The database. SQLite's file may be in use by a service, which has migrated it then, and takes turns with others.
async fn open_for_accounts(config: Config, purpose: Purpose) -> Result<(Db, Option<File>), Error> {
    let config = config.validate()?;
    if config.database_url.is_some() {
        return Ok((open_database(&config, purpose).await?, None));
    }
    match data_dir::lock(&config.data_dir) {
        Ok(lock) => Ok((open_database(&config, purpose).await?, Some(lock))),
        Err(Error::DataDirInUse(_)) => Ok((open_database(&config, Purpose::Examine).await?, None)),
        Err(error) => Err(error),
    }
}

/// For each of the doctor's statements, which read whole tables.
const DOCTORS_PATIENCE: Duration = Duration::from_secs(600);

/// Compares database and bucket; mends what `fix` says.
///
/// # Errors
/// Database or storage are unavailable, or were never used by a service.
pub async fn doctor(config: Config, clock: Arc<dyn Clock>, fix: Fix) -> Result<Report, Error> {
    let config = config.validate()?;
    if let Some(missing) = config.state_files().into_iter().find(|path| !path.exists()) {
        return Err(Error::NothingThere(missing));
    }
    let parts = build(&config, clock, Arc::new(SystemNetwork::default()), Purpose::Examine).await?;
    let report = parts.service.examine(fix).await;
    parts.service.finish().await;
    if let Some(embedded) = parts.embedded {
        embedded.shutdown(Duration::from_secs(5)).await;
    }
    Ok(report?)
}
