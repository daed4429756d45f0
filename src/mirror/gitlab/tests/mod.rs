//! The client against scripted answers, on simulated time.

mod asking;
mod over_http;
pub mod scripted_gitlab;
pub mod simulated_clock;
mod turns_in_time;
