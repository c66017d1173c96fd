//! Tests of PostgreSQL as operators run it.

mod hosts;
mod postgres;
mod rejections;
