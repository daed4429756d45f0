//! What KAS tells of agents and asks for them: which agent it is, how much it was used, what its configuration lets in, and
//! what it found. (server.md 2.13)

pub mod agent_auth;
pub mod agent_configuration;
pub mod findings;
pub mod usage_counts;
