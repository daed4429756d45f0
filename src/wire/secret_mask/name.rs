//! The name of the parameter that must not be passed on, as it stands in queries and bodies.

use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;

/// The longest name that is looked at, in bytes as it is sent: each of `secret_token` may be written in six.
pub const MAX_NAME_BYTES: usize = 128;

/// Returns whether a decoded name is that of the secret, also of a list or an object under it, as `secret_token[]`.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    name.trim().split('[').next() == Some(SHARED_SECRET_PARAMETER)
}

#[cfg(test)]
mod tests {
    use super::is_secret_name;

    #[test]
    fn only_the_secret_and_what_is_under_it_has_its_name() {
        for name in ["secret_token", "secret_token[]", "secret_token[a][b]", " secret_token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["secret_tokens", "a[secret_token]", "secret-token", "SECRET_TOKEN", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
