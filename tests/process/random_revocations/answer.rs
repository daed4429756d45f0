//! What is asked of a host, and what it answers.

use std::time::Duration;

/// What is asked, each of another class of freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whose key is this?
    Key,
    /// May this key pull?
    Pull,
    /// May this key push, the changes not known yet?
    Push,
}

/// Where a yes comes from, as the response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The host's own directory, without asking.
    Fresh,
    /// The host's own directory, because the primary could not be asked.
    Stale,
    /// The primary.
    Primary,
}

/// What a host answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes(Source),
    No,
    /// 424: it cannot be known now.
    Outage,
    /// Any other status.
    Unexpected(u16),
}

/// One answer. Times are boot time.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub host: usize,
    pub person: u64,
    pub question: Question,
    /// Read before the connection was made.
    pub asked: Duration,
    /// Read after the last byte of the response.
    pub answered: Duration,
    pub verdict: Verdict,
    /// How many seconds old it says it is.
    pub said_age: Option<u64>,
}
