//! The mirror: makes a GitLab a followed primary for users and keys. It walks GitLab's public API, takes its system hooks, verifies the keys
//! that hosts use with its internal API, and publishes what it finds as a primary publishes its directory.
//!
//! It is a primary whose directory GitLab writes: store, feed, hosts and the operator's commands are those of [`crate::primary`]. Each module
//! imports only from those further down:
//!
//! | where | what |
//! | --- | --- |
//! | `routes`, `requests/` | the hosts' requests, GitLab's hooks, the operator's commands |
//! | `tasks` | what goes on beside requests: settling hooks, verifying, walking |
//! | [`state`] | the parts of a mirror that runs, and how it starts and shuts down |
//! | `verification` | asks for keys that hosts use |
//! | `walk/` | the full walk, the short walk, and what they do not find |
//! | `settle` | asks for one user or one key and publishes it |
//! | `questions` | asks GitLab, and learns from every answer how GitLab does |
//! | `hooks/` | what GitLab has told and is not asked yet |
//! | `directory/` | what is published, and how findings become changes of it |
//! | `proof`, `alarms`, `skipped` | when GitLab was last heard, what an operator should look at, what no record can express |
//! | `gitlab/` | the client of GitLab's two APIs, paced |

pub(crate) mod alarms;
pub mod config;
mod directory;
pub mod gitlab;
mod hooks;
mod metrics;
mod proof;
mod questions;
mod requests;
pub mod routes;
mod settle;
mod skipped;
pub mod state;
mod task_thread;
mod tasks;
mod verification;
mod walk;

#[cfg(test)]
mod tests;
