//! Asking GitLab: its public API with the administrator's token, and its internal API with the shell's.
//!
//! [`client`] has one method per question, and says of each answer what it is worth ([`answer`]). Every question waits for its turn at the
//! [`pacer`], in the order of [`turns`]. What carries a question to GitLab is a [`transport`], and when it is, a [`clock`] says: both can be replaced, so that a walk
//! over 100,000 users runs on simulated time without a socket.

pub mod answer;
pub mod client;
pub mod clock;
pub mod pacer;
pub mod page;
pub mod transport;
pub mod turns;

#[cfg(test)]
pub(crate) mod tests;
