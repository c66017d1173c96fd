//! PostgreSQL, directly or behind a pooler.
//!
//! A pooler such as PgBouncer in transaction mode assigns a server connection to a client for one transaction. Session state then
//! leaks to the next client on that connection: settings made by `set`, advisory locks, and prepared statements, whose names are
//! the same in every client, so that one client may run another's statement. A session of this service is therefore one of two
//! kinds ([`Kind`]), detected when the connection is opened:
//!
//! - **own**: settings are made at its start, statements are prepared once under a name, and each takes one round trip;
//! - **shared**: every statement is unnamed and runs in a transaction, and settings are local to the transaction. A single
//!   statement takes three round trips, but nothing is required of the pooler.

mod connect;
pub mod migrate;
mod pool;
mod session;
pub(super) mod url;

pub use pool::{Lease, Pool};
pub use session::Kind;
pub use url::{Target, UrlError};
