//! `POST internal/personal_access_token`: a new token for who comes by a key of their own, or for the person of a `user_id`, as
//! sessions with a certificate have none but that. (server.md 2.7; client.md 2.9)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::model::day::Day;
use crate::model::directory::Directory as _;
use crate::model::record::{Settings, User};
use crate::model::text::Text;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::callers::requester::{self, Requester, failure_response, find_requester};
use crate::primary::credentials::access_tokens::{MAX_TOKENS_PER_USER, NewToken, TokenCreation, create_token};
use crate::primary::credentials::token_scope::TokenScope;
use crate::primary::state::PrimaryState;
use crate::rules::{account, key_rules};
use crate::wire::http::date_param;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The longest name of a token, in characters.
const MAX_NAME_CHARS: usize = 255;

/// Answers with the token, which is shown this once. A key that `allowed` refuses gets none.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (user, key) = match find_requester(state, &request)? {
        Requester::KeyOwner(user, key) => (user, Some(key)),
        Requester::User(user) => (user, None),
        Requester::DeployKey => return failure_response("Deploy keys cannot be used to create personal access tokens"),
        Requester::NotFound(text) => return failure_response(text),
    };
    let settings = state.store.directory().settings()?;
    if let Some(reason) = key.as_ref().and_then(|key| key_rules::key_refusal(key, &settings, request.time.wall)) {
        return failure_response(&reason.message());
    }
    let wanted = match parse_request(&request.params, &user, &settings, request.time.wall) {
        Ok(wanted) => wanted,
        Err(TokenRequestError(text)) => return failure_response(&text),
    };
    let (scopes, expires_at) = (wanted.scopes.clone(), wanted.expires_at);
    let (store, now, id) = (state.store.clone(), request.time.wall, user.id);
    let create = move || create_token(&store, wanted, now, |directory| requester::is_still_entitled(directory, &user, key.as_deref(), now));
    let token = match run_blocking(create).await? {
        TokenCreation::Created(token) => token,
        TokenCreation::TooMany => return failure_response(&format!("Failed to create token: There are {MAX_TOKENS_PER_USER} already")),
        TokenCreation::NotEntitled => return failure_response("Failed to create token: Not permitted to create"),
    };
    tracing::info!(user = %id, "created a personal access token for user {id}");
    let body = json!({"success": true, "token": token, "scopes": scopes, "expires_at": expires_at});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Why no token is created.
#[derive(Debug, PartialEq, Eq)]
struct TokenRequestError(String);

impl From<ParamsError> for TokenRequestError {
    fn from(bad: ParamsError) -> Self {
        Self(bad.to_string())
    }
}

fn parse_request(params: &Params, user: &User, settings: &Settings, now: Time) -> Result<NewToken, TokenRequestError> {
    let name = params.text("name")?.filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| TokenRequestError("No token name specified".to_owned()))?;
    let scopes = parse_scopes(params)?;
    let expires_at = parse_expiry(params, settings, now)?;
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(TokenRequestError(format!("Failed to create token: Name is too long (maximum is {MAX_NAME_CHARS} characters)")));
    }
    let name = Text::try_from(name).map_err(|error| TokenRequestError(format!("Failed to create token: Name is {error}")))?;
    if account::account_refusal(user, settings, now).is_some() {
        return Err(TokenRequestError("Failed to create token: Not permitted to create".to_owned()));
    }
    Ok(NewToken { user_id: user.id, name, scopes, expires_at })
}

/// Returns the scopes, each once. One alone may come as plain text.
fn parse_scopes(params: &Params) -> Result<Vec<TokenScope>, TokenRequestError> {
    let words = match params.text("scopes") {
        Ok(Some(word)) => vec![word],
        Ok(None) => Vec::new(),
        Err(_) => params.texts("scopes")?.unwrap_or_default(),
    };
    if words.iter().all(|word| word.trim().is_empty()) {
        return Err(TokenRequestError("No token scopes specified".to_owned()));
    }
    let mut scopes = Vec::new();
    for word in words {
        let Some(scope) = TokenScope::parse(&word) else {
            let valid = TokenScope::ALL.map(|scope| format!("\"{}\"", scope.as_str())).join(", ");
            return Err(TokenRequestError(format!("Invalid scope: '{word}'. Valid scopes are: [{valid}]")));
        };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// Returns the requested day; without one as many days as the settings say, of which 0 means no expiry.
fn parse_expiry(params: &Params, settings: &Settings, now: Time) -> Result<Option<Day>, TokenRequestError> {
    let Some(asked) = params.text("expires_at")?.filter(|asked| !asked.trim().is_empty()) else {
        let lifetime = settings.token_lifetime_days;
        return Ok((lifetime > 0).then(|| Day::from_time(now).plus(lifetime)));
    };
    match date_param::parse_date(asked.trim()) {
        Some(date) if Day::from(date) <= Day::from_time(now) => {
            Err(TokenRequestError("Failed to create token: Expiration date is in the past".to_owned()))
        }
        Some(date) => Ok(Some(date.into())),
        None => Err(TokenRequestError(format!("Invalid token expiry date: '{asked}'"))),
    }
}
