//! PostgreSQL, directly or behind a pooler.
//!
//! A pooler such as PgBouncer in transaction mode lends a connection of the server for one transaction. What belongs to a
//! session then reaches whoever has that connection next: settings made by `set`, advisory locks, and prepared statements,
//! whose names are the same in each client, so that one client may run another's statement. So a session of this service
//! is one of two kinds ([`Kind`]), which is found out for each connection when it is made:
//!
//! - its **own**: settings are made at its start, statements are prepared once under a name, and each is one round trip;
//! - **shared**: every statement is in a transaction, without a name, and settings are the transaction's. It costs three
//!   round trips for a single statement, but needs nothing of whatever is in between.

mod connect;
pub mod migrate;
mod pool;
mod session;
mod url;

pub use pool::{Lease, Pool, PoolConfig};
pub use session::Kind;
pub use url::{Target, UrlError};
