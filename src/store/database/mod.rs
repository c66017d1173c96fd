//! The query layer: everything that depends on which database is in use.

pub(in crate::store) mod applied_migrations;
mod bind;
pub mod config;
pub mod db;
pub mod error;
pub mod migrate;
pub(super) mod names;
pub(super) mod pending_counters;
pub mod postgres;
#[cfg(test)]
pub(super) mod query_plans;
pub(in crate::store) mod row;
mod row_changes;
pub mod sql;
pub mod sqlite;
