//! The store layer: database access. One file per table or concern, one SQL statement per function.
//!
//! Only [`database`] knows which database is in use; every other module writes one SQL text that runs on both. Writes go through
//! a [`Tx`]; reads go through a [`Db`], a [`Reader`] or a [`Tx`].

pub mod database;
pub mod identity;
pub mod images;
pub mod jobs;
pub mod sharing;

pub use database::db::{Db, DbConfig, Reader, Tx};
pub use database::error::Error;
