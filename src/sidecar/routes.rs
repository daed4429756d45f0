//! The table of journeys: which path is which, what it asks of the caller, and how much body is read for it.

use http::Method;

use crate::api::peer_policy::PeerScope;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sidecar) enum ApiEndpoint {
    AuthorizedKeys,
    AuthorizedCerts,
    Discover,
    Check,
    Allowed,
    LfsAuthenticate,
    /// Passed on, signed, because the caller showed a good token.
    PassthroughSigned,
    /// Passed on with the credentials that it carries itself, for the primary to judge.
    PassthroughUnsigned,
    Liveness,
    Readiness,
    Metrics,
    Status,
    Explain,
    Verify,
    Invalidate,
    Resync,
    /// Never passed on: the primary's own affairs, and what is no path of the API.
    NotFound,
}

/// What a caller must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum RequiredAuth {
    /// Nothing.
    None,
    /// This scope of the peer.
    PeerScope(PeerScope),
    /// The scope `keys`; or `shell` and a token.
    KeysScopeOrToken,
    /// The scope `shell`, and a token.
    ShellScopeAndToken,
}

impl ApiEndpoint {
    /// Finds the journey of a checked path.
    pub fn resolve(method: &Method, segments: &[String]) -> Self {
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
            (_, [] | ["-", ..] | ["internal", "sidegate", ..]) => Self::NotFound,
            (_, path) if carries_own_credentials(path) => Self::PassthroughUnsigned,
            _ => Self::PassthroughSigned,
        }
    }

    /// What it asks of the caller.
    pub const fn required_auth(self) -> RequiredAuth {
        match self {
            Self::AuthorizedKeys | Self::AuthorizedCerts => RequiredAuth::KeysScopeOrToken,
            Self::Discover | Self::Check | Self::Allowed | Self::LfsAuthenticate | Self::PassthroughSigned => {
                RequiredAuth::ShellScopeAndToken
            }
            Self::PassthroughUnsigned => RequiredAuth::PeerScope(PeerScope::Shell),
            Self::Metrics => RequiredAuth::PeerScope(PeerScope::Metrics),
            Self::Status | Self::Explain | Self::Verify | Self::Invalidate | Self::Resync => RequiredAuth::PeerScope(PeerScope::Admin),
            Self::Liveness | Self::Readiness | Self::NotFound => RequiredAuth::None,
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
            Self::PassthroughSigned => "forward",
            Self::PassthroughUnsigned => "forward_own",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Metrics => "metrics",
            Self::Status => "status",
            Self::Explain => "explain",
            Self::Verify => "verify",
            Self::Invalidate => "invalidate",
            Self::Resync => "resync",
            Self::NotFound => "nowhere",
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
        Self::PassthroughSigned,
        Self::PassthroughUnsigned,
        Self::Liveness,
        Self::Readiness,
        Self::Metrics,
        Self::Status,
        Self::Explain,
        Self::Verify,
        Self::Invalidate,
        Self::Resync,
        Self::NotFound,
    ];
}

/// The paths whose requests carry credentials that only the primary can judge.
fn carries_own_credentials(path: &[&str]) -> bool {
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

    use super::{ApiEndpoint, RequiredAuth};

    fn resolve(method: Method, path: &str) -> ApiEndpoint {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        ApiEndpoint::resolve(&method, &segments)
    }

    #[test]
    fn only_listed_paths_are_forwarded_without_a_token() {
        for path in
            ["internal/kubernetes/agent_info", "namespaces/1/minutes", "internal/error_tracking/allowed", "personal_access_tokens/self"]
        {
            assert_eq!(resolve(Method::GET, path), ApiEndpoint::PassthroughUnsigned, "{path}");
        }
        for path in ["internal/kubernetes", "internal/pre_receive", "users", "personal_access_tokens/1", "internal/error_tracking"] {
            assert_eq!(resolve(Method::GET, path).required_auth(), RequiredAuth::ShellScopeAndToken, "{path}");
        }
    }

    #[test]
    fn internal_paths_of_the_primary_are_never_forwarded() {
        for path in ["internal/sidegate/snapshot", "internal/sidegate", "-/admin/apply", "-/anything", "-"] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                assert_eq!(resolve(method, path), ApiEndpoint::NotFound, "{path}");
            }
        }
        assert_eq!(ApiEndpoint::resolve(&Method::GET, &[]), ApiEndpoint::NotFound, "elsewhere than below /api/v4");
    }

    #[test]
    fn every_endpoint_has_a_unique_metric_name() {
        let names: std::collections::BTreeSet<_> = ApiEndpoint::ALL.iter().map(|journey| journey.name()).collect();
        assert_eq!(names.len(), ApiEndpoint::ALL.len());
    }
}
