//! Who shows a token in `PRIVATE-TOKEN` (or `TOKEN`, as the base document's examples have it): the operator's token of the
//! subscription endpoints, or a person's own. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::credentials::scope::Scope;
use crate::authority::credentials::tokens::{self, Token};
use crate::authority::refusal::Refusal;
use crate::model::directory::Directory as _;
use crate::model::record::User;
use crate::model::time::Time;
use crate::rules::account;

/// The headers that a token is shown in.
const HEADERS: [&str; 2] = ["private-token", "token"];

/// Who holds the token.
#[derive(Clone, Debug)]
pub enum Holder {
    /// Whoever was given the operator's token.
    Admin,
    /// A person who may be let in, by a token that is good.
    User(Arc<User>, Token),
}

/// Identifies who calls. 401 for no token, two of them, one that is unknown or over, and one of a person who is not let in; then the
/// refusal of a request that could not be read.
pub async fn identify(house: &Arc<Authority>, call: &Call) -> Result<Holder, Refusal> {
    let holder = by_token(house, call).await?;
    call.whole().map(|()| holder)
}

/// As [`identify`], and lets administrators pass: 403 for others, whatever they sent.
pub async fn administrator(house: &Arc<Authority>, call: &Call) -> Result<(), Refusal> {
    by_token(house, call).await?.administers()?;
    call.whole()
}

async fn by_token(house: &Arc<Authority>, call: &Call) -> Result<Holder, Refusal> {
    let Some(shown) = shown(call) else { return Err(turned_away(house, "no token")) };
    if house.admin_token.secrets().is_some_and(|secrets| secrets.same(shown.as_bytes(), call.now)) {
        return Ok(Holder::Admin);
    }
    let (own, now) = (Arc::clone(house), call.now);
    let found = blocking(move || person(&own, &shown, now)).await?;
    found.map(|(user, token)| Holder::User(user, token)).ok_or_else(|| turned_away(house, "bad token"))
}

impl Holder {
    /// Lets administrators pass whose token is for everything.
    fn administers(&self) -> Result<(), Refusal> {
        self.is_for(&[Scope::Api])?;
        match self {
            Self::User(user, _) if !user.admin => Err(Refusal::new(StatusCode::FORBIDDEN, "403 Forbidden")),
            Self::Admin | Self::User(..) => Ok(()),
        }
    }

    /// Lets those pass whose token is for one of these.
    pub fn is_for(&self, scopes: &[Scope]) -> Result<(), Refusal> {
        match self {
            Self::User(_, token) if !token.is_for(scopes) => {
                let text = "The request requires higher privileges than provided by the access token.";
                let wanted: Vec<_> = scopes.iter().map(|scope| scope.word()).collect();
                let body = json!({"error": "insufficient_scope", "error_description": text, "scope": wanted.join(" "), "message": text});
                Err(Refusal::shaped(StatusCode::FORBIDDEN, text, body))
            }
            Self::Admin | Self::User(..) => Ok(()),
        }
    }
}

fn shown(call: &Call) -> Option<String> {
    let mut values = HEADERS.iter().flat_map(|name| call.headers.get_all(*name));
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned),
        _ => None,
    }
}

fn person(house: &Authority, shown: &str, now: Time) -> Result<Option<(Arc<User>, Token)>, Refusal> {
    let ledger = house.store.ledger();
    let Some(token) = tokens::find(ledger, shown)?.filter(|token| token.active(now)) else { return Ok(None) };
    let directory = house.store.directory();
    let settings = directory.settings()?;
    let Some(user) = directory.user(token.user_id)?.filter(|user| account::refused(user, &settings, now).is_none()) else {
        return Ok(None);
    };
    Ok(tokens::note_use(ledger, shown, now)?.map(|token| (user, token)))
}

fn turned_away(house: &Authority, reason: &'static str) -> Refusal {
    house.counters.refused(reason);
    Refusal::unauthorized()
}
