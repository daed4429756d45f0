//! The one front door of both daemons: what every request passes before and after its handler.
//!
//! A daemon brings its state, its table of routes and one small file per endpoint; everything else is here.

pub mod authentication;
pub mod blocking;
pub mod body;
pub mod context;
pub mod error;
pub mod log_limiter;
pub mod peer_policy;
pub mod pipeline;
pub mod rate_limit;
pub mod request;
pub mod request_metrics;
pub mod response_headers;
pub mod route;
