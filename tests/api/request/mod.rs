//! Tests of how requests are read: query parameters and bodies.

mod bodies;
mod query_parameters;
