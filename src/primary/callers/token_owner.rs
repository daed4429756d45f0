//! Who sends a token in `PRIVATE-TOKEN` (or `TOKEN`, as the base document's examples have it): the holder of the operator's token for the
//! subscription endpoints, or a user with a personal access token. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::record::User;
use crate::model::time::Time;
use crate::primary::credentials::access_tokens::{self, AccessToken};
use crate::primary::credentials::token_scope::TokenScope;
use crate::primary::state::PrimaryState;
use crate::rules::account;

/// The headers that may hold a token.
const TOKEN_HEADERS: [&str; 2] = ["private-token", "token"];

/// The owner of a token.
#[derive(Clone, Debug)]
pub enum TokenOwner {
    /// The holder of the operator's token.
    Admin,
    /// A user who may log in, with an active token.
    User(Arc<User>, AccessToken),
}

/// Authenticates the caller. Refuses with 401 no token, two tokens, an unknown or expired one, and one of a user who may not log in; then
/// a request that could not be read.
pub async fn authenticate(state: &Arc<PrimaryState>, request: &ApiRequest) -> Result<TokenOwner, ApiError> {
    let owner = find_token_owner(state, request).await?;
    request.ensure_readable().map(|()| owner)
}

/// Authenticates the caller as [`authenticate`] does, and refuses with 403 everybody but administrators, whatever they sent.
pub async fn require_administrator(state: &Arc<PrimaryState>, request: &ApiRequest) -> Result<(), ApiError> {
    find_token_owner(state, request).await?.require_admin()?;
    request.ensure_readable()
}

async fn find_token_owner(state: &Arc<PrimaryState>, request: &ApiRequest) -> Result<TokenOwner, ApiError> {
    let Some(token) = token_header(request) else { return Err(unauthorized(state, "no token")) };
    if state.admin_token.secrets().is_some_and(|secrets| secrets.matches_accepted(token.as_bytes(), request.time.wall)) {
        return Ok(TokenOwner::Admin);
    }
    let (shared, now) = (Arc::clone(state), request.time.wall);
    let found = run_blocking(move || find_user(&shared, &token, now)).await?;
    found.map(|(user, token)| TokenOwner::User(user, token)).ok_or_else(|| unauthorized(state, "bad token"))
}

impl TokenOwner {
    /// Refuses everybody but administrators whose token has the scope `api`.
    fn require_admin(&self) -> Result<(), ApiError> {
        self.require_scope(&[TokenScope::Api])?;
        match self {
            Self::User(user, _) if !user.admin => Err(ApiError::new(StatusCode::FORBIDDEN, "403 Forbidden")),
            Self::Admin | Self::User(..) => Ok(()),
        }
    }

    /// Refuses a token that has none of these scopes.
    pub fn require_scope(&self, scopes: &[TokenScope]) -> Result<(), ApiError> {
        match self {
            Self::User(_, token) if !token.has_scope(scopes) => {
                let text = "The request requires higher privileges than provided by the access token.";
                let wanted: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
                let body = json!({"error": "insufficient_scope", "error_description": text, "scope": wanted.join(" "), "message": text});
                Err(ApiError::with_body(StatusCode::FORBIDDEN, text, body))
            }
            Self::Admin | Self::User(..) => Ok(()),
        }
    }
}

fn token_header(request: &ApiRequest) -> Option<String> {
    let mut values = TOKEN_HEADERS.iter().flat_map(|name| request.headers.get_all(*name));
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned),
        _ => None,
    }
}

fn find_user(state: &PrimaryState, secret: &str, now: Time) -> Result<Option<(Arc<User>, AccessToken)>, ApiError> {
    let private_store = state.store.private_store();
    let Some(token) = access_tokens::find_token(private_store, secret)?.filter(|token| token.is_active(now)) else { return Ok(None) };
    let directory = state.store.directory();
    let settings = directory.settings()?;
    let Some(user) = directory.user(token.user_id)?.filter(|user| account::account_refusal(user, &settings, now).is_none()) else {
        return Ok(None);
    };
    Ok(access_tokens::record_use(private_store, secret, now)?.map(|token| (user, token)))
}

fn unauthorized(state: &PrimaryState, reason: &'static str) -> ApiError {
    state.api.metrics.count_refused_token(reason);
    ApiError::unauthorized()
}
