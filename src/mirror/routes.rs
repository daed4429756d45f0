//! The mirror's table of routes. The address that GitLab sends its hooks to answers these and nothing else; no other socket answers them.

use std::any::Any;
use std::sync::Arc;

use http::HeaderMap;

use crate::api::context::{ApiContext, ApiState};
use crate::api::error::Rejection;
use crate::api::log_level;
use crate::api::pipeline;
use crate::api::request::{Caller, RequestTime};
use crate::api::route::{self, RequiredAuth, Route, RouteError, routes};
use crate::mirror::requests::{accept_loss, feed, hook, metrics, operator, status, usage};
use crate::mirror::state::MirrorState;
use crate::model::time::Time;
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::net::server::handler::Handler;

/// Where hooks are sent.
const HOOK_PATHS: &str = "/hooks/";

/// Every route of the mirror; the one of hooks is the last.
static ROUTES: &[Route<MirrorState>] = routes! { MirrorState;
    GET  "internal/sidegate/changes"  Follower Parameters feed::changes;
    GET  "internal/sidegate/snapshot" Follower Parameters feed::snapshot;
    POST "internal/sidegate/ack"      Follower RawBytes   feed::ack;
    POST "internal/sidegate/usage"    Follower RawBytes   usage::handle;

    GET  "-/liveness"                 None     Parameters operator::liveness;
    GET  "-/readiness"                None     Parameters operator::readiness;
    GET  "-/metrics"                  Metrics  Parameters metrics::handle;

    GET  "-/fleet"                    InHandler Parameters operator::fleet;

    GET  "-/admin/status"             Operator Parameters status::handle;
    GET  "-/admin/hosts"              Operator Parameters operator::hosts;
    GET  "-/admin/export"             Operator Parameters operator::export;
    POST "-/admin/forget-host"        Operator Parameters operator::forget_host;
    POST "-/admin/accept-loss"        Operator Parameters accept_loss::handle;
    GET  "-/admin/log-level"          Operator Parameters log_level::level;
    POST "-/admin/log-level"          Operator Parameters log_level::set_level;
    POST "-/admin/new-epoch"          Operator Parameters operator::new_epoch;
    POST "-/admin/apply"              Operator Stream     operator::refuse_apply;
    POST "-/admin/revoke-key"         Operator Parameters operator::refuse_revoke_key;
    POST "-/admin/block-user"         Operator Parameters operator::refuse_block_user;
    POST "-/admin/unblock-user"       Operator Parameters operator::refuse_unblock_user;
    GET  "-/admin/backup"             Operator Parameters operator::refuse_backup;
    GET  "-/admin/records"            Operator Parameters operator::records;
    GET  "-/admin/revocations"        Operator Parameters operator::refuse_revocations;

    POST "hooks/gitlab"               None     RawBytes   hook::handle;
};

/// Returns the routes of everybody but GitLab's hooks. Whatever a path looks like, it does not lead to what is not among them.
fn routes_without_hooks() -> &'static [Route<MirrorState>] {
    ROUTES.split_last().map_or(&[], |(_hooks, others)| others)
}

impl MirrorState {
    /// Shows the failures of every endpoint of the API in the metrics, at zero.
    pub fn show_endpoints(&self) {
        self.api().metrics.show_endpoints(route::api_endpoints(ROUTES));
    }
}

impl Handler for MirrorState {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        pipeline::handle(self, routes_without_hooks(), request).await
    }

    async fn probe(self: &Arc<Self>) {
        let _what_was_found = pipeline::handle(self, ROUTES, Request::own("/-/liveness")).await;
        self.publisher.probe_look_up();
    }
}

/// Answers at the address that GitLab sends its hooks to, whoever shows the hook's token.
pub struct HookHandler(pub Arc<MirrorState>);

impl Handler for HookHandler {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        match request.parts.uri.path().starts_with(HOOK_PATHS) {
            // Before anything is read of the body, or counted as one that is to be read.
            true => match hook::check_token(&self.0, &request.parts.headers, RequestTime::now()) {
                Ok(()) => pipeline::handle(&self.0, ROUTES, request).await,
                Err(error) => error.into_response(),
            },
            false => RouteError::NotFound.into_response(),
        }
    }
}

impl ApiState for MirrorState {
    fn api(&self) -> &ApiContext {
        self.publisher.api()
    }

    fn authenticate_own(&self, required: RequiredAuth, peer: &Peer, headers: &HeaderMap, now: Time) -> Result<Caller, Rejection> {
        self.publisher.authenticate_own(required, peer, headers, now)
    }

    fn begin_answer(&self, caller: &Caller) -> Option<Box<dyn Any + Send + Sync>> {
        self.publisher.begin_answer(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::{HOOK_PATHS, ROUTES, routes_without_hooks};

    #[test]
    fn hooks_alone_are_kept_from_all_other_sockets() {
        let is_hook = |path: &str| format!("/{path}").starts_with(HOOK_PATHS);
        assert!(routes_without_hooks().iter().all(|route| !is_hook(route.path)));
        assert!(ROUTES.last().is_some_and(|route| is_hook(route.path)) && routes_without_hooks().len() + 1 == ROUTES.len());
    }
}
