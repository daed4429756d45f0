//! Replication: keeps a local generation of the directory equal to the primary, and says how old it is.
//!
//! [`service::Replica`] is what others hold. It runs its tasks ([`tasks`]) on one thread with a runtime of its own (and threads for
//! what blocks), and publishes one immutable value ([`state::serving`]) that answering threads read without a lock. Two loops run:
//!
//! * [`follow`] reads the feed for the generation that serves. Each commit must be the next one, is applied in batches of at most
//!   [`generation::apply::MAX_BATCH_CHANGES`] changes, deletes first, and the store must then add up to what the line says; only
//!   the last batch moves the cursor. Equal and caught up is the only proof of being current: only then does the age start anew.
//! * [`resync`] builds a whole new generation when there is none, when the cursor is lost (410), when the sums differ (drift), or
//!   when an operator asks. It fetches a snapshot, checks it, holds it back if too many keys are missing, closes and opens it, and
//!   then reads `changes` *for the new generation* from where the snapshot ends, until that has caught up. Only then is it offered
//!   to [`follow`], which follows both and switches as soon as the new one has every commit that the old one has.
//!
//! **What is applied while a snapshot is loaded.** The old generation is still followed, so nothing has to be buffered for the new
//! one: that reads the same commits from the primary's journal itself, and the switch waits for it. How the old one is followed
//! depends on what is known of its cursor ([`generation::tracked::CursorState`]):
//!
//! * its cursor is good (an operator asked): as always; its age stays small;
//! * it drifted: the stream goes on from the numbers that the primary gave, every change is applied, nothing counts as proof, and
//!   the cursor stays. A small file ([`follow::drift_marker`]) tells the next start, which otherwise would take its own drift for a
//!   primary restored from a backup (409);
//! * its cursor is lost (410): the primary's answer names its present head, and `changes` is read from there. Records between the
//!   cursor and that head are missing here, so only what restricts is applied ([`generation::restrictions`]): all deletes, and every put
//!   that is not known only to give access. If the answer names no head, that of the snapshot takes its place once it is loaded. The
//!   cursor is not moved, so a restart begins in the same place: 410;
//! * its store takes no more changes (a full disk): the stream goes on from the numbers that the primary gave, and what restricts binds on
//!   top of the store ([`follow::unstored_changes`]).
//!
//! A generation that has caught up ([`follow::adoption`]) serves at once, and is then made the one that the next start opens
//! ([`follow::installation`]); what it has is acknowledged after that.
//!
//! In every case the sums decide: should the store equal a line after all, its cursor is good again.
//!
//! **A primary that went back** (409) is not followed: the host serves what it has, its age grows, and an alarm names the remedy.
//! A snapshot of the same epoch with a lower number than what is served here is refused for the same reason.
//!
//! Floors inside, from below: `config` and `blocking`; `feed`; `generation`; `state`; `follow` and `resync`; `tasks`; `service`.

pub mod config;
pub mod service;

pub(crate) mod blocking;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod generation;
mod metrics;
mod resync;
mod resync_error;
pub(crate) mod state;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
