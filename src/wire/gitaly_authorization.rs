//! What is shown to a Gitaly server that has a token: version 2 of its scheme, in which the token itself does not travel.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::time::Time;

/// Returns the value of the metadata `authorization`: `Bearer v2.<hex of HMAC-SHA256(token, seconds)>.<seconds since 1970>`. Gitaly
/// accepts it while its own clock is within 30 s.
#[must_use]
pub fn gitaly_authorization(token: &str, now: Time) -> Option<String> {
    let seconds = now.seconds().to_string();
    let mut hmac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).ok()?;
    hmac.update(seconds.as_bytes());
    let hex: String = hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("Bearer v2.{hex}.{seconds}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::gitaly_authorization;
    use crate::model::time::Time;

    #[test]
    fn the_seconds_are_signed_with_the_token() {
        let now = Time::EPOCH.plus(Duration::from_millis(1_535_671_600_999));
        // printf 1535671600 | openssl dgst -sha256 -hmac foobar
        let expected = "Bearer v2.ee791b752bb17d5bafdfea0425030f79878d3d51cfb29869f0122b9d6e18bfd5.1535671600";
        assert_eq!(gitaly_authorization("foobar", now).as_deref(), Some(expected));
    }
}
