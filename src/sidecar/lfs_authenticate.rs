//! `lfs_authenticate`: a token for LFS. Always the primary's; kept for a while, and given again only if the rules still say yes.
//! (server.md 2.2, 4)

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::Value;

use crate::model::freshness::Class;
use crate::model::question::LfsQuestion;
use crate::model::verdict::{FoundBy, Verdict};
use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::rules;
use crate::sidecar::asking::{self, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::{Kind, Sense};
use crate::sidecar::gate::Call;
use crate::sidecar::house::{Moment, Sidecar};
use crate::sidecar::known::Age;
use crate::sidecar::{forward, headers};
use crate::wire;
use crate::wire::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::params::Params;

/// How many tokens are kept.
const TOKENS: usize = 4096;

/// Tokens that the primary gave, by who asked for what.
pub(in crate::sidecar) struct KeptTokens(Cache<LfsQuestion, Arc<Token>>);

struct Token {
    body: serde_json::Map<String, Value>,
    lifetime: Duration,
    at: Moment,
}

/// Answers `POST internal/lfs_authenticate`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let asked = match wire::lfs::read(&params) {
        Ok(asked) if asked.unread.is_some() => return forward::answer(house, call).await,
        Ok(asked) => asked,
        Err(bad) => return bad_request(&bad.to_string()),
    };
    if let Some(reply) = again(house, &asked, call.moment).await {
        return reply;
    }
    let question = asking::Question {
        kind: Kind::LfsAuthenticate,
        target: "/api/v4/internal/lfs_authenticate".to_owned(),
        body: Some(without_secret(params)),
    };
    match house.asking.ask(question, Sort::Other, call.moment).await {
        Told::Decided(decided) => {
            if decided.sense == Sense::Yes {
                house.tokens.keep(asked, &decided.body, call.moment);
            } else {
                house.tokens.0.remove(&asked);
            }
            headers::forwarded(Reply::json(decided.status, decided.body))
        }
        Told::Failed(outage) => outage.of_a_question(),
    }
}

/// A kept token, until half of its life is over, if the rules say yes at this moment.
async fn again(house: &Arc<Sidecar>, asked: &LfsQuestion, moment: Moment) -> Option<Reply> {
    let token = house.tokens.0.get(asked)?;
    let age = moment.boot.since(token.at.boot);
    if age >= token.lifetime / 2 || !still_allowed(house, asked, moment).await {
        house.tokens.0.remove(asked);
        return None;
    }
    let mut body = token.body.clone();
    body.insert("expires_in".to_owned(), (token.lifetime - age).as_secs().into());
    Some(headers::cached(Reply::json(http::StatusCode::OK, Value::Object(body).to_string()), Age(Some(age))))
}

async fn still_allowed(house: &Arc<Sidecar>, asked: &LfsQuestion, moment: Moment) -> bool {
    let known = house.known(Class::Reads, moment).await;
    let Some(view) = known.deciding().filter(|_| known.fresh()) else { return false };
    let judged = rules::allowed::decide(&*view.directory, &asked.as_allowed(), moment.wall);
    judged.is_ok_and(|judged| judged.found == FoundBy::Itself && matches!(judged.verdict, Verdict::Granted(_)))
}

impl Default for KeptTokens {
    fn default() -> Self {
        Self(Cache::new(TOKENS))
    }
}

impl KeptTokens {
    fn keep(&self, asked: LfsQuestion, body: &[u8], at: Moment) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return };
        let Some(seconds) = body.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 1) else { return };
        self.0.insert(asked, Arc::new(Token { body, lifetime: Duration::from_secs(seconds), at }));
    }

    /// Forgets all of them.
    pub fn forget(&self) {
        self.0.clear();
    }
}

fn without_secret(params: Params) -> String {
    let mut values = params.values;
    values.remove(SHARED_SECRET_PARAMETER);
    Value::Object(values).to_string()
}
