//! One file per endpoint of the sidecar.

pub mod admin_explain;
pub mod admin_invalidate;
pub mod admin_resync;
pub mod admin_status;
pub mod admin_verify;
pub mod admin_warm;
pub mod allowed;
pub mod authorized_certs;
pub mod authorized_keys;
pub mod check;
pub mod discover;
pub mod health;
pub mod lfs_authenticate;
pub mod metrics;
pub mod not_found;
pub mod passthrough;
