//! Tests of the HTTP server: connections, timeouts, routing, middleware and its log.

mod connections;
mod cors;
mod early_responses;
mod logs;
mod middleware;
mod protocol;
pub mod routing;
mod timeouts;
