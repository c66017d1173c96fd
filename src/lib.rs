#![doc = include_str!("../docs/architecture.md")]

pub mod app;
pub mod caption;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod fetch;
pub mod http;
pub mod imaging;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod service;
pub mod store;
pub mod web;
pub mod worker;
