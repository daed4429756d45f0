//! What systemd is told: ready, reloading, stopping, and a line of status.

/// The daemon serves.
pub fn ready() {
    todo!()
}

/// The daemon reads its configuration again (`RELOADING=1` with `MONOTONIC_USEC`); say [`ready`] after.
pub fn reloading() {
    todo!()
}

/// The daemon ends.
pub fn stopping() {
    todo!()
}

/// A line for `systemctl status`.
pub fn status(_line: &str) {
    todo!()
}
