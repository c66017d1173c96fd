//! Floor 2: the database. One file a table or a concern, one SQL statement a function.
//!
//! [`db`], [`postgres`] and [`sqlite`] are all that knows which database it is; everything else writes one SQL text for both.
//! Writing is done through a [`Tx`] alone, reading through a [`Db`], a [`Reader`] or a [`Tx`].

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod caption_jobs;
pub mod collections;
pub mod counters;
pub mod db;
pub mod error;
pub mod idempotency;
pub mod image_links;
pub mod image_lists;
pub mod images;
pub mod import_queue;
pub mod imports;
pub mod intents;
pub mod migrate;
pub mod object_moves;
pub mod places;
pub mod plans;
pub mod postgres;
#[cfg(test)]
mod query_plans;
pub mod sessions;
pub mod sql;
pub mod sqlite;
pub mod tags;
pub mod variants;

pub use db::{Db, DbConfig, Reader, Tx};
pub use error::Error;
