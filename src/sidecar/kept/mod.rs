//! The answers of a primary without a feed that this host keeps (`feed = "none"`).
//!
//! [`question`] is what an answer is kept under, [`acceptance`] which may be kept, [`refusal`] what a no takes back; [`answers`] holds
//! them, in the [`index`], the [`negatives`] and the count of [`invalidations`], all under one lock (`state`). They are looked up in
//! [`lookup`], which says what was [`found`], and change in [`record`], [`invalidate`] and [`load`]. [`refresh_queue`] says which are asked for again before
//! they are too old. In [`shadow`] mode they are only compared with the primary's, by their [`agreement`]. A [`warm_file`] becomes
//! [`warm_answers`] before the primary has given any. [`mass_negative`] remembers what was taken back for a while, in [`taken_back`], and
//! gives it back where the primary does not know most of the [`asked_keys`]. What a
//! [`followed_directory`] of users and keys takes back goes as well. How a request is answered from them is
//! `sidecar/kept_answer.rs`.

pub mod acceptance;
pub mod agreement;
pub mod answers;
pub mod asked_keys;
pub mod followed_directory;
pub mod found;
pub mod index;
pub mod invalidate;
pub mod invalidations;
pub mod line_splitter;
pub mod load;
pub mod lookup;
pub mod mass_negative;
pub mod metrics;
pub mod negatives;
pub mod question;
pub mod recency;
pub mod record;
pub mod refresh_queue;
pub mod refusal;
pub mod service;
pub mod shadow;
mod state;
pub mod status;
pub mod taken_back;
#[cfg(test)]
mod tests;
pub mod warm_answers;
pub mod warm_file;
