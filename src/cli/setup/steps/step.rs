//! What every step can do.

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::record::Record;

/// Whether a step has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum StepState {
    /// The host is as the step would leave it.
    Done,
    /// It is to be done.
    Needed,
    /// It cannot be done here, and everything else can; the reason.
    Skipped(String),
}

/// What doing a step has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Applied {
    /// It is done.
    Whole,
    /// It is done but for this, which is to be done by hand.
    Left(String),
}

/// What is around a step when it is looked at or done.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The host.
    pub host: &'a Host,
    /// Whether a step before this one changes something, so that what reads it has to be restarted.
    pub changed: bool,
}

/// One step of a plan.
pub trait Step {
    /// Returns the line of the plan.
    fn describe(&self) -> String;

    /// Returns the content of a file that holds no secret, for `--dry-run`.
    fn preview(&self) -> Option<String> {
        None
    }

    /// Returns the units that the step restarts if something before it has changed.
    fn units(&self) -> &[&str] {
        &[]
    }

    /// Looks whether the step has to be done. Refuses, with what to do, where something else is in its place.
    fn state(&self, around: Surroundings<'_>, record: &Record) -> Result<StepState, CommandError>;

    /// Does the step, and notes in the record what it makes before it is made.
    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError>;
}
