//! API tests: every test sends HTTP requests to a real service of its own.
//!
//! By default they run on SQLite and the embedded S3 server. `tests/run` repeats them on PostgreSQL and another S3
//! server (see `harness/backend.rs`). Each test has its own clock, which it moves; nothing sleeps.
//!
//! The folders are those of `src/http`, `src/web`, `src/service` and `src/store`. `app` tests the program, and `project` the source
//! tree.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod harness;

mod admission;
mod app;
mod database;
mod identity;
mod images;
mod jobs;
mod maintenance;
mod openapi;
mod project;
mod request;
mod server;
mod sharing;
mod web;
