//! Tests of the source tree: what must match, and what its documentation promises.

mod documented_requests;
mod import_graph;
mod tidy;
mod vendored;
