//! What is refused before a daemon's handler sees it: connections beyond the bound, heads that are too large, malformed or too slow, TLS
//! handshakes that fail. Each is counted by its reason and logged with its peer, so many lines a second; the last one is kept for `status`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::clock;
use crate::model::time::Time;
use crate::net::log_limiter::LogLimiter;
use crate::net::peer::Peer;

/// Why a connection, or a request on it, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyRefusal {
    /// So many connections are open that no place is left for this peer: 503.
    TooManyConnections,
    /// The head is larger, or has more lines, than the bounds: 431.
    HeadTooLarge,
    /// The target is too long: 414.
    TargetTooLong,
    /// It is no request that HTTP/1.1 allows: 400.
    Malformed,
    /// Its framing can be read in two ways: 400.
    AmbiguousFraming,
    /// The head, or the TLS handshake, did not arrive in time: closed.
    TooSlow,
    /// The TLS handshake failed: closed.
    TlsHandshake,
}

impl EarlyRefusal {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::TooManyConnections,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::Malformed,
        Self::AmbiguousFraming,
        Self::TooSlow,
        Self::TlsHandshake,
    ];

    /// Returns its name in metrics and in `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too_many_connections",
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::Malformed => "malformed",
            Self::AmbiguousFraming => "ambiguous_framing",
            Self::TooSlow => "too_slow",
            Self::TlsHandshake => "tls_handshake",
        }
    }

    /// Returns the reason of a refusal that the HTTP library answered with this status.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            431 => Self::HeadTooLarge,
            414 => Self::TargetTooLong,
            _ => Self::Malformed,
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too many connections are open; see limits.connections",
            Self::HeadTooLarge => "the head of a request is too large; see limits.header_bytes and limits.headers",
            Self::TargetTooLong => "the target of a request is too long",
            Self::Malformed => "what it sent is not a request that HTTP/1.1 allows",
            Self::AmbiguousFraming => "the framing of a request can be read in two ways",
            Self::TooSlow => "the head of a request, or the TLS handshake, did not arrive in time; see limits.header_time",
            Self::TlsHandshake => "the TLS handshake failed",
        }
    }
}

/// The counts of what was refused early.
#[derive(Default)]
pub struct EarlyRefusals {
    counts: [AtomicU64; EarlyRefusal::ALL.len()],
    log_limiter: LogLimiter,
    last: Mutex<Option<LastRefusal>>,
}

/// What was refused last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRefusal {
    /// When.
    pub at: Time,
    /// Whose: `uid 998` or an address.
    pub peer: String,
    /// Why.
    pub reason: EarlyRefusal,
}

impl EarlyRefusals {
    /// Counts a refusal, keeps it as the last one, and logs it unless there are too many.
    pub fn record(&self, reason: EarlyRefusal, peer: &Peer) {
        self.record_with_detail(reason, peer, "");
    }

    /// As [`Self::record`], with what the failed step itself says.
    pub fn record_with_detail(&self, reason: EarlyRefusal, peer: &Peer, detail: &str) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let (at, peer) = (clock::wall_time(), peer.to_string());
        if let Some(suppressed) = self.log_limiter.allow(at) {
            let (name, description) = (reason.as_str(), reason.description());
            let separator = if detail.is_empty() { "" } else { ": " };
            tracing::warn!(reason = name, peer, suppressed, "refused {peer}: {description}{separator}{detail}");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastRefusal { at, peer, reason });
    }

    /// Returns how often something was refused for this reason.
    #[must_use]
    pub fn count(&self, reason: EarlyRefusal) -> u64 {
        self.counts.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Returns what was refused last.
    #[must_use]
    pub fn last(&self) -> Option<LastRefusal> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for EarlyRefusals {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("EarlyRefusals").field("last", &self.last()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{EarlyRefusal, EarlyRefusals};
    use crate::net::peer::Peer;

    #[test]
    fn each_reason_is_counted_for_itself_and_the_last_is_kept_with_its_peer() {
        let refusals = EarlyRefusals::default();
        for (times, reason) in EarlyRefusal::ALL.into_iter().enumerate() {
            for _ in 0..times {
                refusals.record(reason, &Peer::Unix { uid: 998, gid: 1 });
            }
        }
        let counts: Vec<u64> = EarlyRefusal::ALL.into_iter().map(|reason| refusals.count(reason)).collect();
        assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6]);
        refusals.record(EarlyRefusal::HeadTooLarge, &Peer::Tcp("127.0.0.1:9".parse().unwrap()));
        let last = refusals.last().unwrap();
        assert_eq!((last.peer.as_str(), last.reason), ("127.0.0.1:9", EarlyRefusal::HeadTooLarge));
    }
}
