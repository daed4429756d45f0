//! The client against scripted answers and against a GitLab in memory, on simulated time.

mod asking;
#[expect(dead_code, reason = "the process tests use it too, and each of both a part of it")]
#[path = "../../../../tests/process/support/gitlab_api/instance/mod.rs"]
pub mod instance;
mod large_instance;
mod over_http;
pub mod scripted_gitlab;
pub mod simulated_clock;
pub mod simulated_gitlab;
mod turns_in_time;
