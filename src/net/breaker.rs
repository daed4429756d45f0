//! When to stop asking a primary that fails, and when to try again. Pure: time is an argument.

use std::sync::Mutex;
use std::time::Duration;

use crate::model::time::BootTime;

/// What the breaker says to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Leave {
    /// Ask.
    Ask,
    /// Ask: you are the one probe.
    Probe,
    /// Do not ask before this much time has passed.
    Wait(Duration),
}

/// The breaker. Opens after some failures in a row, waits with doubled and jittered pauses, lets one probe through.
pub struct Breaker {
    _inner: Mutex<()>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { _inner: Mutex::new(()) }
    }
}

impl Breaker {
    /// Asks for leave.
    pub fn leave(&self, _now: BootTime) -> Leave {
        todo!()
    }

    /// The primary answered.
    pub fn succeeded(&self) {
        todo!()
    }

    /// It failed: a connect, an overrun, a failed answer. `jitter` is from 0 to 1.
    pub fn failed(&self, _now: BootTime, _jitter: f64) {
        todo!()
    }

    /// Since when it is open.
    #[must_use]
    pub fn open_since(&self) -> Option<BootTime> {
        todo!()
    }
}
