//! TODO-DOC

pub(crate) mod audit_log;
pub(crate) mod billing;
pub(crate) mod kubernetes;
