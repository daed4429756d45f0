//! `lfs_authenticate`: a token for LFS. Always the primary's; kept for a while, and given again only if the rules still say yes to the
//! same actor, unchanged, in the same repository. (server.md 2.2, 4)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::Value;

use crate::model::freshness::Class;
use crate::model::question::LfsQuestion;
use crate::model::verdict::{Actor, FoundBy, Verdict};
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
pub(in crate::sidecar) struct KeptTokens {
    tokens: Cache<LfsQuestion, Arc<Token>>,
    /// How often all of them were forgotten.
    forgotten: AtomicU64,
}

struct Token {
    body: serde_json::Map<String, Value>,
    holder: Holder,
    lifetime: Duration,
    at: Moment,
}

/// Whose a token is, and of what: the words of a question may name somebody else a moment later.
#[derive(Clone, PartialEq, Eq)]
struct Holder {
    actor: Actor,
    repository: String,
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
    let holder = holder(house, &asked, call.moment).await;
    if let Some(reply) = again(house, &asked, holder.as_ref(), call.moment) {
        return reply;
    }
    let question = asking::Question {
        kind: Kind::LfsAuthenticate,
        target: "/api/v4/internal/lfs_authenticate".to_owned(),
        body: Some(without_secret(params)),
    };
    let forgotten = house.tokens.forgotten();
    match house.asking.ask(question, Sort::Other, call.moment).await {
        Told::Decided(decided) => {
            if decided.sense == Sense::Yes
                && let Some(holder) = unchanged(house, &asked, holder, call.moment).await
                && forgotten == house.tokens.forgotten()
            {
                house.tokens.keep(asked, holder, &decided.body, call.moment);
            }
            headers::forwarded(Reply::json(decided.status, decided.body))
        }
        Told::Failed(outage) => outage.of_a_question(),
    }
}

/// A kept token, until half of its life is over, if it is this holder's. What is not given again is forgotten.
fn again(house: &Sidecar, asked: &LfsQuestion, holder: Option<&Holder>, moment: Moment) -> Option<Reply> {
    let token = house.tokens.tokens.get(asked)?;
    let age = moment.boot.since(token.at.boot);
    if age >= token.lifetime / 2 || holder != Some(&token.holder) {
        house.tokens.tokens.remove(asked);
        return None;
    }
    let mut body = token.body.clone();
    body.insert("expires_in".to_owned(), (token.lifetime - age).as_secs().into());
    Some(headers::cached(Reply::json(http::StatusCode::OK, Value::Object(body).to_string()), Age(Some(age))))
}

/// Who would hold a token, if the rules say yes at this moment to a person or a deploy key. Nobody in particular holds none.
async fn holder(house: &Sidecar, asked: &LfsQuestion, moment: Moment) -> Option<Holder> {
    let known = house.known(Class::Reads, moment).await;
    let view = known.deciding().filter(|_| known.fresh())?;
    let judged = rules::allowed::decide(&*view.directory, &asked.as_allowed(), moment.wall).ok()?;
    let Verdict::Granted(grant) = judged.verdict else { return None };
    let is_somebody = matches!(grant.actor, Actor::User(..) | Actor::DeployKey(..));
    (is_somebody && judged.found == FoundBy::Itself).then(|| Holder { repository: grant.repository.word(), actor: grant.actor })
}

/// The holder from before the primary was asked, if nothing that it rests on has changed meanwhile.
async fn unchanged(house: &Sidecar, asked: &LfsQuestion, before: Option<Holder>, moment: Moment) -> Option<Holder> {
    let before = before?;
    (holder(house, asked, moment).await? == before).then_some(before)
}

impl Default for KeptTokens {
    fn default() -> Self {
        Self { tokens: Cache::new(TOKENS), forgotten: AtomicU64::new(0) }
    }
}

impl KeptTokens {
    fn keep(&self, asked: LfsQuestion, holder: Holder, body: &[u8], at: Moment) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return };
        let Some(seconds) = body.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 1) else { return };
        self.tokens.insert(asked, Arc::new(Token { body, holder, lifetime: Duration::from_secs(seconds), at }));
    }

    fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Forgets all of them, and those that are being asked for.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.tokens.clear();
    }
}

fn without_secret(params: Params) -> String {
    let mut values = params.values;
    values.remove(SHARED_SECRET_PARAMETER);
    Value::Object(values).to_string()
}
