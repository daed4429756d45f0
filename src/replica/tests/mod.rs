//! A replica with its real store against a primary on a Unix socket that misbehaves on demand.

mod coverage;
mod crash;
mod fake_primary;
mod fake_primary_state;
mod following;
mod model_based;
mod one_moment;
mod resync;
mod revision;
mod store;
pub mod test_replica;
