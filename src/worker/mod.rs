//! Background workers. Each is a loop around a step, which tests call directly.

pub mod bucket;
pub mod captions;
pub mod imports;
pub mod queue;
pub mod repeated_failures;
pub mod sweeper;
pub mod tally;
