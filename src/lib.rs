//! A self-hosted image service.

pub mod app;
pub mod config;
pub mod http;
pub mod imaging;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod service;
pub mod store;
pub mod worker;
