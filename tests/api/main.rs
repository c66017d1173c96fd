//! API tests: every test sends HTTP requests to a real service of its own.
//!
//! By default they run on SQLite and the embedded S3 server. `tests/run` repeats them on PostgreSQL and another S3
//! server (see `harness/backend.rs`). Each test has its own clock, which it moves; nothing sleeps.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod harness;

mod access;
mod access_tokens;
mod accounts;
mod accounts_at_once;
mod api_keys;
mod audit;
mod bounds;
mod bucket;
mod captions;
mod captions_model;
mod captions_queue;
mod collections;
mod collections_kept;
mod commands;
mod connections;
mod conventions;
mod credentials;
mod database;
mod database_hosts;
mod document;
mod durability;
mod expiring_links;
mod fairness;
mod faults;
mod full_disk;
mod gateway;
mod idempotency;
mod images;
mod import_graph;
mod imports;
mod imports_fetching;
mod imports_queue;
mod kills;
mod limits;
mod links;
mod listing;
mod location;
mod logins;
mod model;
mod passwords;
mod permissions;
mod plans;
mod plans_crud;
mod presigned;
mod rate_limits;
mod resizing;
mod revoking;
mod sessions;
mod stats;
mod sweeping;
mod thumbnails;
mod tidy;
mod tokens;
mod trash;
mod uploads;
mod variant_bytes;
mod variants;
mod variants_kept;
mod visibility;
