//! Floor 2: the database. One file a table or a concern, one SQL statement a function.
//!
//! [`db`], [`postgres`] and [`sqlite`] are all that knows which database it is; everything else writes one SQL text for both.
//! Writing is done through a [`Tx`] alone, reading through a [`Db`], a [`Reader`] or a [`Tx`].

pub mod database;
pub mod identity;
pub mod images;
pub mod jobs;
pub mod sharing;

pub use database::db::{Db, DbConfig, Reader, Tx};
pub use database::error::Error;
