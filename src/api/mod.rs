//! The one front door of both daemons: what every request passes before and after its handler.
//!
//! A daemon brings its state ([`context`]), its table of routes ([`route`]) and one small file per endpoint; [`pipeline`] is the order of the
//! steps: the path, the route, the peer and what it shows ([`peer_policy`], [`authentication`]), the body ([`body`]), the handler, which
//! gets an [`request::ApiRequest`] and returns a response or an [`error::ApiError`], and the count ([`request_metrics`]).
//! [`metrics_endpoint`] is where it is read. [`blocking`] and [`single_flight`] run work beside the threads that answer.

pub mod alarm_metrics;
pub mod authentication;
pub mod blocking;
pub mod body;
pub mod context;
pub mod daemon_metrics;
pub mod decision_log;
pub mod error;
pub mod last_reload;
pub mod log_level;
pub mod metrics_endpoint;
pub mod metrics_text;
pub mod operator_log;
pub mod peer_policy;
pub mod pipeline;
pub mod rate_limit;
pub mod request;
pub mod request_id;
pub mod request_metrics;
pub mod response_headers;
pub mod route;
pub mod single_flight;
pub mod socket_health;
pub mod standing_alarm;
