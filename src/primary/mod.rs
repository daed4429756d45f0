//! The primary: who owns the directory, answers the whole internal API itself, and publishes every change.
//!
//! A request walks [`answer`] (path, route, who calls, body, parameters), the table [`routes`], and one file of `requests/`,
//! which reads, decides and replies. What the handlers share stands below them:
//!
//! | where | what |
//! | --- | --- |
//! | [`config`], [`state`] | what a primary is told, and what it is while it runs |
//! | [`crate::api::request`], [`crate::api::error`], [`crate::api::blocking`] | a request as a handler sees it, and how it is refused |
//! | `following/` | the feed: lines encoded once for all, one snapshot for all, the hosts and what they said |
//! | `apply/` | how a directory file becomes the directory |
//! | [`directory::writer`], [`pushes::create_project`], [`pushes::messages`] | the turn to write, projects that a push makes, sentences for the next push |
//! | `credentials/`, [`callers::requester`] | recovery codes and tokens of people: given once, kept as hashes; who asks by a key, who shows a token |
//! | [`pushes::reference_counter`] | how many pushes to a repository are under way |
//! | `kubernetes/` | what is kept of agents: their configurations, how much they were used, what they found |
//! | [`directory::unpublished`] | the records of a directory file that are never published |
//! | `billing/`, [`extras::audit_log`] | subscriptions, minutes and reconciliations as they were told; what was done over SSH |
//! | [`credentials::last_used`], [`counters`], [`maintenance`] | when keys were used, how often one asks, what is counted, what is written now and then |
//!
//! To add a request: one file in `requests/`, one line in [`routes`].

pub mod answer;
mod apply;
mod callers;
pub mod config;
mod counters;
mod credentials;
pub mod directory;
pub mod extras;
mod identify;
pub(crate) mod maintenance;
pub mod pushes;
pub(crate) mod replication;
mod requests;
mod routes;
pub mod state;
#[cfg(test)]
mod tests;
