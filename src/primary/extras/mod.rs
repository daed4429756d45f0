//! The endpoints of other services that the primary implements besides Git access: billing, cluster agents, the audit log.

pub mod audit_log;
pub mod billing;
pub mod kubernetes;
