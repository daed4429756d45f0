//! The gate: what every request passes, in this order: its path, its journey, who asks, what they show. Then the journey answers.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use crate::net::allowance::Share;
use crate::net::message::{Asked, BodyRefused, Incoming, Reply};
use crate::net::peer::Peer;
use crate::net::scope::Scope;
use crate::sidecar::body::{Body, Unreadable, bad_request};
use crate::sidecar::house::{Moment, Sidecar};
use crate::sidecar::journey::{Demand, Journey};
use crate::sidecar::tally::Refused;
use crate::sidecar::{allowed, authorized_certs, authorized_keys, check, discover, explain, forward, lfs_authenticate, operator, probe};
use crate::wire::answer;
use crate::wire::credentials::{SHARED_SECRET_PARAMETER, Shown};
use crate::wire::path::Target;

/// Why a caller may go through: also what the sidecar may sign for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Believed {
    /// They showed a good token or the shared secret: whatever they ask may be signed.
    Token,
    /// Their credentials of the kernel allow questions about keys: only the question that we write ourselves may be signed.
    Keys,
    /// Nothing of theirs is signed.
    Unsigned,
}

/// A request that has passed the gate.
pub(in crate::sidecar) struct Call {
    pub parts: Parts,
    pub target: Target,
    pub body: Body,
    pub believed: Believed,
    /// What its body may take in memory; a share of what all have who are not believed, until the caller is.
    pub room: Share,
    pub moment: Moment,
}

/// Answers one request, and counts it.
pub(in crate::sidecar) async fn pass(house: &Arc<Sidecar>, asked: Asked) -> Reply {
    let moment = Moment::now();
    let (journey, reply) = match walk(house, asked, moment).await {
        Ok((journey, reply)) => (journey, reply),
        Err(refusal) => (refusal.journey, refuse(house, refusal)),
    };
    house.tally.answered(journey, &reply, moment);
    reply
}

async fn walk(house: &Arc<Sidecar>, asked: Asked, moment: Moment) -> Result<(Journey, Reply), Refusal> {
    let Asked { peer, parts, body } = asked;
    let target = checked_path(&parts)?;
    let journey = Journey::of(&parts.method, target.segments());
    let mut call = Call { parts, target, body: Body::Unread(body), believed: Believed::Unsigned, room: house.unproven.share(), moment };
    call.believed = admit(house, journey, &peer, &mut call).await?;
    if call.believed == Believed::Token {
        call.room = Share::of_the_believed();
    }
    Ok((journey, answer(house, journey, call).await))
}

async fn answer(house: &Arc<Sidecar>, journey: Journey, call: Call) -> Reply {
    match journey {
        Journey::AuthorizedKeys => authorized_keys::answer(house, call).await,
        Journey::AuthorizedCerts => authorized_certs::answer(house, call).await,
        Journey::Discover => discover::answer(house, call).await,
        Journey::Check => check::answer(house, call).await,
        Journey::Allowed => allowed::answer(house, call).await,
        Journey::LfsAuthenticate => lfs_authenticate::answer(house, call).await,
        Journey::Signed | Journey::Own => forward::answer(house, call).await,
        Journey::Liveness => probe::liveness(),
        Journey::Readiness => probe::readiness(house, call.moment),
        Journey::Metrics => probe::metrics(house),
        Journey::Status => operator::status(house, call.moment),
        Journey::Explain => explain::answer(house, call).await,
        Journey::Verify => operator::verify(house).await,
        Journey::Invalidate => operator::invalidate(house, call).await,
        Journey::Resync => operator::resync(house),
        Journey::Nowhere => Reply::json(StatusCode::NOT_FOUND, answer::message("404 Not Found")),
    }
}

fn checked_path(parts: &Parts) -> Result<Target, Refusal> {
    let refuse = |text: &str| Refusal { journey: Journey::Nowhere, reason: Refused::Path, text: text.to_owned() };
    let uri = &parts.uri;
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(refuse("the request's path is refused: it is in absolute form"));
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    Target::parse(target).map_err(|bad| refuse(&bad.to_string()))
}

/// Who asks, and what they show: the order of a refusal is scope, then token.
async fn admit(house: &Sidecar, journey: Journey, peer: &Peer, call: &mut Call) -> Result<Believed, Refusal> {
    let scopes = &house.setup.scopes;
    match journey.demand() {
        Demand::Nothing => Ok(Believed::Unsigned),
        Demand::KeysOrToken if scopes.allow(peer, Scope::Keys) => match shown_in_headers(house, call) {
            Shown::Good => Ok(Believed::Token),
            Shown::Nothing => Ok(Believed::Keys),
            Shown::Bad(why) => Err(untrusted(journey, why)),
        },
        Demand::KeysOrToken | Demand::Token if scopes.allow(peer, Scope::Shell) => show(house, journey, call).await,
        Demand::Scope(Scope::Shell) if scopes.allow(peer, Scope::Shell) => match shown_in_headers(house, call) {
            Shown::Good => Ok(Believed::Token),
            Shown::Nothing | Shown::Bad(_) => Ok(Believed::Unsigned),
        },
        Demand::Scope(scope) if scope != Scope::Shell && scopes.allow(peer, scope) => Ok(Believed::Unsigned),
        _ => Err(Refusal { journey, reason: Refused::Peer, text: peer_refused(peer) }),
    }
}

fn shown_in_headers(house: &Sidecar, call: &Call) -> Shown {
    house.setup.callers.headers(&call.parts.headers, house.setup.accept_shared_secret, call.moment.wall)
}

/// The token or the shared secret; the latter may also stand in the parameters, which are read for it as far as there is room for such
/// bodies. Who shows neither is not told what is wrong with the parameters.
async fn show(house: &Sidecar, journey: Journey, call: &mut Call) -> Result<Believed, Refusal> {
    let shown = match shown_in_headers(house, call) {
        Shown::Nothing if house.setup.accept_shared_secret => {
            let limit = call.decoded_limit(house);
            let params = match call.params(limit, house.setup.bounds.body_time).await {
                Err(Unreadable::Body(no_room @ BodyRefused::NoRoom)) => {
                    return Err(Refusal { journey, reason: Refused::Room, text: no_room.to_string() });
                }
                params => params.ok(),
            };
            match params.and_then(|params| params.text(SHARED_SECRET_PARAMETER).ok().flatten()) {
                Some(secret) => house.setup.callers.parameter(&secret, call.moment.wall),
                None => Shown::Nothing,
            }
        }
        shown => shown,
    };
    match shown {
        Shown::Good => Ok(Believed::Token),
        Shown::Nothing => Err(untrusted(journey, "nothing shown")),
        Shown::Bad(why) => Err(untrusted(journey, why)),
    }
}

/// Why a request does not pass.
struct Refusal {
    journey: Journey,
    reason: Refused,
    text: String,
}

fn untrusted(journey: Journey, why: &'static str) -> Refusal {
    Refusal { journey, reason: Refused::Token, text: why.to_owned() }
}

fn peer_refused(peer: &Peer) -> String {
    match peer {
        Peer::Unix { uid, .. } => format!("403 Forbidden - user {uid} may not ask this here; see [[peer]] in the configuration"),
        Peer::Tcp(_) => "403 Forbidden - this is not answered over TCP".to_owned(),
    }
}

fn refuse(house: &Sidecar, refusal: Refusal) -> Reply {
    let Refusal { journey, reason, text } = refusal;
    house.tally.refused(journey, reason, &text);
    match reason {
        Refused::Path => bad_request(&text),
        Refused::Peer => Reply::json(StatusCode::FORBIDDEN, answer::message(&text)),
        Refused::Token => Reply::json(StatusCode::UNAUTHORIZED, answer::message("401 Unauthorized")),
        Refused::Room => Reply::json(StatusCode::SERVICE_UNAVAILABLE, answer::message(&text)),
    }
}

impl Call {
    /// How many bytes of this request's body are decoded.
    pub fn decoded_limit(&self, house: &Sidecar) -> usize {
        let bounds = &house.setup.bounds;
        match self.target.segments() {
            [first, second] if first == "internal" && (second == "allowed" || second == "post_receive") => bounds.pushed_body_bytes,
            _ => bounds.decoded_body_bytes,
        }
    }

    /// Takes the body as it has not been read.
    pub fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Unread(Incoming::empty()))
    }
}
