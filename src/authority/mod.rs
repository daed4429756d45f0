//! The primary: who owns the directory, answers the whole internal API itself, and publishes every change.
//!
//! A request walks [`answer`] (path, route, who calls, body, parameters), the table [`routes`], and one file of `requests/`,
//! which reads, decides and replies. What the handlers share stands below them:
//!
//! | where | what |
//! | --- | --- |
//! | [`setup`], [`authority`] | what a primary is told, and what it is while it runs |
//! | [`call`], [`refusal`], [`blocking`] | a request as a handler sees it, and how it is refused |
//! | `following/` | the feed: lines encoded once for all, one snapshot for all, the hosts and what they said |
//! | `apply/` | how a directory file becomes the directory |
//! | [`write`], [`creation`], [`messages`] | the turn to write, projects that a push makes, sentences for the next push |
//! | `credentials/`, [`claimed`] | recovery codes and tokens of people: given once, kept as hashes; who asks by a key, who shows a token |
//! | [`references`] | how many pushes to a repository are under way |
//! | `kubernetes/` | what is kept of agents: their configurations, how much they were used, what they found |
//! | [`withheld`] | the records of a directory file that are never published |
//! | `billing/`, [`audit`] | subscriptions, minutes and reconciliations as they were told; what was done over SSH |
//! | [`usage`], [`limits`], [`counters`], [`upkeep`] | when keys were used, how often one asks, what is counted, what is written now and then |
//!
//! To add a request: one file in `requests/`, one line in [`routes`].

pub mod answer;
mod apply;
mod audit;
#[expect(clippy::module_inception, reason = "the room is named for what it holds")]
pub mod authority;
mod billing;
mod blocking;
pub mod call;
mod claimed;
mod counters;
mod creation;
mod credentials;
mod following;
mod identify;
mod kubernetes;
mod limits;
mod messages;
mod quiet;
mod references;
pub mod refusal;
mod requests;
mod routes;
pub mod secrets;
pub mod setup;
#[cfg(test)]
mod trial;
mod upkeep;
mod usage;
mod withheld;
mod write;
