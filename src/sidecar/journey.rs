//! The table of journeys: which path is which, what it asks of the caller, and how much body is read for it.

use http::Method;

use crate::net::scope::Scope;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sidecar) enum Journey {
    AuthorizedKeys,
    AuthorizedCerts,
    Discover,
    Check,
    Allowed,
    LfsAuthenticate,
    /// Passed on, signed, because the caller showed a good token.
    Signed,
    /// Passed on with the credentials that it carries itself, for the primary to judge.
    Own,
    Liveness,
    Readiness,
    Metrics,
    Status,
    Explain,
    Verify,
    Invalidate,
    Resync,
    /// Never passed on: the primary's own affairs, and what is no path of the API.
    Nowhere,
}

/// What a caller must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Demand {
    /// Nothing.
    Nothing,
    /// This scope of the peer.
    Scope(Scope),
    /// The scope `keys`; or `shell` and a token.
    KeysOrToken,
    /// The scope `shell`, and a token.
    Token,
}

impl Journey {
    /// Finds the journey of a checked path.
    pub fn of(method: &Method, segments: &[String]) -> Self {
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (method.as_str(), words.as_slice()) {
            ("GET", ["internal", "authorized_keys"]) => Self::AuthorizedKeys,
            ("GET", ["internal", "authorized_certs"]) => Self::AuthorizedCerts,
            ("GET", ["internal", "discover"]) => Self::Discover,
            ("GET", ["internal", "check"]) => Self::Check,
            ("POST", ["internal", "allowed"]) => Self::Allowed,
            ("POST", ["internal", "lfs_authenticate"]) => Self::LfsAuthenticate,
            ("GET", ["-", "liveness"]) => Self::Liveness,
            ("GET", ["-", "readiness"]) => Self::Readiness,
            ("GET", ["-", "metrics"]) => Self::Metrics,
            ("GET", ["-", "admin", "status"]) => Self::Status,
            ("GET", ["-", "admin", "explain"]) => Self::Explain,
            ("POST", ["-", "admin", "verify"]) => Self::Verify,
            ("POST", ["-", "admin", "invalidate"]) => Self::Invalidate,
            ("POST", ["-", "admin", "resync"]) => Self::Resync,
            // A path that is neither below `/api/v4` nor ours has no segments; `/gitlab/-/…` is one.
            (_, [] | ["-", ..] | ["internal", "sidegate", ..]) => Self::Nowhere,
            (_, path) if has_own_credentials(path) => Self::Own,
            _ => Self::Signed,
        }
    }

    /// What it asks of the caller.
    pub const fn demand(self) -> Demand {
        match self {
            Self::AuthorizedKeys | Self::AuthorizedCerts => Demand::KeysOrToken,
            Self::Discover | Self::Check | Self::Allowed | Self::LfsAuthenticate | Self::Signed => Demand::Token,
            Self::Own => Demand::Scope(Scope::Shell),
            Self::Metrics => Demand::Scope(Scope::Metrics),
            Self::Status | Self::Explain | Self::Verify | Self::Invalidate | Self::Resync => Demand::Scope(Scope::Admin),
            Self::Liveness | Self::Readiness | Self::Nowhere => Demand::Nothing,
        }
    }

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizedKeys => "authorized_keys",
            Self::AuthorizedCerts => "authorized_certs",
            Self::Discover => "discover",
            Self::Check => "check",
            Self::Allowed => "allowed",
            Self::LfsAuthenticate => "lfs_authenticate",
            Self::Signed => "forward",
            Self::Own => "forward_own",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Metrics => "metrics",
            Self::Status => "status",
            Self::Explain => "explain",
            Self::Verify => "verify",
            Self::Invalidate => "invalidate",
            Self::Resync => "resync",
            Self::Nowhere => "nowhere",
        }
    }

    /// All of them, for counting.
    pub const ALL: [Self; 17] = [
        Self::AuthorizedKeys,
        Self::AuthorizedCerts,
        Self::Discover,
        Self::Check,
        Self::Allowed,
        Self::LfsAuthenticate,
        Self::Signed,
        Self::Own,
        Self::Liveness,
        Self::Readiness,
        Self::Metrics,
        Self::Status,
        Self::Explain,
        Self::Verify,
        Self::Invalidate,
        Self::Resync,
        Self::Nowhere,
    ];
}

/// The paths whose requests carry credentials that only the primary can judge.
fn has_own_credentials(path: &[&str]) -> bool {
    matches!(
        path,
        ["internal", "kubernetes", _, ..]
            | ["internal", "error_tracking", "allowed"]
            | ["internal", "upcoming_reconciliations"]
            | ["internal", "gitlab_subscriptions", _, ..]
            | ["namespaces", _, ..]
            | ["personal_access_tokens", "self"]
    )
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{Demand, Journey};

    fn of(method: Method, path: &str) -> Journey {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        Journey::of(&method, &segments)
    }

    #[test]
    fn only_listed_paths_go_on_without_a_token() {
        for path in
            ["internal/kubernetes/agent_info", "namespaces/1/minutes", "internal/error_tracking/allowed", "personal_access_tokens/self"]
        {
            assert_eq!(of(Method::GET, path), Journey::Own, "{path}");
        }
        for path in ["internal/kubernetes", "internal/pre_receive", "users", "personal_access_tokens/1", "internal/error_tracking"] {
            assert_eq!(of(Method::GET, path).demand(), Demand::Token, "{path}");
        }
    }

    #[test]
    fn the_primarys_own_affairs_are_never_passed_on() {
        for path in ["internal/sidegate/snapshot", "internal/sidegate", "-/admin/apply", "-/anything", "-"] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                assert_eq!(of(method, path), Journey::Nowhere, "{path}");
            }
        }
        assert_eq!(Journey::of(&Method::GET, &[]), Journey::Nowhere, "elsewhere than below /api/v4");
    }

    #[test]
    fn every_journey_is_counted_under_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Journey::ALL.iter().map(|journey| journey.name()).collect();
        assert_eq!(names.len(), Journey::ALL.len());
    }
}
