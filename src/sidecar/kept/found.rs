//! What is found of a question at one moment.

use std::time::Duration;

use crate::model::freshness::ProofTime;
use crate::model::kept_answer::AnswerOrigin;
use crate::model::kept_body::KeptBody;

/// What is kept for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A yes that may be given without asking.
    Fresh(HeldAnswer),
    /// A yes that may be given only if the primary fails or is slow.
    Stale(HeldAnswer),
    /// A yes that the primary took back, of a key that it did not know a moment ago as little as most others.
    GivenBack(HeldAnswer),
    /// The primary did not know the key so long ago.
    Unknown(Duration),
    /// Nothing that may be given.
    Nothing,
}

/// A kept yes at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAnswer {
    /// The body of the response.
    pub body: KeptBody,
    /// The time since it was proven.
    pub age: Duration,
    /// When it was proven.
    pub proven_at: ProofTime,
    /// Who said it.
    pub origin: AnswerOrigin,
    /// Whether it is given for the first time since, on another occasion than the one on which it was asked for.
    pub is_first_use: bool,
}
