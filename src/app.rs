//! The application: builds the adapters and the service, serves requests, runs the workers, and shuts down in order. Only this
//! module knows all the others.

mod commands;
mod components;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::commands::{adopt, create_admin, doctor, migrate, set_password};
use self::components::{Components, Purpose, build};
use crate::caption;
use crate::config::access::AuthMode;
use crate::config::{Config, ConfigError, open_files};
use crate::data_dir::{DataDirError, UsedDatabase};
use crate::fetch::{Network, SystemNetwork};
use crate::http;
use crate::model::account::Email;
use crate::model::clock::Clock;
use crate::objects;
use crate::service::Service;
use crate::service::identity::passwords::Password;
use crate::store;
use crate::web;
use crate::worker;

/// A running service.
pub struct Running {
    /// The address of the API.
    pub address: SocketAddr,
    /// The address of `/health`, `/ready` and `/metrics`, if they have a port of their own.
    pub admin_address: Option<SocketAddr>,
    /// The address of the embedded S3 server, if it is used.
    pub s3_address: Option<SocketAddr>,
    pub service: Arc<Service>,
    stop: CancellationToken,
    server: JoinHandle<bool>,
    admin_server: Option<JoinHandle<bool>>,
    /// The sweeper, the import worker, the caption worker, the statistics, the bucket and the log of repeated failures.
    workers: [JoinHandle<()>; 6],
    components: Components,
    shutdown_timeout: Duration,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("DATA_DIR contains no data of this service: {} does not exist", .0.display())]
    MissingData(PathBuf),
    #[error("cannot listen on {0} (HOST and PORT)")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("cannot listen on {0} (HOST and ADMIN_PORT)")]
    AdminListen(SocketAddr, #[source] std::io::Error),
    #[error("the database could not be opened")]
    Database(#[from] store::Error),
    #[error("the storage could not be opened")]
    Storage(#[from] objects::Error),
    #[error("invalid {variable}")]
    Captions { variable: &'static str, source: Box<caption::OpenError> },
    #[error("there is no account with the e-mail address {email}. {database}")]
    NoAccount { email: Email, database: UsedDatabase },
    #[error(transparent)]
    Service(crate::service::Error),
    /// The cause of an error of the service whose own message is only for clients.
    #[error(transparent)]
    ServiceCause(crate::service::error::BoxError),
    #[error("requests were still running when SHUTDOWN_TIMEOUT elapsed")]
    ShutdownTimedOut,
}

impl From<crate::service::Error> for Error {
    fn from(error: crate::service::Error) -> Self {
        match error {
            crate::service::Error::Internal(source) | crate::service::Error::Unavailable { source, .. } => {
                Self::ServiceCause(source)
            }
            other => Self::Service(other),
        }
    }
}

/// Time to store uploads whose clients were disconnected at shutdown.
const UPLOAD_GRACE: Duration = Duration::from_secs(5);

/// Starts the service. When this returns, it answers requests.
///
/// # Errors
/// A setting is invalid, or a required resource is unavailable.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    start_in(config, clock, Arc::new(SystemNetwork::default())).await
}

/// As [`start`], but fetches imports over `network`.
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
    let components = build(&config, clock, network, Purpose::Serve).await?;
    let service = Arc::clone(&components.service);
    prepare_accounts(&config, &service).await?;
    let stop = service.stopping.clone();
    let router = web::router(Arc::clone(&service), config.http(address));
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
    let repeated = worker::repeated_failures::run(Arc::clone(&service), stop.clone());
    let workers = [
        tokio::spawn(sweeper),
        tokio::spawn(importer),
        tokio::spawn(captioner),
        tokio::spawn(tally),
        tokio::spawn(bucket),
        tokio::spawn(repeated),
    ];
    let s3_address = components.embedded.as_ref().map(|embedded| embedded.address);
    let also = |what: &str, address: Option<SocketAddr>| address.map(|at| format!(", {what} on http://{at}")).unwrap_or_default();
    tracing::info!("serving on http://{address}{}{}", also("health", admin_address), also("storage", s3_address));
    let shutdown_timeout = config.shutdown_timeout.duration();
    Ok(Running { address, admin_address, s3_address, service, stop, server, admin_server, workers, components, shutdown_timeout })
}

/// Creates the administrator named in the settings. If no account exists and none can be created, logs how to create an
/// administrator.
async fn prepare_accounts(config: &Config, service: &Service) -> Result<(), Error> {
    // The password file is read only if no administrator exists: an existing password may break a newer password rule.
    if let (Some(email), Some(path)) = (&config.access.admin_email, &config.access.admin_password_file)
        && !service.has_admin().await?
    {
        let unusable = |variable, reason: String| ConfigError { variable, reason };
        let email = Email::parse(email).map_err(|reason| unusable("ADMIN_EMAIL", reason))?;
        let variable = "ADMIN_PASSWORD_FILE";
        let text = std::fs::read_to_string(path).map_err(|error| unusable(variable, format!("cannot read {path}: {error}")))?;
        let password = Password::parse(text.trim_end_matches(['\r', '\n']));
        let password = password.map_err(|reason| unusable(variable, format!("the password in {path} {reason}")))?;
        if let Some(account) = service.create_first_admin(email, password).await? {
            tracing::info!(account_id = %account.id, "created the first administrator");
        }
    }
    if config.access.auth_mode == AuthMode::Required && !service.has_accounts().await? {
        tracing::warn!(
            "no account exists, and AUTH_MODE is required: create an administrator with `image-service create-admin --email \
             you@example.org` (in a container: `docker exec -it NAME image-service create-admin --email \
             you@example.org`), or set ADMIN_EMAIL and ADMIN_PASSWORD_FILE"
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
            "the limit of open files is too low for MAX_CONNECTIONS, so connections may wait and uploads may fail: raise \
             `ulimit -Hn`"
        );
    } else {
        tracing::info!(limit, needed, "limit of open files");
    }
}

impl Running {
    /// Shuts down in order: stops accepting requests, waits for those in flight, then stops the workers, the database and the
    /// storage.
    ///
    /// # Errors
    /// [`Error::ShutdownTimedOut`] if requests were still running after SHUTDOWN_TIMEOUT.
    pub async fn shut_down(self) -> Result<(), Error> {
        self.stop.cancel();
        let in_time = tokio::time::timeout(self.shutdown_timeout + UPLOAD_GRACE, async {
            let all_answered = self.server.await.unwrap_or(false);
            if let Some(server) = self.admin_server {
                // An interrupted health check can be repeated.
                server.await.unwrap_or(false);
            }
            for worker in self.workers {
                if let Err(error) = worker.await {
                    tracing::error!("a worker stopped unexpectedly: {error}");
                }
            }
            self.service.finish().await;
            all_answered
        })
        .await
        .unwrap_or(false);
        if let Some(embedded) = self.components.embedded {
            embedded.shutdown(Duration::from_secs(5)).await;
        }
        if in_time { Ok(()) } else { Err(Error::ShutdownTimedOut) }
    }
}
