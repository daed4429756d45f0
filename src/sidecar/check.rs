//! `check`: does the application work, and which versions? The last ones known are said while it does not. (server.md 2.5)

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde_json::Value;

use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::sidecar::asking::{Question, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::Kind;
use crate::sidecar::gate::Call;
use crate::sidecar::headers;
use crate::sidecar::house::{Moment, Sidecar};
use crate::sidecar::known::Age;
use crate::wire::answer;
use crate::wire::credentials::SHARED_SECRET_PARAMETER;

/// The versions that the primary said last.
#[derive(Default)]
pub(in crate::sidecar) struct Versions(ArcSwapOption<Said>);

struct Said {
    version: String,
    revision: String,
    at: Moment,
}

/// Answers `GET internal/check`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.unknown(&[SHARED_SECRET_PARAMETER]) {
        return bad_request(&format!("the parameter `{unread}` is not understood here"));
    }
    let question = Question { kind: Kind::Check, target: "/api/v4/internal/check".to_owned(), body: None };
    match house.asking.ask(question, Sort::Other, call.moment).await {
        Told::Decided(decided) => {
            house.versions.keep(&decided.body, call.moment);
            headers::forwarded(Reply::json(decided.status, decided.body))
        }
        Told::Failed(outage) => house.versions.last(call.moment).unwrap_or_else(|| outage.of_a_question()),
    }
}

impl Versions {
    fn keep(&self, body: &[u8], at: Moment) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let revision = if value["gitlab_rev"].is_string() { text("gitlab_rev") } else { text("gitlab_revision") };
        self.0.store(Some(Arc::new(Said { version: text("gitlab_version"), revision, at })));
    }

    fn last(&self, now: Moment) -> Option<Reply> {
        let said = self.0.load_full()?;
        let body = answer::check(&said.version, &said.revision, true);
        let age = Age(Some(now.boot.since(said.at.boot)));
        Some(headers::degraded(headers::cached(Reply::json(StatusCode::OK, body.to_string()), age)))
    }

    /// Forgets them.
    pub fn forget(&self) {
        self.0.store(None);
    }
}
