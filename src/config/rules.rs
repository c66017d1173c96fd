//! Validation rules that the settings' types cannot express, and warnings about settings that are allowed but may be unintended.

use std::time::Duration;

use super::access::AuthMode;
use super::error::{ConfigError, require};
use super::resizing::Resize;
use super::{Config, FIELDS_BYTES};
use crate::objects::{self, presign::BucketAddress};
use crate::store::database::postgres::Target;

impl Config {
    /// Treats empty variables as unset, and checks the rules that types cannot express.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn validate(mut self) -> Result<Self, ConfigError> {
        self.upload_disk_dir.take_if(|path| path.as_os_str().is_empty());
        for setting in [&mut self.public_url, &mut self.database_url, &mut self.s3_endpoint_url, &mut self.s3_public_endpoint_url]
        {
            setting.take_if(|text| text.trim().is_empty());
        }
        self.cors_origins =
            self.cors_origins.iter().map(|origin| origin.trim().to_owned()).filter(|origin| !origin.is_empty()).collect();
        self.log_level = self.log_level.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        self.check_database()?;
        self.check_storage()?;
        self.check_bounds()?;
        self.check_http()?;
        self.uploads.check()?;
        self.imports.check()?;
        self.captions.check()?;
        self.access.check()?;
        self.resizing.check()?;
        Ok(self)
    }

    fn check_database(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.database_url {
            Target::read(url).map_err(|error| ConfigError { variable: "DATABASE_URL", reason: error.to_string() })?;
        }
        require(self.database_connections >= 1, "DATABASE_CONNECTIONS", "must be at least 1")?;
        require(self.database_timeout.0 >= 1, "DATABASE_TIMEOUT", "must be at least 1 second")
    }

    fn check_storage(&self) -> Result<(), ConfigError> {
        require(
            s3s::path::check_bucket_name(&self.s3_bucket),
            "S3_BUCKET",
            "must have 3 to 63 lower-case letters, digits, dots and hyphens",
        )?;
        require(self.s3_timeout.0 >= 1, "S3_TIMEOUT", "must be at least 1 second")?;
        let endpoints = [("S3_ENDPOINT_URL", &self.s3_endpoint_url), ("S3_PUBLIC_ENDPOINT_URL", &self.s3_public_endpoint_url)];
        for (variable, url) in endpoints {
            if let Some(url) = url.as_deref().filter(|url| *url != "aws" || variable == "S3_PUBLIC_ENDPOINT_URL") {
                let place = BucketAddress::at_endpoint(variable, url, &self.s3_bucket, "us-east-1");
                place.map_err(|error| match error {
                    objects::Error::BadEndpoint { reason, .. } => ConfigError { variable, reason },
                    other => ConfigError { variable, reason: other.to_string() },
                })?;
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        self.pictures.check()?;
        self.pictures.check_budgets(self.upload_memory_budget, self.decode_memory_budget, FIELDS_BYTES)?;
        self.pictures.check_disk(self.upload_disk_budget)?;
        for (variable, budget) in
            [("UPLOAD_MEMORY_BUDGET", self.upload_memory_budget), ("DECODE_MEMORY_BUDGET", self.decode_memory_budget)]
        {
            require(budget.0 <= 256 << 30, variable, "must be at most 256GiB")?;
        }
        require(
            self.max_animation_pixels >= 16_000_000,
            "MAX_ANIMATION_PIXELS",
            "must be at least 16000000, so that one frame fits",
        )?;
        self.check_heights()?;
        let url_life = u64::from(self.url_lifetime.0) + u64::from(self.url_window.0);
        require(self.url_lifetime.0 >= 60, "URL_LIFETIME", "must be at least 60 seconds")?;
        require(
            url_life <= 7 * 86_400,
            "URL_LIFETIME",
            "must be at most 7 days together with URL_WINDOW, because S3 allows no more",
        )?;
        require(self.intent_grace.0 >= 600, "INTENT_GRACE", "must be at least 600 seconds")?;
        let upload = self.longest_upload();
        let longer = format!(
            "must be longer than an upload may take, which is {} seconds by ADMISSION_TIMEOUT, S3_TIMEOUT, \
             DATABASE_TIMEOUT, MAX_FILE_SIZE and MAX_IMAGE_PIXELS",
            upload.as_secs()
        );
        require(self.intent_grace.duration() > upload, "INTENT_GRACE", &longer)?;
        require(self.retention_days <= 36_500, "RETENTION_DAYS", "must be at most 36500 days (100 years)")?;
        require(self.sweep_interval.0 >= 1, "SWEEP_INTERVAL", "must be at least 1 second")
    }

    /// Returns the sum of the time limits of an upload, from the claim of its idempotency key on: the wait for memory, decoding,
    /// the storage, and every statement of its transactions.
    pub(super) fn longest_upload(&self) -> Duration {
        let statements = self.database_timeout.duration() * UPLOAD_STATEMENTS;
        let storage = objects::transfer_timeout(self.s3_timeout.duration(), self.pictures.max_file_size.0);
        self.admission_timeout.duration() + DECODE_TIME * self.pictures.scale() + storage + statements
    }

    fn check_heights(&self) -> Result<(), ConfigError> {
        let heights = &self.thumbnail_heights.0;
        let check = |holds, reason| require(holds, "THUMBNAIL_HEIGHTS", reason);
        check(heights.len() <= 8, "must have at most 8 heights")?;
        check(heights.iter().all(|height| (16..=2000).contains(height)), "each height must be from 16 to 2000 pixels")?;
        let unique: std::collections::BTreeSet<_> = heights.iter().collect();
        check(unique.len() == heights.len(), "each height must be listed only once")
    }

    fn check_http(&self) -> Result<(), ConfigError> {
        let any = self.cors_origins.iter().any(|origin| origin == "*");
        require(!any || self.cors_origins.len() == 1, "CORS_ORIGINS", "* means every origin and cannot be combined with others")?;
        for origin in &self.cors_origins {
            let uri = origin.parse::<http::Uri>().ok();
            let plain = origin == "*"
                || uri.is_some_and(|uri| {
                    uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/" && !origin.ends_with('/')
                });
            require(plain, "CORS_ORIGINS", "each origin must be like https://example.org, without a path; or set it to *")?;
        }
        if let Some(url) = &self.public_url {
            let usable = url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.authority().is_some());
            require(usable, "PUBLIC_URL", "must be like https://images.example.org")?;
        }
        require(self.max_connections >= 1, "MAX_CONNECTIONS", "must be at least 1")?;
        require(self.max_downloads >= 1, "MAX_DOWNLOADS", "must be at least 1")?;
        let embedded = self.s3_endpoint_url.is_none();
        require(!embedded || self.max_downloads <= 192, "MAX_DOWNLOADS", "must be at most 192 with the embedded S3 server")?;
        let is_own = self.admin_port.is_none_or(|port| port == 0 || port != self.port);
        require(is_own, "ADMIN_PORT", "must differ from PORT")?;
        for (variable, time) in [
            ("HEAD_TIMEOUT", Some(self.head_timeout)),
            ("KEEP_ALIVE_TIMEOUT", Some(self.keep_alive_timeout)),
            ("BODY_IDLE_TIMEOUT", Some(self.body_idle_timeout)),
            ("BODY_TIMEOUT", self.body_timeout),
        ] {
            let Some(time) = time else { continue };
            require(time.0 >= 1, variable, "must be at least 1 second")?;
        }
        // A single word that is no level would be the name of a module, and turn off all others.
        let is_word = self.log_level.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_level = self.log_level.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        require(
            !is_word || is_level,
            "LOG_LEVEL",
            "must be error, warn, info, debug, trace or off, or directives such as image_service::fetch=debug,info",
        )?;
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log_level);
        filter.map(drop).map_err(|error| ConfigError { variable: "LOG_LEVEL", reason: error.to_string() })
    }

    /// Checks that only a gateway can act as any user. Required of a service, but not of other commands.
    ///
    /// # Errors
    /// `X-User-Id` would be trusted from every client that can reach HOST.
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        let guarded =
            self.host.is_loopback() || self.access.auth_mode == AuthMode::Required || !self.access.trusted_proxies.is_empty();
        let reason = format!(
            "every client that can reach HOST {} could act as any user, because X-User-Id is trusted: set AUTH_MODE=required, or \
             set TRUSTED_PROXIES to the addresses of the gateway that sets X-User-Id",
            self.host
        );
        require(guarded, "AUTH_MODE", &reason)
    }

    /// Returns warnings about settings that are allowed but may be unintended.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let for_others = !self.host.is_loopback() || self.public_url.is_some() && !self.is_public_url_local();
        if self.s3_endpoint_url.is_none() && for_others && self.s3_public_endpoint_url.is_none() {
            warnings.push(
                "presigned URLs refer to the embedded S3 server on 127.0.0.1, which other machines cannot reach: set \
                 S3_PUBLIC_ENDPOINT_URL to the address of a proxy in front of it, or S3_ENDPOINT_URL to another S3 server"
                    .to_owned(),
            );
        }
        if self.public_url.is_none() && self.host.is_unspecified() {
            warnings.push("public links refer to localhost: set PUBLIC_URL to the address that clients use".to_owned());
        }
        if self.access.auth_mode == AuthMode::Trusted && self.public_url.is_some() && !self.is_public_url_local() {
            warnings.push(
                "AUTH_MODE=trusted is safe only if the proxy at PUBLIC_URL authenticates every user: otherwise, every client can act as \
                 any user, so set AUTH_MODE=required"
                    .to_owned(),
            );
        }
        if self.imports.allow_private_imports {
            warnings.push(
                "ALLOW_PRIVATE_IMPORTS is set, so every client that can create imports can probe this service's network"
                    .to_owned(),
            );
        }
        if self.database_url.is_some() != self.s3_endpoint_url.is_some() {
            let (unset, local, elsewhere) = match self.database_url {
                Some(_) => ("S3_ENDPOINT_URL", "the images are", "the database is"),
                None => ("DATABASE_URL", "the database is", "the images are"),
            };
            warnings.push(format!(
                "{unset} is not set, so {local} in DATA_DIR on this machine, and {elsewhere} not: back up and restore both together"
            ));
        }
        if self.resizing.resize != Resize::Listed && !self.resizing.resize_sizes.is_empty() {
            warnings.push("RESIZE_SIZES has no effect without RESIZE=listed".to_owned());
        }
        if self.retention_days == 0 {
            warnings.push("RETENTION_DAYS is 0, so deleted images are purged immediately and cannot be restored".to_owned());
        }
        warnings
    }
}

/// The database statements of an upload that run one after the other, including commits; and one in reserve.
const UPLOAD_STATEMENTS: u32 = 26;
/// Upper bound for decoding an image within the default limits, even on a busy machine. Larger limits take longer in proportion.
const DECODE_TIME: Duration = Duration::from_secs(60);
