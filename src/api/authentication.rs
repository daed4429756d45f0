//! Who calls: first what the kernel says of the peer, then what the request shows. (server.md 1.1)
//!
//! The shared secret may also stand in the parameter `secret_token`, which is looked for only where the headers show nothing.

use http::HeaderMap;

use crate::api::context::{ApiContext, ApiState};
use crate::api::error::Rejection;
use crate::api::peer_policy::PeerScope;
use crate::api::request::Caller;
use crate::api::route::RequiredAuth;
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::wire::auth::credentials::{CredentialCheck, SHARED_SECRET_PARAMETER};
use crate::wire::http::params::Params;

/// What the connection and the headers show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderAuth {
    /// Who calls.
    Caller(Caller),
    /// Nothing yet, but the parameter `secret_token` may still show it.
    NoCredentials,
}

/// Judges the connection and the headers: a peer that may not ask is refused before its token is looked at.
pub fn authenticate_headers<S: ApiState>(
    state: &S,
    required: RequiredAuth,
    peer: &Peer,
    headers: &HeaderMap,
    now: Time,
) -> Result<HeaderAuth, Rejection> {
    let api = state.api();
    let accepts_secret = api.accept_shared_secret && matches!(peer, Peer::Unix { .. });
    let check = || api.credential_verifier.check_headers(headers, accepts_secret, now);
    let caller = match required {
        RequiredAuth::None | RequiredAuth::InHandler => Caller::Unauthenticated,
        RequiredAuth::KeysScopeOrToken if api.allows(peer, PeerScope::Keys) => match check() {
            CredentialCheck::Valid => Caller::Shell,
            CredentialCheck::Missing => Caller::KeysScope,
            CredentialCheck::Invalid(reason) => return Err(Rejection::token(reason)),
        },
        RequiredAuth::KeysScopeOrToken | RequiredAuth::ShellToken if api.allows(peer, PeerScope::Shell) => match check() {
            CredentialCheck::Valid => Caller::Shell,
            CredentialCheck::Missing if accepts_secret => return Ok(HeaderAuth::NoCredentials),
            CredentialCheck::Missing => return Err(Rejection::token("no token")),
            CredentialCheck::Invalid(reason) => return Err(Rejection::token(reason)),
        },
        RequiredAuth::TokenIfShown if api.allows(peer, PeerScope::Shell) => match check() {
            CredentialCheck::Valid => Caller::Shell,
            CredentialCheck::Missing | CredentialCheck::Invalid(_) => Caller::Unauthenticated,
        },
        RequiredAuth::KeysScopeOrToken | RequiredAuth::ShellToken | RequiredAuth::TokenIfShown => return Err(Rejection::peer(peer)),
        RequiredAuth::Follower | RequiredAuth::Kas | RequiredAuth::Operator | RequiredAuth::Metrics => {
            state.authenticate_own(required, peer, headers, now)?
        }
    };
    Ok(HeaderAuth::Caller(caller))
}

/// Judges the parameter `secret_token`, where the headers show nothing. `None`: the parameters could not be read.
pub fn authenticate_parameter(api: &ApiContext, params: Option<&Params>, now: Time) -> Result<Caller, Rejection> {
    let secret = params.and_then(|params| params.text(SHARED_SECRET_PARAMETER).ok().flatten());
    match secret.map(|secret| api.credential_verifier.check_parameter(&secret, now)) {
        Some(CredentialCheck::Valid) => Ok(Caller::Shell),
        Some(CredentialCheck::Invalid(reason)) => Err(Rejection::token(reason)),
        Some(CredentialCheck::Missing) | None => Err(Rejection::token("no token")),
    }
}
