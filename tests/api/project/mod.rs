//! Tests of the source tree: what must match, and what its documentation promises.

mod import_graph;
mod tidy;
