//! `POST internal/personal_access_token`: a new token for who comes by a key of their own, or for the person of a `user_id`, as
//! sessions with a certificate have none but that. (server.md 2.7; client.md 2.9)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::claimed::{Claimed, claimed, failed};
use crate::authority::credentials::scope::Scope;
use crate::authority::credentials::tokens::{TOKENS, Wanted, make};
use crate::authority::refusal::Answered;
use crate::model::day::Day;
use crate::model::directory::Directory as _;
use crate::model::record::{Settings, User};
use crate::model::text::Text;
use crate::model::time::Time;
use crate::net::message::Reply;
use crate::rules::{account, key_rules};
use crate::wire::date;
use crate::wire::params::{BadParams, Params};

/// Most characters of a token's name.
const NAME_LENGTH: usize = 255;

/// Answers with the token, which is shown this once. A key that `allowed` refuses gets none.
pub async fn personal_access_token(house: &Arc<Authority>, call: Call) -> Answered {
    let (user, key) = match claimed(house, &call)? {
        Claimed::ByKey(user, key) => (user, Some(key)),
        Claimed::ById(user) => (user, None),
        Claimed::DeployKey => return failed("Deploy keys cannot be used to create personal access tokens"),
        Claimed::Nobody(text) => return failed(text),
    };
    let settings = house.store.directory().settings()?;
    if let Some(reason) = key.and_then(|key| key_rules::refused(&key, &settings, call.now)) {
        return failed(&reason.text());
    }
    let wanted = match read(&call.params, &user, &settings, call.now) {
        Ok(wanted) => wanted,
        Err(Unwanted(text)) => return failed(&text),
    };
    let (scopes, expires_at) = (wanted.scopes.clone(), wanted.expires_at);
    let (ledger, now) = (house.store.ledger().clone(), call.now);
    let Some(token) = blocking(move || make(&ledger, wanted, now)).await? else {
        return failed(&format!("Failed to create token: There are {TOKENS} already"));
    };
    tracing::info!(user = %user.id, "a personal access token was given");
    let body = json!({"success": true, "token": token, "scopes": scopes, "expires_at": expires_at});
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}

/// Why no token is made.
#[derive(Debug, PartialEq, Eq)]
struct Unwanted(String);

impl From<BadParams> for Unwanted {
    fn from(bad: BadParams) -> Self {
        Self(bad.to_string())
    }
}

fn read(params: &Params, user: &User, settings: &Settings, now: Time) -> Result<Wanted, Unwanted> {
    let name = params.text("name")?.filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| Unwanted("No token name specified".to_owned()))?;
    let scopes = scopes(params)?;
    let expires_at = expires_at(params, settings, now)?;
    if name.chars().count() > NAME_LENGTH {
        return Err(Unwanted(format!("Failed to create token: Name is too long (maximum is {NAME_LENGTH} characters)")));
    }
    let name = Text::try_from(name).map_err(|error| Unwanted(format!("Failed to create token: Name is {error}")))?;
    if account::refused(user, settings, now).is_some() {
        return Err(Unwanted("Failed to create token: Not permitted to create".to_owned()));
    }
    Ok(Wanted { user_id: user.id, name, scopes, expires_at })
}

/// The scopes, each once. One alone may come as plain text.
fn scopes(params: &Params) -> Result<Vec<Scope>, Unwanted> {
    let words = match params.text("scopes") {
        Ok(Some(word)) => vec![word],
        Ok(None) => Vec::new(),
        Err(_) => params.texts("scopes")?.unwrap_or_default(),
    };
    if words.iter().all(|word| word.trim().is_empty()) {
        return Err(Unwanted("No token scopes specified".to_owned()));
    }
    let mut scopes = Vec::new();
    for word in words {
        let Some(scope) = Scope::of(&word) else {
            let valid = Scope::ALL.map(|scope| format!("\"{}\"", scope.word())).join(", ");
            return Err(Unwanted(format!("Invalid scope: '{word}'. Valid scopes are: [{valid}]")));
        };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// The day that was asked for; without one as many days as the settings say, of which 0 is no end at all.
fn expires_at(params: &Params, settings: &Settings, now: Time) -> Result<Option<Day>, Unwanted> {
    let Some(asked) = params.text("expires_at")?.filter(|asked| !asked.trim().is_empty()) else {
        let lifetime = settings.token_lifetime_days;
        return Ok((lifetime > 0).then(|| Day::of(now).plus(lifetime)));
    };
    match date::read(asked.trim()) {
        Some(date) => Ok(Some(date.into())),
        None => Err(Unwanted(format!("Invalid token expiry date: '{asked}'"))),
    }
}
