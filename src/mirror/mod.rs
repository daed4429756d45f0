//! The mirror: a primary whose directory is written by what a GitLab says.
//!
//! [`gitlab`] asks GitLab.

pub mod gitlab;
