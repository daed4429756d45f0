//! The primary's table of routes: an endpoint is a line here and a file in `requests/`.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::ApiError;
use crate::api::log_level;
use crate::api::pipeline;
use crate::api::response_headers::{FORWARDED_HEADER, POSITION_HEADER};
use crate::api::route::{self, Route, routes};
use crate::net::message::{Request, Response};
use crate::net::server::handler::Handler;
use crate::primary::requests::{
    ack, admin_accept_loss, admin_apply, admin_audit, admin_backup, admin_block_user, admin_explain, admin_export, admin_hosts,
    admin_kubernetes, admin_new_epoch, admin_records, admin_revocations, admin_revoke_key, admin_status, admin_unblock_user, allowed,
    authorized_certs, authorized_keys, changes, check, discover, error_tracking_allowed, fleet, git_audit_event, gitlab_subscription,
    health, kubernetes_agent_configuration, kubernetes_agent_info, kubernetes_policies, kubernetes_project_info, kubernetes_usage_metrics,
    kubernetes_vulnerability, lfs_authenticate, lfs_verify, metrics, minutes, personal_access_token, personal_access_tokens_self,
    post_receive, pre_receive, snapshot, two_factor_config, two_factor_otp_check, two_factor_recovery_codes, upcoming_reconciliations,
    usage,
};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// Where the requests of the operator, and of who watches the process, are.
const OWN_PATHS: &str = "/-/";

/// Every route of the primary.
pub(in crate::primary) static ROUTES: &[Route<PrimaryState>] = routes! { PrimaryState;
    GET    "internal/authorized_keys"                                                               ShellToken Parameters authorized_keys::handle;
    POST   "internal/allowed"                                                                       ShellToken Parameters allowed::handle;
    GET    "internal/discover"                                                                      ShellToken Parameters discover::handle;
    GET    "internal/check"                                                                         ShellToken Parameters check::handle;
    POST   "internal/lfs_authenticate"                                                              ShellToken Parameters lfs_authenticate::handle;
    POST   "internal/sidegate/lfs_verify"                                                           ShellToken Parameters lfs_verify::handle;

    POST   "internal/two_factor_recovery_codes"                                                     ShellToken Parameters two_factor_recovery_codes::handle;
    POST   "internal/two_factor_config"                                                             ShellToken Parameters two_factor_config::handle;
    POST   "internal/two_factor_manual_otp_check"                                                   ShellToken Parameters two_factor_otp_check::handle;
    POST   "internal/two_factor_push_otp_check"                                                     ShellToken Parameters two_factor_otp_check::handle;
    POST   "internal/personal_access_token"                                                         ShellToken Parameters personal_access_token::handle;
    GET    "personal_access_tokens/self"                                                            InHandler  Parameters personal_access_tokens_self::handle;
    GET    "internal/authorized_certs"                                                              ShellToken Parameters authorized_certs::handle;
    POST   "internal/shellhorse/git_audit_event"                                                    ShellToken Parameters git_audit_event::handle;
    GET    "-/admin/audit"                                                                          Operator   Parameters admin_audit::handle;

    GET    "namespaces/:id/gitlab_subscription"                                                     InHandler  Parameters gitlab_subscription::read;
    POST   "namespaces/:id/gitlab_subscription"                                                     InHandler  Parameters gitlab_subscription::create;
    PUT    "namespaces/:id/gitlab_subscription"                                                     InHandler  Parameters gitlab_subscription::update;
    POST   "namespaces/:id/minutes"                                                                 InHandler  Parameters minutes::add_packs;
    PATCH  "namespaces/:id/minutes/move/:target_id"                                                 InHandler  Parameters minutes::move_packs;
    PUT    "internal/upcoming_reconciliations"                                                      InHandler  Parameters upcoming_reconciliations::put_all;
    DELETE "internal/upcoming_reconciliations"                                                      InHandler  Parameters upcoming_reconciliations::delete;
    GET    "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"                       InHandler  Parameters gitlab_subscription::read;
    POST   "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"                       InHandler  Parameters gitlab_subscription::create;
    PUT    "internal/gitlab_subscriptions/namespaces/:id/gitlab_subscription"                       InHandler  Parameters gitlab_subscription::update;
    POST   "internal/gitlab_subscriptions/namespaces/:id/minutes"                                   InHandler  Parameters minutes::add_packs;
    PATCH  "internal/gitlab_subscriptions/namespaces/:id/minutes/move/:target_id"                   InHandler  Parameters minutes::move_packs;
    PUT    "internal/gitlab_subscriptions/namespaces/:id/upcoming_reconciliations"                  InHandler  Parameters upcoming_reconciliations::put_one;
    DELETE "internal/gitlab_subscriptions/namespaces/:id/upcoming_reconciliations"                  InHandler  Parameters upcoming_reconciliations::delete_one;

    POST   "internal/pre_receive"                                                                   ShellToken Parameters pre_receive::handle;
    POST   "internal/post_receive"                                                                  ShellToken Parameters post_receive::handle;

    POST   "internal/error_tracking/allowed"                                                        InHandler  Parameters error_tracking_allowed::handle;
    GET    "internal/kubernetes/agent_info"                                                         Kas        Parameters kubernetes_agent_info::handle;
    GET    "internal/kubernetes/agents/agentk/agent_info"                                           Kas        Parameters kubernetes_agent_info::handle;
    GET    "internal/kubernetes/project_info"                                                       Kas        Parameters kubernetes_project_info::project_info;
    GET    "internal/kubernetes/verify_project_access"                                              Kas        Parameters kubernetes_project_info::verify_project_access;
    POST   "internal/kubernetes/usage_metrics"                                                      Kas        Parameters kubernetes_usage_metrics::handle;
    POST   "internal/kubernetes/agent_configuration"                                                Kas        Parameters kubernetes_agent_configuration::handle;
    PUT    "internal/kubernetes/modules/starboard_vulnerability"                                    Kas        Parameters kubernetes_vulnerability::starboard_vulnerability;
    POST   "internal/kubernetes/modules/starboard_vulnerability/scan_result"                        Kas        Parameters kubernetes_vulnerability::scan_result;
    GET    "internal/kubernetes/modules/starboard_vulnerability/scan_execution_policies"            Kas        Parameters kubernetes_policies::scan_execution_policies;
    GET    "internal/kubernetes/modules/starboard_vulnerability/policies_configuration"             Kas        Parameters kubernetes_policies::policies_configuration;

    GET    "internal/sidegate/changes"                                                              Follower   Parameters changes::handle;
    GET    "internal/sidegate/snapshot"                                                             Follower   Parameters snapshot::handle;
    POST   "internal/sidegate/ack"                                                                  Follower   RawBytes   ack::handle;
    POST   "internal/sidegate/usage"                                                                Follower   RawBytes   usage::handle;

    GET    "-/liveness"                                                                             None       Parameters health::liveness;
    GET    "-/readiness"                                                                            None       Parameters health::readiness;
    GET    "-/metrics"                                                                              Metrics    Parameters metrics::handle;

    GET    "-/fleet"                                                                                InHandler  Parameters fleet::handle;

    GET    "-/admin/status"                                                                         Operator   Parameters admin_status::handle;
    GET    "-/admin/kubernetes"                                                                     Operator   Parameters admin_kubernetes::handle;
    GET    "-/admin/hosts"                                                                          Operator   Parameters admin_hosts::hosts;
    GET    "-/admin/revocations"                                                                    Operator   Parameters admin_revocations::handle;
    GET    "-/admin/explain"                                                                        Operator   Parameters admin_explain::handle;
    GET    "-/admin/backup"                                                                         Operator   Parameters admin_backup::handle;
    GET    "-/admin/records"                                                                        Operator   Parameters admin_records::handle;
    GET    "-/admin/export"                                                                         Operator   Parameters admin_export::handle;
    POST   "-/admin/apply"                                                                          Operator   Stream     admin_apply::handle;
    POST   "-/admin/revoke-key"                                                                     Operator   Parameters admin_revoke_key::handle;
    POST   "-/admin/block-user"                                                                     Operator   Parameters admin_block_user::handle;
    POST   "-/admin/unblock-user"                                                                   Operator   Parameters admin_unblock_user::handle;
    POST   "-/admin/forget-host"                                                                    Operator   Parameters admin_hosts::forget_host;
    POST   "-/admin/accept-loss"                                                                    Operator   Parameters admin_accept_loss::handle;
    GET    "-/admin/log-level"                                                                      Operator   Parameters log_level::level;
    POST   "-/admin/log-level"                                                                      Operator   Parameters log_level::set_level;
    POST   "-/admin/new-epoch"                                                                      Operator   Parameters admin_new_epoch::handle;
};

impl PrimaryState {
    /// Shows the failures of every endpoint of the API in the metrics, at zero.
    pub fn show_endpoints(&self) {
        self.api.metrics.show_endpoints(route::api_endpoints(ROUTES));
    }
}

impl Handler for PrimaryState {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        // Read before anything is decided: a host gives no yes that is older than what binds there.
        let position = request.parts.headers.contains_key(FORWARDED_HEADER).then(|| self.store.head().position());
        let is_own = request.parts.uri.path().starts_with(OWN_PATHS);
        let response = self.check_answer(is_own, pipeline::handle(self, ROUTES, request).await).await;
        match position {
            Some(position) => response.with_header(POSITION_HEADER, &position.to_string()),
            None => response,
        }
    }

    async fn probe(self: &Arc<Self>) {
        let _what_was_found = pipeline::handle(self, ROUTES, Request::own("/-/liveness")).await;
        self.probe_look_up();
    }
}

impl PrimaryState {
    /// Lets an answer wait for the commit that it may have been read from, and takes it back if that has failed: what is in no store is not
    /// answered. The operator is answered all the same, with the reason.
    async fn check_answer(&self, is_own: bool, response: Response) -> Response {
        let settled = if is_own { self.store.durable_head().map(drop) } else { self.store.settled().await };
        match settled {
            Err(StoreError(reason)) if !is_own || response.status == StatusCode::INTERNAL_SERVER_ERROR => {
                let text = if is_own { format!("{STORE_FAILED_MESSAGE}: {reason}") } else { STORE_FAILED_MESSAGE.to_owned() };
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
            Ok(()) | Err(_) => response,
        }
    }
}

/// What is said once a write to the store has failed.
const STORE_FAILED_MESSAGE: &str = "A write to the primary's store failed; the primary starts again, and until then answers nothing";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use yaml_rust2::{Yaml, YamlLoader};

    use super::ROUTES;
    use crate::api::request_metrics::MAX_ENDPOINTS;
    use crate::api::route::{BodyKind, RequiredAuth, Route};
    use crate::primary::state::PrimaryState;

    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    /// The paths of docs/openapi.yaml.
    fn documented() -> Yaml {
        let text = include_str!("../../docs/openapi.yaml");
        YamlLoader::load_from_str(text).unwrap().remove(0)["paths"].clone()
    }

    fn method_of(route: &Route<PrimaryState>) -> &str {
        route.method.as_ref().map_or("", |method| method.as_str())
    }

    /// A route's path as OpenAPI writes it: `{id}` for `:id`, and from the root on.
    fn path_of(route: &Route<PrimaryState>) -> String {
        let segment = |segment: &str| segment.strip_prefix(':').map_or_else(|| segment.to_owned(), |name| format!("{{{name}}}"));
        let path = route.path.split('/').map(segment).collect::<Vec<_>>().join("/");
        if path.starts_with("-/") { format!("/{path}") } else { format!("/api/v4/{path}") }
    }

    #[test]
    fn the_api_description_has_every_route_and_no_other() {
        let routes: BTreeSet<_> = ROUTES.iter().map(|route| format!("{} {}", method_of(route), path_of(route))).collect();
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
            let described = &documented[path_of(route).as_str()][method_of(route).to_lowercase().as_str()];
            let shown: BTreeSet<_> = described["security"]
                .as_vec()
                .unwrap()
                .iter()
                .flat_map(|one| one.as_hash().unwrap().keys().map(|name| name.as_str().unwrap()))
                .collect();
            let shows = |name| shown.contains(name);
            let operator = described["x-sidegate-caller"].as_str() == Some("operator");
            // For the operator on the Unix socket; its token counts over TCP alone.
            let is_fleet = route.path == "-/fleet";
            let right = match route.auth {
                RequiredAuth::ShellToken => shows("shellToken") && shows("sharedSecret") && shows("sharedSecretParameter"),
                RequiredAuth::Follower => shown == BTreeSet::from(["followerToken"]),
                RequiredAuth::Kas => shows("kasToken"),
                RequiredAuth::InHandler => {
                    shows("privateToken") && shows("token")
                        || shows("errorTrackingToken") && shows("errorTrackingParameter")
                        || is_fleet && shown.is_empty() && operator
                }
                RequiredAuth::Operator | RequiredAuth::Metrics => shown.is_empty() && operator,
                RequiredAuth::None => shown.is_empty(),
                RequiredAuth::KeysScopeOrToken | RequiredAuth::TokenIfShown => false,
            };
            let only_operators = is_fleet || matches!(route.auth, RequiredAuth::Operator | RequiredAuth::Metrics);
            assert!(right && operator == only_operators, "{} {}: {shown:?}", method_of(route), route.path);
            let has = |status: &str| !described["responses"][status].is_badvalue();
            let refusal = if only_operators { "403" } else { "401" };
            assert!(route.auth == RequiredAuth::None || has(refusal), "{} {} is refused with {refusal}", method_of(route), route.path);
            let form = &described["requestBody"]["content"]["application/x-www-form-urlencoded"];
            assert!(form.is_badvalue() || route.body == BodyKind::Parameters, "{} reads no form", route.path);
        }
    }

    #[test]
    fn the_table_has_fewer_routes_than_are_counted() {
        assert!(ROUTES.len() + 2 <= MAX_ENDPOINTS);
    }
}
