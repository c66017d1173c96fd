//! The rooms that read what strangers send, compiled alone: they need nothing of the service above them, so this builds in
//! a few minutes, with sanitizers and coverage.

#[path = "../../../src/imaging/mod.rs"]
pub mod imaging;
#[path = "../../../src/model/mod.rs"]
pub mod model;
