//! The table of routes: a method, a path, how its caller is identified, what it does with the body, and its handler.
//!
//! A path's segments are compared as they are; one that begins with `:` stands for any one segment.

use std::pin::Pin;
use std::sync::Arc;

use http::Method;

use crate::api::error::HandlerResult;
use crate::api::request::{ApiRequest, BodyKind, RequiredAuth};
use crate::primary::requests as to;
use crate::primary::state::PrimaryState;

/// A handler under way.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = HandlerResult> + 'a>>;

/// One request that is known.
pub struct Route {
    method: Method,
    /// The path after `/api/v4/`, or from `-/` on; also its name in metrics and logs.
    pub path: &'static str,
    /// How its caller is identified.
    pub auth: RequiredAuth,
    /// What it does with the body.
    pub body: BodyKind,
    /// Who answers it.
    pub handler: for<'a> fn(&'a Arc<PrimaryState>, ApiRequest) -> HandlerFuture<'a>,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No such path.
    NotFound,
    /// The path takes these methods only.
    MethodNotAllowed(String),
}

macro_rules! routes {
    ($($method:ident $path:literal $auth:ident $takes:ident $($handler:ident)::+;)*) => {
        static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            auth: RequiredAuth::$auth,
            body: BodyKind::$takes,
            handler: |house, call| Box::pin(to::$($handler)::+(house, call)),
        }),*];
    };
}

routes! {
    GET  "internal/authorized_keys"    Shell   Parameters authorized_keys::authorized_keys;
    POST "internal/allowed"            Shell   PushParameters     allowed::allowed;
    GET  "internal/discover"           Shell   Parameters discover::discover;
    GET  "internal/check"              Shell   Parameters check::check;
    POST "internal/lfs_authenticate"   Shell   Parameters lfs_authenticate::lfs_authenticate;
    POST "internal/sidegate/lfs_verify" Shell  Parameters lfs_verify::lfs_verify;

    POST "internal/two_factor_recovery_codes"   Shell Parameters two_factor_recovery_codes::two_factor_recovery_codes;
    POST "internal/two_factor_config"           Shell Parameters two_factor_config::two_factor_config;
    POST "internal/two_factor_manual_otp_check" Shell Parameters two_factor_otp_check::two_factor_otp_check;
    POST "internal/two_factor_push_otp_check"   Shell Parameters two_factor_otp_check::two_factor_otp_check;
    POST "internal/personal_access_token"       Shell Parameters personal_access_token::personal_access_token;
    GET  "personal_access_tokens/self"          InHandler   Parameters personal_access_tokens_self::personal_access_tokens_self;
    GET  "internal/authorized_certs"            Shell Parameters authorized_certs::authorized_certs;
    POST "internal/shellhorse/git_audit_event"  Shell Parameters git_audit_event::git_audit_event;
    GET  "-/admin/audit"                        Admin Parameters admin_audit::audit;

    GET    "namespaces/:id/gitlab_subscription"     InHandler Parameters gitlab_subscription::read;
    POST   "namespaces/:id/gitlab_subscription"     InHandler Parameters gitlab_subscription::create;
    PUT    "namespaces/:id/gitlab_subscription"     InHandler Parameters gitlab_subscription::update;
    POST   "namespaces/:id/minutes"                 InHandler Parameters minutes::add_packs;
    PATCH  "namespaces/:id/minutes/move/:target_id" InHandler Parameters minutes::move_packs;
    PUT    "internal/upcoming_reconciliations"      InHandler Parameters upcoming_reconciliations::put_all;
    DELETE "internal/upcoming_reconciliations"      InHandler Parameters upcoming_reconciliations::delete;
    GET    "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"      InHandler Parameters gitlab_subscription::read;
    POST   "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"      InHandler Parameters gitlab_subscription::create;
    PUT    "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"      InHandler Parameters gitlab_subscription::update;
    POST   "internal/gitlab_subscriptions/namespaces/:id/minutes"                  InHandler Parameters minutes::add_packs;
    PATCH  "internal/gitlab_subscriptions/namespaces/:id/minutes/move/:target_id"  InHandler Parameters minutes::move_packs;
    PUT    "internal/gitlab_subscriptions/namespaces/:id/upcoming_reconciliations" InHandler Parameters upcoming_reconciliations::put_one;
    DELETE "internal/gitlab_subscriptions/namespaces/:id/upcoming_reconciliations" InHandler Parameters upcoming_reconciliations::delete_one;

    POST "internal/pre_receive"        Shell   Parameters pre_receive::pre_receive;
    POST "internal/post_receive"       Shell   PushParameters     post_receive::post_receive;

    POST "internal/error_tracking/allowed"                                           InHandler Parameters error_tracking_allowed::allowed;
    GET  "internal/kubernetes/agent_info"                                            Kas Parameters kubernetes_agent_info::agent_info;
    GET  "internal/kubernetes/agents/agentk/agent_info"                              Kas Parameters kubernetes_agent_info::agent_info;
    GET  "internal/kubernetes/project_info"                                          Kas Parameters kubernetes_project_info::project_info;
    GET  "internal/kubernetes/verify_project_access"                                 Kas Parameters kubernetes_project_info::verify_project_access;
    POST "internal/kubernetes/usage_metrics"                                         Kas Parameters kubernetes_usage_metrics::usage_metrics;
    POST "internal/kubernetes/agent_configuration"                                   Kas Parameters kubernetes_agent_configuration::agent_configuration;
    PUT  "internal/kubernetes/modules/starboard_vulnerability"                       Kas Parameters kubernetes_vulnerability::starboard_vulnerability;
    POST "internal/kubernetes/modules/starboard_vulnerability/scan_result"           Kas Parameters kubernetes_vulnerability::scan_result;
    GET  "internal/kubernetes/modules/starboard_vulnerability/scan_execution_policies" Kas Parameters kubernetes_policies::scan_execution_policies;
    GET  "internal/kubernetes/modules/starboard_vulnerability/policies_configuration" Kas Parameters kubernetes_policies::policies_configuration;

    GET  "internal/sidegate/changes"   Follower    Parameters changes::changes;
    GET  "internal/sidegate/snapshot"  Follower    Parameters snapshot::snapshot;
    POST "internal/sidegate/ack"       Follower    RawBytes      ack::ack;
    POST "internal/sidegate/usage"     Follower    RawBytes      usage::usage;

    GET  "-/liveness"                  None    Parameters health::liveness;
    GET  "-/readiness"                 None    Parameters health::readiness;
    GET  "-/metrics"                   Metrics Parameters metrics::metrics;

    GET  "-/admin/status"              Admin   Parameters admin_status::status;
    GET  "-/admin/kubernetes"          Admin   Parameters admin_kubernetes::kubernetes;
    GET  "-/admin/hosts"               Admin   Parameters admin_hosts::hosts;
    GET  "-/admin/explain"             Admin   Parameters admin_explain::explain;
    GET  "-/admin/export"              Admin   Parameters admin_export::export;
    POST "-/admin/apply"               Admin   Stream     admin_apply::apply;
    POST "-/admin/revoke-key"          Admin   Parameters admin_revoke_key::revoke_key;
    POST "-/admin/block-user"          Admin   Parameters admin_block_user::block_user;
    POST "-/admin/forget-host"         Admin   Parameters admin_hosts::forget_host;
    POST "-/admin/accept-loss"         Admin   Parameters admin_accept_loss::accept_loss;
    POST "-/admin/new-epoch"           Admin   Parameters admin_new_epoch::new_epoch;
}

/// Finds the route of a method and the decoded segments of a path.
pub fn find_route(method: &Method, segments: &[String]) -> Result<&'static Route, RouteError> {
    let mut others = Vec::new();
    for route in ROUTES.iter().filter(|route| path_matches(route.path, segments)) {
        if route.method == method {
            return Ok(route);
        }
        others.push(route.method.as_str());
    }
    if others.is_empty() { Err(RouteError::NotFound) } else { Err(RouteError::MethodNotAllowed(others.join(", "))) }
}

fn path_matches(path: &str, segments: &[String]) -> bool {
    let mut asked = segments.iter();
    path.split('/').all(|own| asked.next().is_some_and(|asked| own.starts_with(':') || own == asked)) && asked.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;
    use yaml_rust2::{Yaml, YamlLoader};

    use super::{ROUTES, Route, RouteError, find_route, path_matches};
    use crate::api::request::{BodyKind, RequiredAuth};

    fn segments(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn a_path_finds_its_route_and_a_wrong_method_names_the_allowed_one() {
        let found = |method, path| find_route(&method, &segments(path)).map(|route| route.path);
        assert_eq!(found(Method::GET, "internal/check"), Ok("internal/check"));
        assert_eq!(found(Method::POST, "internal/check"), Err(RouteError::MethodNotAllowed("GET".to_owned())));
        assert_eq!(found(Method::GET, "internal/check/more"), Err(RouteError::NotFound));
        assert_eq!(found(Method::GET, "internal"), Err(RouteError::NotFound));
    }

    #[test]
    fn a_segment_with_a_colon_matches_any_segment() {
        assert!(path_matches("namespaces/:id/minutes", &segments("namespaces/7/minutes")));
        assert!(!path_matches("namespaces/:id/minutes", &segments("namespaces/7/8/minutes")));
    }
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    /// The paths of docs/openapi.yaml.
    fn documented() -> Yaml {
        let text = include_str!("../../docs/openapi.yaml");
        YamlLoader::load_from_str(text).unwrap().remove(0)["paths"].clone()
    }

    /// A route's path as OpenAPI writes it: `{id}` for `:id`, and from the root on.
    fn path_of(route: &Route) -> String {
        let segment = |segment: &str| segment.strip_prefix(':').map_or_else(|| segment.to_owned(), |name| format!("{{{name}}}"));
        let path = route.path.split('/').map(segment).collect::<Vec<_>>().join("/");
        if path.starts_with("-/") { format!("/{path}") } else { format!("/api/v4/{path}") }
    }

    #[test]
    fn the_api_description_has_every_route_and_no_other() {
        let routes: BTreeSet<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, path_of(route))).collect();
        let described: BTreeSet<_> = documented()
            .into_hash()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let path = path.as_str().unwrap();
                METHODS.iter().filter(|method| !item[**method].is_badvalue()).map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn the_api_description_says_how_each_caller_is_identified() {
        let documented = documented();
        for route in ROUTES {
            let described = &documented[path_of(route).as_str()][route.method.as_str().to_lowercase().as_str()];
            let shown: BTreeSet<_> = described["security"]
                .as_vec()
                .unwrap()
                .iter()
                .flat_map(|one| one.as_hash().unwrap().keys().map(|name| name.as_str().unwrap()))
                .collect();
            let shows = |name| shown.contains(name);
            let operator = described["x-sidegate-caller"].as_str() == Some("operator");
            let right = match route.auth {
                RequiredAuth::Shell => shows("shellToken") && shows("sharedSecret") && shows("sharedSecretParameter"),
                RequiredAuth::Follower => shown == BTreeSet::from(["followerToken"]),
                RequiredAuth::Kas => shows("kasToken"),
                RequiredAuth::InHandler => {
                    shows("privateToken") && shows("token") || shows("errorTrackingToken") && shows("errorTrackingParameter")
                }
                RequiredAuth::Admin | RequiredAuth::Metrics => shown.is_empty() && operator,
                RequiredAuth::None => shown.is_empty(),
            };
            let only_operators = matches!(route.auth, RequiredAuth::Admin | RequiredAuth::Metrics);
            assert!(right && operator == only_operators, "{} {}: {shown:?}", route.method, route.path);
            let has = |status: &str| !described["responses"][status].is_badvalue();
            let refusal = if only_operators { "403" } else { "401" };
            assert!(route.auth == RequiredAuth::None || has(refusal), "{} {} is refused with {refusal}", route.method, route.path);
            let form = &described["requestBody"]["content"]["application/x-www-form-urlencoded"];
            assert!(
                form.is_badvalue() || matches!(route.body, BodyKind::Parameters | BodyKind::PushParameters),
                "{} reads no form",
                route.path
            );
        }
    }
}
