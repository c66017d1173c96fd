//! The test harness: each test runs a real service in its own process, with its own database and bucket.

pub mod accounts;
pub mod answer;
pub mod app;
pub mod backend;
pub mod bucket_server;
pub mod chat;
pub mod client;
pub mod clock;
pub mod form;
pub mod metrics;
pub mod pictures;
pub mod pixels;
pub mod process;
pub mod proxy;
pub mod raw_connection;
#[path = "../../pictures/webp.rs"]
#[expect(dead_code, reason = "the imaging tests use the rest")]
pub mod webp_files;
pub mod world;

pub use accounts::{Login, PASSWORD};
pub use answer::{Answer, assert_error};
pub use app::TestApp;
pub use form::Form;
pub use world::World;
