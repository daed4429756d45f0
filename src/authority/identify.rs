//! Who calls: judged by what the route asks for, before anything else of the request is read.

use http::{HeaderMap, StatusCode};

use crate::authority::authority::Authority;
use crate::authority::call::{Auth, Caller};
use crate::authority::refusal::Refusal;
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::net::scope::Scope;
use crate::wire::credentials::{SHARED_SECRET_PARAMETER, Shown};
use crate::wire::params::Params;
use crate::wire::token::{Disbelieved, Issuer, verify};

/// The header of a request that a sidecar passed on.
pub const FORWARDED: &str = "x-sidegate-forwarded";

/// The header of KAS's token.
const KAS_HEADER: &str = "gitlab-kas-api-request";

/// What the headers and the connection showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Who calls.
    Caller(Caller),
    /// Nothing yet, but the parameter `secret_token` may still show it.
    NothingYet,
}

/// Why somebody is not let in: a word for the log and the metrics, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The word.
    pub reason: &'static str,
    /// The answer.
    pub refusal: Refusal,
}

impl Stranger {
    fn unauthorized(reason: &'static str) -> Self {
        Self { reason, refusal: Refusal::unauthorized() }
    }

    fn forbidden(reason: &'static str, text: &str) -> Self {
        Self { reason, refusal: Refusal::forbidden(text) }
    }
}

/// Judges the connection and the headers.
pub fn by_headers(house: &Authority, auth: Auth, peer: &Peer, headers: &HeaderMap, now: Time) -> Result<Shows, Stranger> {
    match auth {
        Auth::Shell => {
            let shared = house.accept_shared_secret && matches!(peer, Peer::Unix { .. });
            match house.shell.headers(headers, shared, now) {
                Shown::Good => Ok(Shows::Caller(Caller::Shell)),
                Shown::Nothing if shared => Ok(Shows::NothingYet),
                Shown::Nothing => Err(Stranger::unauthorized("no token")),
                Shown::Bad(reason) => Err(Stranger::unauthorized(reason)),
            }
        }
        Auth::Sync => match house.sync.judge(headers, now) {
            Ok(follower) => Ok(Shows::Caller(Caller::Follower(follower))),
            Err(reason) => Err(Stranger::unauthorized(reason)),
        },
        Auth::Kas => kas(house, headers, now)
            .map(|()| Shows::Caller(Caller::Kas))
            .map_err(|reason| Stranger { reason, refusal: Refusal::new(StatusCode::UNAUTHORIZED, "KAS JWT authentication invalid") }),
        Auth::Admin => operator(house, peer, headers).map(|()| Shows::Caller(Caller::Operator)),
        Auth::Metrics if house.scopes.allow(peer, Scope::Metrics) => Ok(Shows::Caller(Caller::Operator)),
        Auth::Metrics => Err(Stranger::forbidden("no metrics", "the metrics are for root and the daemon's own user, on the Unix socket")),
        Auth::Own | Auth::None => Ok(Shows::Caller(Caller::Anyone)),
    }
}

/// Judges the parameter `secret_token`, where nothing else was shown.
pub fn by_parameter(house: &Authority, params: Option<&Params>, now: Time) -> Result<Caller, Stranger> {
    let secret = params.and_then(|params| params.text(SHARED_SECRET_PARAMETER).ok().flatten());
    let Some(secret) = secret else {
        return Err(Stranger::unauthorized("no token"));
    };
    match house.shell.parameter(&secret, now) {
        Shown::Good => Ok(Caller::Shell),
        Shown::Nothing => Err(Stranger::unauthorized("no token")),
        Shown::Bad(reason) => Err(Stranger::unauthorized(reason)),
    }
}

/// Without a secret of KAS's nobody has the right token.
fn kas(house: &Authority, headers: &HeaderMap, now: Time) -> Result<(), &'static str> {
    let secrets = house.kas.secrets().ok_or("no secret of KAS")?;
    let mut shown = headers.get_all(KAS_HEADER).iter();
    let token = match (shown.next(), shown.next()) {
        (Some(token), None) => token.to_str().map_err(|_| Disbelieved::Malformed.word())?,
        (Some(_), Some(_)) => return Err("given twice"),
        (None, _) => return Err("no token"),
    };
    verify(token, Issuer::Kas, &secrets, now).map(|_| ()).map_err(Disbelieved::word)
}

fn operator(house: &Authority, peer: &Peer, headers: &HeaderMap) -> Result<(), Stranger> {
    let Peer::Unix { uid, .. } = peer else {
        return Err(Stranger::forbidden("admin over tcp", "the operator's commands are answered on the Unix socket only"));
    };
    if headers.contains_key(FORWARDED) {
        return Err(Stranger::forbidden("admin forwarded", "the operator's commands are not answered to a request that was passed on"));
    }
    if *uid != 0 && *uid != house.own_uid {
        return Err(Stranger::forbidden(
            "admin of another user",
            "the operator's commands are for root and the daemon's own user; run this with sudo",
        ));
    }
    Ok(())
}
