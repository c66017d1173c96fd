//! Tests of the HTTP server: connections, timeouts, routing, middleware and its log.

mod connections;
mod timeouts;
