//! `discover`: which user is behind a key or a name? `null` where there is none. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::model::access_decision::Actor;
use crate::model::access_request::ClaimedActor;
use crate::model::directory::DirectoryError;
use crate::model::freshness::{DirectoryView, FreshnessClass};
use crate::model::record::User;
use crate::net::message::Response;
use crate::rules::actor;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::headers;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::http::params::{Params, encode_form};
use crate::wire::{claimant, discover};

/// The parameters that name a user, in the order in which the first that is there wins.
const USER_PARAMETERS: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Answers `GET internal/discover`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if params
        .first_unknown(&[USER_PARAMETERS[0], USER_PARAMETERS[1], USER_PARAMETERS[2], USER_PARAMETERS[3], SHARED_SECRET_PARAMETER])
        .is_some()
    {
        return passthrough::handle(house, call).await;
    }
    let (claimant, target) = match (claimant::parse_claimant(&params), build_target(&params)) {
        (Ok(claimant), Ok(target)) => (claimant, target),
        (Err(bad), _) | (_, Err(bad)) => return bad_request_response(&bad.to_string()),
    };
    let known = house.cached_view(FreshnessClass::Keys, call.received_at).await;
    let held = known.view.as_ref().map_or(UserLookup::Unavailable, |view| look_up_user(view, &claimant));
    match &held {
        UserLookup::Found(body) if known.is_fresh() => return headers::mark_local(user_response(body), known.age),
        UserLookup::NotFound if known.is_fresh() && known.may_deny() => {
            return headers::mark_local(user_response(&discover::encode_response(None)), known.age);
        }
        _ => {}
    }
    let question = UpstreamQuery { kind: QueryKind::Discover, target, body: None };
    match house.upstream.query(question, RequestClass::Other, call.received_at).await {
        QueryOutcome::Decided(decided) => headers::mark_forwarded(Response::json(decided.status, decided.body)),
        QueryOutcome::Failed(outage) => match held {
            UserLookup::Found(body) => headers::mark_degraded(headers::mark_local(user_response(&body), known.age)),
            UserLookup::NotFound if known.may_deny() => {
                headers::mark_degraded(headers::mark_local(user_response(&discover::encode_response(None)), known.age))
            }
            UserLookup::NotFound | UserLookup::Unavailable => outage.query_response(),
        },
    }
}

/// What the directory says.
enum UserLookup {
    /// The body of a user.
    Found(String),
    /// There is none.
    NotFound,
    /// There is no directory to look in, or it could not be read.
    Unavailable,
}

fn look_up_user(view: &DirectoryView, claimant: &ClaimedActor) -> UserLookup {
    match find_user(view, claimant) {
        Ok(Some(user)) => UserLookup::Found(discover::encode_response(Some(&user))),
        Ok(None) => UserLookup::NotFound,
        Err(fault) => {
            tracing::error!(reason = %fault, "a user could not be looked up; asking the primary");
            UserLookup::Unavailable
        }
    }
}

fn find_user(view: &DirectoryView, claimant: &ClaimedActor) -> Result<Option<Arc<User>>, DirectoryError> {
    Ok(match actor::resolve_actor(&*view.directory, claimant)? {
        Actor::User(user, _) | Actor::DeployKey(_, Some(user)) => Some(user),
        Actor::Unknown | Actor::OrphanedKey(_) | Actor::DeployKey(_, None) => None,
    })
}

/// The question as we write it: the one parameter that counts.
fn build_target(params: &Params) -> Result<String, crate::wire::http::params_error::ParamsError> {
    for name in USER_PARAMETERS {
        if let Some(value) = params.text(name)? {
            return Ok(format!("/api/v4/internal/discover?{}", encode_form([(name, value.as_str())])));
        }
    }
    Ok("/api/v4/internal/discover".to_owned())
}

fn user_response(body: &str) -> Response {
    Response::json(StatusCode::OK, body.to_owned())
}
