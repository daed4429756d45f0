//! The bodies of answers, byte for byte as the contract has them. (server.md 1.2, 2.3-2.5)

use serde_json::Value;

use crate::model::record::{Key, User};

/// `{"message": …}`.
#[must_use]
pub fn message(_text: &str) -> String {
    todo!()
}

/// A hit of `authorized_keys`: the comment of the key is the owner's name and the instance's host.
#[must_use]
pub fn authorized_key(_key: &Key, _owner: Option<&User>, _host: &str) -> String {
    todo!()
}

/// `discover`: the user, or `null`.
#[must_use]
pub fn discover(_user: Option<&User>) -> String {
    todo!()
}

/// `check`.
#[must_use]
pub fn check(_gitlab_version: &str, _gitlab_rev: &str, _redis: bool) -> Value {
    todo!()
}
