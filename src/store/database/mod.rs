//! The query layer: everything that depends on which database is in use.

pub mod db;
pub mod error;
pub mod migrate;
pub mod postgres;
#[cfg(test)]
pub(super) mod query_plans;
pub mod sql;
pub mod sqlite;
