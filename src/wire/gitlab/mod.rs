//! What a GitLab's public API and its system hooks say of users, keys and GitLab's own URL, and the records that they become. Pure. (server.md 5, 5b)
//!
//! An answer that lacks what is needed is an error that names the field: then it is not the answer of a GitLab that we understand, or not
//! one to an administrator. What one object says that no record can express is [`object::Skipped`], with the reason: one odd user must not
//! stop the others. Fields that are not read are passed over.

pub mod deploy_key;
pub mod hook;
pub mod key;
pub mod link;
pub mod object;
pub mod settings;
pub mod user;
