//! Floor 4: the way in for time. Each worker is a loop around a step that tests call directly.

pub mod bucket;
pub mod captions;
pub mod imports;
pub mod queue;
pub mod repeated;
pub mod sweeper;
pub mod tally;
