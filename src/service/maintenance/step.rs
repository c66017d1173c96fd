//! The outcome of one step of background work.

/// What a step found to do.
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
