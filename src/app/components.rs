//! Opens the adapters that the settings name, and builds the service from them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use crate::caption::{self, Captioner};
use crate::config::Config;
use crate::config::captions::CaptionSetup;
use crate::data_dir;
use crate::fetch::{Fetcher, Network};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::objects::embedded::{Embedded, EmbeddedConfig};
use crate::objects::{self, Endpoint, ObjectStore, ObjectStoreConfig};
use crate::service::Service;
use crate::service::error::chain;
use crate::service::jobs::captions::Captions;
use crate::service::maintenance::repeated_failures::RepeatedFailures;
use crate::store::{self, Db};

/// How long startup waits for a database that does not respond yet.
const DATABASE_WAIT: Duration = Duration::from_secs(30);

/// Statement timeout of the doctor, which reads whole tables.
const DOCTOR_STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// The components that a command uses.
pub(super) struct Components {
    pub service: Arc<Service>,
    pub embedded: Option<Embedded>,
    /// The lock of DATA_DIR, held while this process uses the directory.
    _data_dir: Option<File>,
}

/// What the components are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Serving: missing data is created.
    Serve,
    /// Preparing data for a service, for an operator who waits for the result: missing data is created.
    Prepare,
    /// Examining: missing data is an error, because the examination must not create it.
    Examine,
}

/// Opens all adapters and builds the service.
pub(super) async fn build(
    config: &Config,
    clock: Arc<dyn Clock>,
    network: Arc<dyn Network>,
    purpose: Purpose,
) -> Result<Components, Error> {
    let data_dir = if config.uses_data_dir() { Some(data_dir::lock(&config.data_dir)?) } else { None };
    let (endpoint, embedded) = storage_endpoint(config).await?;
    let storage = ObjectStoreConfig {
        bucket: config.s3_bucket.clone(),
        create_bucket: config.s3_create_bucket,
        endpoint,
        public_endpoint_url: config.s3_public_endpoint_url.clone(),
        timeout: config.s3_timeout.duration(),
        cache_bytes: config.cache_memory.0,
    };
    let (objects, db) = tokio::join!(ObjectStore::open(&storage), open_database(config, purpose));
    let db = db?;
    let metrics = Arc::new(Metrics::new(db.system()));
    let fetcher = Fetcher::new(config.imports.fetch(), network);
    let captions = match purpose {
        Purpose::Serve => open_captions(config).await?,
        // A running service creates the captions that are requested here.
        Purpose::Prepare | Purpose::Examine => match config.captions.setup() {
            CaptionSetup::Off => Captions::Off,
            CaptionSetup::Elsewhere | CaptionSetup::On { .. } => Captions::Elsewhere,
        },
    };
    let service = Arc::new(Service::new(db, objects?, fetcher, captions, clock, config.limits(), metrics));
    Ok(Components { service, embedded, _data_dir: data_dir })
}

/// Opens the captioner. Reads the model's files, which are large.
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
            data_dir::restrict_objects(&config.objects_dir());
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.s3_embedded_port));
            let mut settings = EmbeddedConfig::new(config.objects_dir(), address, &config.s3_bucket);
            settings.limits.min_bytes_per_second = config.body_min_rate.0;
            // Long before the sweeper stops expecting objects of uploads that have ended.
            settings.limits.body_timeout = config.intent_grace.duration() / 2;
            settings.limits.object_bytes = settings.limits.object_bytes.max(config.pictures.max_file_size.0);
            let embedded = Embedded::start(settings).await.map_err(objects::Error::from)?;
            Ok((Endpoint::of_embedded(&embedded), Some(embedded)))
        }
    }
}

/// Opens and migrates the database. Waits for one that does not respond yet, because the services of a deployment often start
/// together. Only a service also waits for its role and its database to be created; for other commands, a mistake in DATABASE_URL
/// is more likely.
pub(super) async fn open_database(config: &Config, purpose: Purpose) -> Result<Db, Error> {
    let mut settings = config.db();
    if purpose == Purpose::Examine {
        settings.statement_timeout = DOCTOR_STATEMENT_TIMEOUT;
    }
    if let (Purpose::Serve | Purpose::Prepare, Some(file)) = (purpose, config.database_file()) {
        data_dir::prepare_database(&file)?;
    }
    let db = Db::open(&settings).await?;
    let (started, repeated) = (tokio::time::Instant::now(), RepeatedFailures::default());
    loop {
        let state = match purpose {
            Purpose::Serve | Purpose::Prepare => db.check().await,
            // Reading works on a standby too.
            Purpose::Examine => db.ping().await,
        };
        match state {
            Err(error @ store::Error::Rejected(_)) if purpose != Purpose::Serve => return Err(error.into()),
            Err(error) if error.is_transient() && started.elapsed() < DATABASE_WAIT => {
                repeated.warn(format!("waiting for the database: {}", chain(&error)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
            Ok(()) => break,
        }
    }
    match purpose {
        Purpose::Serve | Purpose::Prepare => store::database::migrate::run(&db).await?,
        Purpose::Examine => store::database::migrate::check(&db).await?,
    }
    Ok(db)
}
