//! How far the writes of a database are, for whoever watches for one that hangs.

/// How far the writes of a database are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteProgress {
    /// Whether one is under way.
    pub is_writing: bool,
    /// How many have ended, well or not.
    pub ended: u64,
}
