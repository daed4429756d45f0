//! The sidecar: answers the socket beside sshd out of the directory that a replica keeps, and asks the primary for the rest.
//!
//! A request passes [`crate::api::pipeline`] by the table in [`routes`], then one file of [`requests`]. What may be answered from the
//! local directory is judged in [`local_view`] and [`local_answer`]; who is asked else, and what counts as an answer, in [`upstream`].
//! [`hedge`] keeps a slow primary from delaying whom this host knows, and [`denials`] what it says no to meanwhile.
//! In front of a primary without a feed, [`kept`] has its answers and [`kept_answer`] gives them; otherwise nothing here writes to a
//! store: the replica does. Where its [`mirror`] is followed, [`mirror_answer`] says whose a key is, and [`refused_askers`] whom nothing is
//! given that is kept. [`freshness_status`] and [`standing_alarms`] judge for the status how current all that is, and what is wrong.

pub(crate) mod alarm_kinds;
pub mod config;
mod denials;
mod explain;
mod freshness_status;
mod hedge;
mod hedge_metrics;
pub mod kept;
mod kept_answer;
mod kept_refresh;
mod lfs_token_cache;
mod local_answer;
pub mod local_view;
mod metrics;
mod mirror;
mod mirror_answer;
mod refused_askers;
mod requests;
mod routes;
mod standing_alarms;
pub mod state;
pub mod upstream;
mod usage_buffer;
mod usage_report;
pub mod version_cache;
