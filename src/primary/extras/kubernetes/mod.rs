//! What KAS, the server of cluster agents, reports and asks for: which agent it is, how much it is used, whom its configuration authorizes,
//! and which vulnerabilities it found. (server.md 2.13)

pub mod agent_auth;
pub mod agent_configuration;
pub mod findings;
pub mod usage_counts;
