//! The sidecar's table of routes: an endpoint is a line here and a file in `requests/`.

use std::sync::Arc;

use crate::api::log_level;
use crate::api::pipeline;
use crate::api::route::{self, Route, routes};
use crate::net::message::{Request, Response};
use crate::net::server::handler::Handler;
use crate::sidecar::requests::{
    admin_explain, admin_invalidate, admin_resync, admin_status, admin_verify, admin_warm, allowed, authorized_certs, authorized_keys,
    check, discover, health, lfs_authenticate, metrics, not_found, passthrough,
};
use crate::sidecar::state::SidecarState;

static ROUTES: &[Route<SidecarState>] = routes! { SidecarState;
    GET  "internal/authorized_keys"               = "authorized_keys"  KeysScopeOrToken Parameters authorized_keys::handle;
    GET  "internal/authorized_certs"              = "authorized_certs" KeysScopeOrToken Parameters authorized_certs::handle;
    GET  "internal/discover"                      = "discover"         ShellToken       Parameters discover::handle;
    GET  "internal/check"                         = "check"            ShellToken       Parameters check::handle;
    POST "internal/allowed"                       = "allowed"          ShellToken       Parameters allowed::handle;
    POST "internal/lfs_authenticate"              = "lfs_authenticate" ShellToken       Parameters lfs_authenticate::handle;

    GET  "-/liveness"                             = "liveness"         None             Unread     health::liveness;
    GET  "-/readiness"                            = "readiness"        None             Unread     health::readiness;
    GET  "-/metrics"                              = "metrics"          Metrics          Unread     metrics::handle;

    GET  "-/admin/status"                         = "status"           Operator         Unread     admin_status::handle;
    GET  "-/admin/explain"                        = "explain"          Operator         Parameters admin_explain::handle;
    POST "-/admin/verify"                         = "verify"           Operator         Unread     admin_verify::handle;
    POST "-/admin/invalidate"                     = "invalidate"       Operator         Parameters admin_invalidate::handle;
    POST "-/admin/warm"                           = "warm"             Operator         Stream     admin_warm::handle;
    POST "-/admin/resync"                         = "resync"           Operator         Unread     admin_resync::handle;
    GET  "-/admin/log-level"                      = "log_level"        Operator         Unread     log_level::level;
    POST "-/admin/log-level"                      = "log_level"        Operator         Parameters log_level::set_level;

    // Never passed on: our own paths, and the primary's for its followers.
    ANY  "-/**"                                   = "unknown"          None             Unread     not_found::handle;
    ANY  "internal/sidegate/**"                   = "unknown"          None             Unread     not_found::handle;

    // Passed on with the credentials that they carry themselves, which only the primary can judge.
    ANY  "internal/kubernetes/:any/**"            = "forward_own"      TokenIfShown     Unread     passthrough::handle;
    ANY  "internal/error_tracking/allowed"        = "forward_own"      TokenIfShown     Unread     passthrough::handle;
    ANY  "internal/upcoming_reconciliations"      = "forward_own"      TokenIfShown     Unread     passthrough::handle;
    ANY  "internal/gitlab_subscriptions/:any/**"  = "forward_own"      TokenIfShown     Unread     passthrough::handle;
    ANY  "namespaces/:any/**"                     = "forward_own"      TokenIfShown     Unread     passthrough::handle;
    ANY  "personal_access_tokens/self"            = "forward_own"      TokenIfShown     Unread     passthrough::handle;

    // Everything else of the API is passed on, signed.
    ANY  ":any/**"                                = "forward"          ShellToken       Unread     passthrough::handle;
    // A path that is neither below `/api/v4` nor ours.
    ANY  "**"                                     = "unknown"          None             Unread     not_found::handle;
};

impl SidecarState {
    /// Shows the failures of every endpoint of the API in the metrics, at zero.
    pub fn show_endpoints(&self) {
        self.api.metrics.show_endpoints(route::api_endpoints(ROUTES));
    }
}

impl Handler for SidecarState {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        pipeline::handle(self, ROUTES, request).await
    }

    async fn probe(self: &Arc<Self>) {
        let _what_was_found = self.handle(Request::own("/-/readiness")).await;
        authorized_keys::probe(self);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::ROUTES;
    use crate::api::request_metrics::MAX_ENDPOINTS;
    use crate::api::route::{RequiredAuth, find_route};

    fn resolve(method: &Method, path: &str) -> (&'static str, RequiredAuth) {
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let (_, route) = find_route(ROUTES, method, &segments).unwrap();
        (route.name, route.auth)
    }

    #[test]
    fn only_listed_paths_are_forwarded_without_a_token() {
        for path in [
            "internal/kubernetes/agent_info",
            "namespaces/1/minutes",
            "internal/error_tracking/allowed",
            "internal/upcoming_reconciliations",
            "internal/gitlab_subscriptions/namespaces/1/minutes",
            "personal_access_tokens/self",
        ] {
            assert_eq!(resolve(&Method::GET, path), ("forward_own", RequiredAuth::TokenIfShown), "{path}");
        }
        for path in [
            "internal/kubernetes",
            "internal/pre_receive",
            "users",
            "namespaces",
            "personal_access_tokens/1",
            "internal/error_tracking",
            "internal/gitlab_subscriptions",
        ] {
            assert_eq!(resolve(&Method::GET, path), ("forward", RequiredAuth::ShellToken), "{path}");
        }
    }

    #[test]
    fn internal_paths_of_the_primary_are_never_forwarded() {
        for path in ["internal/sidegate/snapshot", "internal/sidegate", "-/admin/apply", "-/anything", "-"] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                assert_eq!(resolve(&method, path), ("unknown", RequiredAuth::None), "{path}");
            }
        }
        let (_, elsewhere) = find_route(ROUTES, &Method::GET, &[]).unwrap();
        assert_eq!(elsewhere.name, "unknown", "elsewhere than below /api/v4");
    }

    #[test]
    fn a_path_of_ours_with_another_method_is_forwarded_below_the_api_and_not_found_elsewhere() {
        assert_eq!(resolve(&Method::POST, "internal/authorized_keys").0, "forward");
        assert_eq!(resolve(&Method::GET, "internal/authorized_keys").0, "authorized_keys");
        assert_eq!(resolve(&Method::POST, "-/admin/status").0, "unknown");
    }

    #[test]
    fn the_table_has_fewer_routes_than_are_counted() {
        assert!(ROUTES.len() + 2 <= MAX_ENDPOINTS);
    }
}
