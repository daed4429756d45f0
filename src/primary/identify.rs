//! Who calls: judged by what the route asks for, before anything else of the request is read.

use http::{HeaderMap, StatusCode};

use crate::api::error::ApiError;
use crate::api::peer_policy::PeerScope;
use crate::api::request::{Caller, RequiredAuth};
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::primary::state::PrimaryState;
use crate::wire::auth::credentials::{CredentialCheck, SHARED_SECRET_PARAMETER};
use crate::wire::auth::jwt::{Issuer, TokenError, verify_token};
use crate::wire::http::params::Params;

/// The header of a request that a sidecar passed on.
pub const FORWARDED_HEADER: &str = "x-sidegate-forwarded";

/// The header of KAS's token.
const KAS_TOKEN_HEADER: &str = "gitlab-kas-api-request";

/// What the headers and the connection showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderAuth {
    /// Who calls.
    Caller(Caller),
    /// Nothing yet, but the parameter `secret_token` may still show it.
    NoCredentials,
}

/// Why somebody is not let in: a word for the log and the metrics, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFailure {
    /// The word.
    pub reason: &'static str,
    /// The answer.
    pub error: ApiError,
}

impl AuthFailure {
    fn unauthorized(reason: &'static str) -> Self {
        Self { reason, error: ApiError::unauthorized() }
    }

    fn forbidden(reason: &'static str, text: &str) -> Self {
        Self { reason, error: ApiError::forbidden(text) }
    }
}

/// Judges the connection and the headers.
pub fn authenticate_headers(
    house: &PrimaryState,
    auth: RequiredAuth,
    peer: &Peer,
    headers: &HeaderMap,
    now: Time,
) -> Result<HeaderAuth, AuthFailure> {
    match auth {
        RequiredAuth::Shell => {
            let shared = house.accept_shared_secret && matches!(peer, Peer::Unix { .. });
            match house.shell_auth.check_headers(headers, shared, now) {
                CredentialCheck::Valid => Ok(HeaderAuth::Caller(Caller::Shell)),
                CredentialCheck::Missing if shared => Ok(HeaderAuth::NoCredentials),
                CredentialCheck::Missing => Err(AuthFailure::unauthorized("no token")),
                CredentialCheck::Invalid(reason) => Err(AuthFailure::unauthorized(reason)),
            }
        }
        RequiredAuth::Follower => match house.follower_auth.authenticate(headers, now) {
            Ok(follower) => Ok(HeaderAuth::Caller(Caller::Follower(follower))),
            Err(reason) => Err(AuthFailure::unauthorized(reason)),
        },
        RequiredAuth::Kas => authenticate_kas(house, headers, now)
            .map(|()| HeaderAuth::Caller(Caller::Kas))
            .map_err(|reason| AuthFailure { reason, error: ApiError::new(StatusCode::UNAUTHORIZED, "KAS JWT authentication invalid") }),
        RequiredAuth::Admin => authenticate_operator(house, peer, headers).map(|()| HeaderAuth::Caller(Caller::Operator)),
        RequiredAuth::Metrics if house.peer_policy.allows(peer, PeerScope::Metrics) => Ok(HeaderAuth::Caller(Caller::Operator)),
        RequiredAuth::Metrics => {
            Err(AuthFailure::forbidden("no metrics", "the metrics are for root and the daemon's own user, on the Unix socket"))
        }
        RequiredAuth::InHandler | RequiredAuth::None => Ok(HeaderAuth::Caller(Caller::Unauthenticated)),
    }
}

/// Judges the parameter `secret_token`, where nothing else was shown.
pub fn authenticate_parameter(house: &PrimaryState, params: Option<&Params>, now: Time) -> Result<Caller, AuthFailure> {
    let secret = params.and_then(|params| params.text(SHARED_SECRET_PARAMETER).ok().flatten());
    let Some(secret) = secret else {
        return Err(AuthFailure::unauthorized("no token"));
    };
    match house.shell_auth.check_parameter(&secret, now) {
        CredentialCheck::Valid => Ok(Caller::Shell),
        CredentialCheck::Missing => Err(AuthFailure::unauthorized("no token")),
        CredentialCheck::Invalid(reason) => Err(AuthFailure::unauthorized(reason)),
    }
}

/// Without a secret of KAS's nobody has the right token.
fn authenticate_kas(house: &PrimaryState, headers: &HeaderMap, now: Time) -> Result<(), &'static str> {
    let secrets = house.kas_secret.secrets().ok_or("no secret of KAS")?;
    let mut shown = headers.get_all(KAS_TOKEN_HEADER).iter();
    let token = match (shown.next(), shown.next()) {
        (Some(token), None) => token.to_str().map_err(|_| TokenError::Malformed.as_str())?,
        (Some(_), Some(_)) => return Err("given twice"),
        (None, _) => return Err("no token"),
    };
    verify_token(token, Issuer::Kas, &secrets, now).map(|_| ()).map_err(TokenError::as_str)
}

fn authenticate_operator(house: &PrimaryState, peer: &Peer, headers: &HeaderMap) -> Result<(), AuthFailure> {
    let Peer::Unix { uid, .. } = peer else {
        return Err(AuthFailure::forbidden("admin over tcp", "the operator's commands are answered on the Unix socket only"));
    };
    if headers.contains_key(FORWARDED_HEADER) {
        return Err(AuthFailure::forbidden("admin forwarded", "the operator's commands are not answered to a request that was passed on"));
    }
    if *uid != 0 && *uid != house.own_uid {
        return Err(AuthFailure::forbidden(
            "admin of another user",
            "the operator's commands are for root and the daemon's own user; run this with sudo",
        ));
    }
    Ok(())
}
