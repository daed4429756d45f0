//! `discover`: which user is behind a key or a name? `null` where there is none. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::model::directory::Fault;
use crate::model::freshness::{Class, View};
use crate::model::question::Claimant;
use crate::model::record::User;
use crate::model::verdict::Actor;
use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::rules::actor;
use crate::sidecar::asking::{Question, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::Kind;
use crate::sidecar::gate::Call;
use crate::sidecar::house::Sidecar;
use crate::sidecar::{forward, headers};
use crate::wire::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::params::{Params, encode};
use crate::wire::{answer, claimant};

/// The parameters that name a user, in the order in which the first that is there wins.
const NAMES: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Answers `GET internal/discover`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if params.unknown(&[NAMES[0], NAMES[1], NAMES[2], NAMES[3], SHARED_SECRET_PARAMETER]).is_some() {
        return forward::answer(house, call).await;
    }
    let (claimant, target) = match (claimant::read(&params), target(&params)) {
        (Ok(claimant), Ok(target)) => (claimant, target),
        (Err(bad), _) | (_, Err(bad)) => return bad_request(&bad.to_string()),
    };
    let known = house.known(Class::Keys, call.moment).await;
    let held = known.view.as_ref().map_or(Held::Unknown, |view| look_up(view, &claimant));
    match &held {
        Held::User(body) if known.fresh() => return headers::local(said(body), known.age),
        Held::Nobody if known.fresh() && known.may_deny() => return headers::local(said(&answer::discover(None)), known.age),
        _ => {}
    }
    let question = Question { kind: Kind::Discover, target, body: None };
    match house.asking.ask(question, Sort::Other, call.moment).await {
        Told::Decided(decided) => headers::forwarded(Reply::json(decided.status, decided.body)),
        Told::Failed(outage) => match held {
            Held::User(body) => headers::degraded(headers::local(said(&body), known.age)),
            Held::Nobody if known.may_deny() => headers::degraded(headers::local(said(&answer::discover(None)), known.age)),
            Held::Nobody | Held::Unknown => outage.of_a_question(),
        },
    }
}

/// What the directory says.
enum Held {
    /// The body of a user.
    User(String),
    /// There is none.
    Nobody,
    /// There is no directory to look in, or it could not be read.
    Unknown,
}

fn look_up(view: &View, claimant: &Claimant) -> Held {
    match user(view, claimant) {
        Ok(Some(user)) => Held::User(answer::discover(Some(&user))),
        Ok(None) => Held::Nobody,
        Err(fault) => {
            tracing::error!(reason = %fault, "a user could not be looked up; asking the primary");
            Held::Unknown
        }
    }
}

fn user(view: &View, claimant: &Claimant) -> Result<Option<Arc<User>>, Fault> {
    Ok(match actor::identify(&*view.directory, claimant)? {
        Actor::User(user, _) | Actor::DeployKey(_, Some(user)) => Some(user),
        Actor::Nobody | Actor::Orphan(_) | Actor::DeployKey(_, None) => None,
    })
}

/// The question as we write it: the one parameter that counts.
fn target(params: &Params) -> Result<String, crate::wire::params::BadParams> {
    for name in NAMES {
        if let Some(value) = params.text(name)? {
            return Ok(format!("/api/v4/internal/discover?{}", encode([(name, value.as_str())])));
        }
    }
    Ok("/api/v4/internal/discover".to_owned())
}

fn said(body: &str) -> Reply {
    Reply::json(StatusCode::OK, body.to_owned())
}
