//! The outcome of one step of background work.

/// Whether a step found work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    NothingToDo,
}

impl Outcome {
    /// [`Outcome::Done`] if the step found work.
    pub(in crate::service) fn of(found: bool) -> Self {
        if found { Self::Done } else { Self::NothingToDo }
    }
}
