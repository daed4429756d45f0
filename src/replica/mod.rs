//! Following: keeps a local generation of the directory true to the primary, and says how true it is.
//!
//! [`service::Replica`] is the room's door: it runs on one thread with a runtime of its own (and threads for what
//! blocks), and hands out views that answering threads read without a lock. Two loops live on that thread:
//!
//! * [`follow`] reads the feed for the generation that serves. Each commit must be the next one, is applied in batches of
//!   at most [`tracked_generation::BATCH`] changes, deletes first, and the sum of the store must then equal what the line says; only the
//!   last batch moves the cursor. Equal and caught up is the only proof of being current: only then the age starts anew.
//! * [`resync`] brings a whole new generation when there is none, when the cursor is lost (410), when the sums differ (drift),
//!   or when an operator asks. It takes a snapshot, checks it, holds it back if too much is missing, closes and opens it,
//!   and then reads `changes` *for the new generation* from where the snapshot ends, until that has caught up. Only then it is
//!   handed to [`follow`], which switches as soon as the new one has reached every commit that already binds in the old one.
//!
//! **What binds while a snapshot is loaded.** The old generation goes on being followed, so nothing has to be kept aside for
//! the new one: the new one reads the same commits from the primary's journal itself, and the switch waits for it. How the old
//! one is followed depends on what is known of its cursor ([`tracked_generation::Track`]):
//!
//! * its cursor is good (an operator asked): as ever; its age stays small;
//! * it drifted: the stream goes on from the numbers that the primary gave, every change is applied, nothing counts as proof,
//!   and the cursor stays. A small file ([`drift_marker`]) says so to the next start, which otherwise would take its own drift for a
//!   primary restored from a backup (409);
//! * its cursor is lost (410): the primary's answer names its present head, and `changes` is read from there. Records between
//!   the cursor and that head are missing here, so only what takes rights away is applied ([`access_reduction`]): all deletes, and
//!   puts that block a user, end or lower a membership, shorten a key, and the like. If the answer names no head, nothing can
//!   bind before the switch. The cursor is not moved, so a restart begins in the same place: 410.
//!
//! In every case the sums decide: should the store equal a line after all, it is true again.
//!
//! **A primary that went back** (409) is followed by nobody: the host serves what it has, its age runs, and an alarm names the
//! remedy. A snapshot of the same epoch with a lower number than what binds here is refused for the same reason.

pub mod alarm;
pub mod feed;
pub mod metrics;
pub mod service;
pub mod status;

pub(crate) mod access_reduction;
pub mod config;
pub(crate) mod drift_marker;
pub(crate) mod feed_connection;
mod flusher;
mod follow;
pub(crate) mod http_feed;
pub(crate) mod line_splitter;
pub(crate) mod low_priority;
mod resync;
pub(crate) mod resync_requests;
pub(crate) mod serving;
mod snapshot;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tracked_generation;
