//! The primary: owns the directory, answers the whole internal API itself, and publishes every change.
//!
//! A request passes the front door in [`crate::api`], the table of routes, and one file of `requests/`, which reads, decides and replies.
//! What the handlers share is below them; each module imports only from those further down:
//!
//! | where | what |
//! | --- | --- |
//! | `requests/` | one file for each endpoint |
//! | `extras/` | what billing, cluster agents and the audit log store |
//! | `callers/` | who a request is for: the user of a key, the owner of an access token |
//! | [`state`] | the parts of a primary that runs, and how it starts and shuts down |
//! | `fleet/` | the page of all hosts |
//! | `standing_alarms` | what an operator must look at, for the status |
//! | `store_watch` | looks whether the store can be written; `store_health` judges it; `start_repairs` finishes what the last end cut off; `bounded_call` waits for neither longer than it should |
//! | `maintenance` | what goes on beside requests: encoding commits for the hosts, persisting what may be late |
//! | `backup/` | the whole store in one file, and a store from such a file |
//! | `apply/` | how a directory file becomes the directory |
//! | `pushes/` | the projects that a push creates and their repositories, the messages its author sees, the count of running pushes |
//! | `replication/` | the feed, the snapshot, and the hosts that follow |
//! | `credentials/` | recovery codes, access tokens, secrets that may be replaced, when keys were last used |
//! | `line_stream` | a response of many lines, read from the store while it is taken |
//! | `user_data` | what the private store has of a user, and how it goes with the user |
//! | `directory/` | the directory's writer, the records that are never published, the ids and paths of new projects |
//!
//! To add an endpoint: one file in `requests/`, one line in the table of routes.

pub(crate) mod alarm_kinds;
mod apply;
mod authentication;
pub mod backup;
mod bounded_call;
mod callers;
pub mod config;
pub(crate) mod credentials;
pub mod directory;
pub mod extras;
mod fleet;
mod line_stream;
pub(crate) mod maintenance;
pub(crate) mod metrics;
pub mod pushes;
pub(crate) mod replication;
pub(crate) mod requests;
mod routes;
mod standing_alarms;
mod start_repairs;
pub mod state;
mod store_figures;
mod store_health;
mod store_watch;
#[cfg(test)]
mod tests;
mod user_data;
