//! Who shows a token in `PRIVATE-TOKEN` (or `TOKEN`, as the base document's examples have it): the operator's token of the
//! subscription endpoints, or a person's own. (server.md 2.14)

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

/// The headers that a token is shown in.
const TOKEN_HEADERS: [&str; 2] = ["private-token", "token"];

/// Who holds the token.
#[derive(Clone, Debug)]
pub enum TokenOwner {
    /// Whoever was given the operator's token.
    Admin,
    /// A person who may be let in, by a token that is good.
    User(Arc<User>, AccessToken),
}

/// Identifies who calls. 401 for no token, two of them, one that is unknown or over, and one of a person who is not let in; then the
/// refusal of a request that could not be read.
pub async fn authenticate(house: &Arc<PrimaryState>, call: &ApiRequest) -> Result<TokenOwner, ApiError> {
    let holder = find_token_owner(house, call).await?;
    call.ensure_readable().map(|()| holder)
}

/// As [`identify`], and lets administrators pass: 403 for others, whatever they sent.
pub async fn require_administrator(house: &Arc<PrimaryState>, call: &ApiRequest) -> Result<(), ApiError> {
    find_token_owner(house, call).await?.require_admin()?;
    call.ensure_readable()
}

async fn find_token_owner(house: &Arc<PrimaryState>, call: &ApiRequest) -> Result<TokenOwner, ApiError> {
    let Some(shown) = token_header(call) else { return Err(unauthorized(house, "no token")) };
    if house.admin_token.secrets().is_some_and(|secrets| secrets.matches_accepted(shown.as_bytes(), call.now)) {
        return Ok(TokenOwner::Admin);
    }
    let (own, now) = (Arc::clone(house), call.now);
    let found = run_blocking(move || find_user(&own, &shown, now)).await?;
    found.map(|(user, token)| TokenOwner::User(user, token)).ok_or_else(|| unauthorized(house, "bad token"))
}

impl TokenOwner {
    /// Lets administrators pass whose token is for everything.
    fn require_admin(&self) -> Result<(), ApiError> {
        self.require_scope(&[TokenScope::Api])?;
        match self {
            Self::User(user, _) if !user.admin => Err(ApiError::new(StatusCode::FORBIDDEN, "403 Forbidden")),
            Self::Admin | Self::User(..) => Ok(()),
        }
    }

    /// Lets those pass whose token is for one of these.
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

fn token_header(call: &ApiRequest) -> Option<String> {
    let mut values = TOKEN_HEADERS.iter().flat_map(|name| call.headers.get_all(*name));
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned),
        _ => None,
    }
}

fn find_user(house: &PrimaryState, shown: &str, now: Time) -> Result<Option<(Arc<User>, AccessToken)>, ApiError> {
    let ledger = house.store.private_store();
    let Some(token) = access_tokens::find_token(ledger, shown)?.filter(|token| token.is_active(now)) else { return Ok(None) };
    let directory = house.store.directory();
    let settings = directory.settings()?;
    let Some(user) = directory.user(token.user_id)?.filter(|user| account::account_refusal(user, &settings, now).is_none()) else {
        return Ok(None);
    };
    Ok(access_tokens::record_use(ledger, shown, now)?.map(|token| (user, token)))
}

fn unauthorized(house: &PrimaryState, reason: &'static str) -> ApiError {
    house.metrics.refused(reason);
    ApiError::unauthorized()
}
