//! The answer of `check`. (server.md 2.5)

use serde_json::{Value, json};

/// Returns the body of `check`; `redis` tells whether the instance is healthy.
#[must_use]
pub fn response_body(gitlab_version: &str, gitlab_rev: &str, redis: bool) -> Value {
    json!({"api_version": "v4", "gitlab_version": gitlab_version, "gitlab_rev": gitlab_rev, "redis": redis})
}

#[cfg(test)]
mod tests {
    use super::response_body;

    #[test]
    fn the_body_is_as_the_contract_has_it() {
        assert_eq!(
            response_body("15.2.0", "abc", true).to_string(),
            r#"{"api_version":"v4","gitlab_version":"15.2.0","gitlab_rev":"abc","redis":true}"#
        );
    }
}
