//! How much is looked at.

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what keeps the daemon from starting, by the daemon's own user, without asking anybody.
    Start,
    /// Everything on this host, without asking the primary, a GitLab or the daemon.
    Offline,
    /// Everything.
    Full,
}
