//! Identifies the callers that only the primary has: its operator, its followers, KAS, and who reads its metrics.

use std::any::Any;

use http::{HeaderMap, StatusCode};

use crate::api::context::{ApiContext, ApiState};
use crate::api::error::{ApiError, Rejection};
use crate::api::peer_policy::PeerScope;
use crate::api::request::Caller;
use crate::api::response_headers::FORWARDED_HEADER;
use crate::api::route::RequiredAuth;
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::primary::state::PrimaryState;
use crate::wire::auth::jwt::{Issuer, TokenError, verify_token};

/// The header of KAS's token.
const KAS_TOKEN_HEADER: &str = "gitlab-kas-api-request";

impl ApiState for PrimaryState {
    fn api(&self) -> &ApiContext {
        &self.api
    }

    fn authenticate_own(&self, required: RequiredAuth, peer: &Peer, headers: &HeaderMap, now: Time) -> Result<Caller, Rejection> {
        match required {
            RequiredAuth::Follower => self.follower_auth.authenticate(headers, now).map(Caller::Follower).map_err(Rejection::token),
            RequiredAuth::Kas => authenticate_kas(self, headers, now).map(|()| Caller::Kas).map_err(|reason| Rejection {
                error: ApiError::new(StatusCode::UNAUTHORIZED, "KAS JWT authentication invalid"),
                ..Rejection::token(reason)
            }),
            RequiredAuth::Metrics if self.api.allows(peer, PeerScope::Metrics) => Ok(Caller::Operator),
            RequiredAuth::Metrics => {
                Err(Rejection::forbidden("no metrics", "the metrics are for root and the daemon's own user, on the Unix socket"))
            }
            _ => authenticate_operator(self, peer, headers).map(|()| Caller::Operator),
        }
    }

    /// Only gitlab-shell and hosts ask who gets in.
    fn begin_answer(&self, caller: &Caller) -> Option<Box<dyn Any + Send + Sync>> {
        matches!(caller, Caller::Shell | Caller::KeysScope).then(|| Box::new(self.answers.begin()) as Box<dyn Any + Send + Sync>)
    }
}

/// Checks KAS's token. Without a configured secret no token is accepted.
fn authenticate_kas(state: &PrimaryState, headers: &HeaderMap, now: Time) -> Result<(), &'static str> {
    let secrets = state.kas_secret.secrets().ok_or("no secret of KAS")?;
    let mut values = headers.get_all(KAS_TOKEN_HEADER).iter();
    let token = match (values.next(), values.next()) {
        (Some(token), None) => token.to_str().map_err(|_| TokenError::Malformed.as_str())?,
        (Some(_), Some(_)) => return Err("given twice"),
        (None, _) => return Err("no token"),
    };
    verify_token(token, Issuer::Kas, &secrets, now).map(|_| ()).map_err(TokenError::as_str)
}

/// Lets root and the daemon's own user on the Unix socket pass.
pub(in crate::primary) fn authenticate_operator(state: &PrimaryState, peer: &Peer, headers: &HeaderMap) -> Result<(), Rejection> {
    let Peer::Unix { uid, .. } = peer else {
        return Err(Rejection::forbidden("admin over tcp", "the operator's commands are answered on the Unix socket only"));
    };
    if headers.contains_key(FORWARDED_HEADER) {
        return Err(Rejection::forbidden("admin forwarded", "the operator's commands are not answered to a request that was passed on"));
    }
    if *uid != 0 && *uid != state.own_uid {
        return Err(Rejection::forbidden(
            "admin of another user",
            "the operator's commands are for root and the daemon's own user; run this with sudo",
        ));
    }
    Ok(())
}
