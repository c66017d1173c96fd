//! The modules that parse untrusted files, compiled without the rest of the service, so that a build with sanitizers and
//! coverage takes only a few minutes.

#[path = "../../../src/imaging/mod.rs"]
pub mod imaging;
#[path = "../../../src/model/mod.rs"]
pub mod model;
