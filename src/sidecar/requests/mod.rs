//! TODO-DOC

pub(crate) mod admin;
pub(crate) mod allowed;
pub(crate) mod authorized_certs;
pub(crate) mod authorized_keys;
pub(crate) mod check;
pub(crate) mod discover;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod lfs_authenticate;
pub(crate) mod passthrough;
