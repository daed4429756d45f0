//! One file a request. What they share stands below them, in the room itself.

pub mod ack;
pub mod admin_accept_loss;
pub mod admin_apply;
pub mod admin_block_user;
pub mod admin_explain;
pub mod admin_export;
pub mod admin_hosts;
pub mod admin_new_epoch;
pub mod admin_revoke_key;
pub mod admin_status;
pub mod allowed;
pub mod authorized_keys;
pub mod changes;
pub mod check;
pub mod discover;
pub mod health;
pub mod lfs_authenticate;
pub mod lfs_verify;
pub mod metrics;
pub mod personal_access_token;
pub mod personal_access_tokens_self;
pub mod snapshot;
pub mod two_factor_config;
pub mod two_factor_otp_check;
pub mod two_factor_recovery_codes;
pub mod usage;
