//! What requests share about the mirror of a GitLab whose feed of users and keys this host follows: the [`service`], with the
//! [`miss_budget`] of questions about what the followed directory does not have. How they are answered is `sidecar/mirror_answer.rs`.

pub mod miss_budget;
pub mod service;
