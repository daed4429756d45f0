//! What an operator may state of a host, in words: after how long a revoked key is refused, and what callers get in an outage.

use std::time::Duration;

use crate::cli::config::serve::{FeedOrigin, ServeConfig};
use crate::sidecar::config::HEDGED_TTLS;

/// Returns what callers get while the primary does not answer.
#[must_use]
pub const fn outage_consequence(config: &ServeConfig) -> &'static str {
    match (config.feed_origin(), config.primary.shadow) {
        (FeedOrigin::Primary, _) => "the sidecar will answer from its copy of the directory, if it has one that is younger than max_stale",
        (FeedOrigin::Mirror, _) => {
            "the sidecar will let in the keys that it follows, answer about access from what it keeps, and say 424 to the rest"
        }
        (FeedOrigin::None, true) => "in shadow mode callers get 424",
        (FeedOrigin::None, false) => "the sidecar will answer from what it keeps, and what was not asked here before gets 424",
    }
}

/// Returns after how long a key is refused that was revoked, or removed at a GitLab.
#[must_use]
pub fn revocation_bounds(config: &ServeConfig) -> String {
    match (config.feed_origin(), config.primary.shadow) {
        (FeedOrigin::Primary, _) => format!(
            "a revoked key stops within a second on a host that follows (15 s with a half-open connection), and within {} s on one that is cut off",
            config.freshness.keys.max_stale.as_secs()
        ),
        (FeedOrigin::Mirror, _) => format!(
            "a removed key stops within a second after the mirror knows of it on a host that follows (15 s with a half-open connection), within {} s on one that is cut off from the mirror and while the GitLab fails",
            config.freshness.keys.max_stale.as_secs()
        ),
        (FeedOrigin::None, true) => format!(
            "shadow mode: nothing that is kept is given, so a removed key is refused at once; after a switch: {}",
            kept_bounds(config)
        ),
        (FeedOrigin::None, false) => kept_bounds(config),
    }
}

/// Returns the bounds of a kept yes to a key.
fn kept_bounds(config: &ServeConfig) -> String {
    let limits = config.freshness.keys;
    let seconds = |duration: Duration| duration.as_secs_f64();
    let hold = match config.freshness.mass_negative.hold {
        Duration::ZERO => String::new(),
        hold => format!("; if it does not know most keys, {} s later, and within {} s at most", seconds(hold), seconds(limits.max_stale)),
    };
    format!(
        "a key that is removed at the GitLab is refused within {} s while it answers, within {} s while it is slower than {} ms, and within {} s while it fails{hold}",
        seconds(limits.ttl),
        seconds(limits.ttl.saturating_mul(HEDGED_TTLS).min(limits.max_stale)),
        config.freshness.hedge.as_millis(),
        seconds(limits.max_stale),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{outage_consequence, revocation_bounds};
    use crate::cli::config::file;
    use crate::cli::config::serve::ServeConfig;

    fn config(text: &str) -> ServeConfig {
        file::parse(Path::new("sidegate.toml"), text).unwrap()
    }

    #[test]
    fn a_host_that_follows_is_told_of_its_copy_and_the_bounds_of_following() {
        let config = config("");
        assert!(outage_consequence(&config).ends_with("from its copy of the directory, if it has one that is younger than max_stale"));
        let bounds = revocation_bounds(&config);
        assert!(bounds.contains("within a second on a host that follows") && bounds.contains("within 86400 s"), "{bounds}");
    }

    #[test]
    fn in_front_of_a_gitlab_the_bounds_are_those_of_what_is_kept() {
        let told = config("[primary]\nfeed = \"none\"");
        let consequence = outage_consequence(&told);
        assert_eq!(consequence, "the sidecar will answer from what it keeps, and what was not asked here before gets 424");
        assert_eq!(
            revocation_bounds(&told),
            "a key that is removed at the GitLab is refused within 60 s while it answers, within 600 s while it is slower than 150 ms, \
             and within 86400 s while it fails; if it does not know most keys, 600 s later, and within 86400 s at most"
        );
        let short = config(
            "[primary]\nfeed = \"none\"\n[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"5ms\" }\nmass_negative = { hold = \"0s\" }",
        );
        assert_eq!(
            revocation_bounds(&short),
            "a key that is removed at the GitLab is refused within 0.001 s while it answers, within 0.005 s while it is slower than 150 ms, \
             and within 0.005 s while it fails"
        );
    }

    #[test]
    fn in_shadow_mode_nothing_that_is_kept_is_promised_before_a_switch() {
        let shadow = config("[primary]\nfeed = \"none\"\nshadow = true");
        assert_eq!(outage_consequence(&shadow), "in shadow mode callers get 424");
        let bounds = revocation_bounds(&shadow);
        assert!(
            bounds.starts_with("shadow mode: nothing that is kept is given, so a removed key is refused at once; after a switch: a key")
        );
        assert!(bounds.contains("within 60 s while it answers"), "{bounds}");
    }
}
