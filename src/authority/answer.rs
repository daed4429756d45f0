//! The walk of every request: its path, its route, who calls, its body, its parameters, its handler. In this order.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, Uri, header};

use crate::authority::authority::Authority;
use crate::authority::call::{Auth, Call, Caller, Takes};
use crate::authority::identify::{self, Shows, Stranger};
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::routes::{self, Route, Unknown};
use crate::model::clock;
use crate::model::time::Time;
use crate::net::allowance::Share;
use crate::net::message::{Asked, BodyRefused, Incoming, Reply};
use crate::net::peer::Peer;
use crate::net::server::Answer;
use crate::wire::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::params::{BadParams, Params};
use crate::wire::path::Target;

impl Answer for Authority {
    async fn answer(self: &Arc<Self>, asked: Asked) -> Reply {
        let begun = clock::boot();
        let (endpoint, reply) = answer(self, asked).await;
        self.counters.answered(endpoint, reply.status.as_u16(), clock::boot().since(begun));
        reply
    }
}

async fn answer(house: &Arc<Authority>, asked: Asked) -> (&'static str, Reply) {
    let Asked { peer, parts, body } = asked;
    let target = match Target::parse(&as_sent(&parts.uri)) {
        Ok(target) => target,
        Err(bad) => return ("bad path", Refusal::bad(bad).reply()),
    };
    let route = match routes::find(&parts.method, target.segments()) {
        Ok(route) => route,
        Err(unknown) => return ("unknown", refuse_unknown(&unknown)),
    };
    let answered = walk(house, route, target, peer, parts, body).await;
    (route.path, answered.unwrap_or_else(Refusal::reply))
}

async fn walk(house: &Arc<Authority>, route: &Route, target: Target, peer: Peer, parts: Parts, body: Incoming) -> Answered {
    let now = clock::wall();
    let turned_away = |stranger: Stranger| turn_away(house, route, &peer, &parts, stranger, now);
    let shows = identify::by_headers(house, route.auth, &peer, &parts.headers, now).map_err(turned_away)?;
    // Counted until the caller is believed; of one whom the handler judges, until it has answered.
    let mut room = match shows {
        Shows::NothingYet | Shows::Caller(Caller::Anyone) => house.unproven.share(),
        Shows::Caller(_) => Share::of_the_believed(),
    };
    let read = read(house, route.takes, &target, &parts, body, &mut room).await;
    if matches!(read, Err(Unreadable::Body(BodyRefused::NoRoom))) {
        return Err(turned_away(Stranger { reason: "no room", refusal: BodyRefused::NoRoom.into() }));
    }
    let caller = match shows {
        Shows::Caller(caller) => caller,
        Shows::NothingYet => {
            let caller = identify::by_parameter(house, read.as_ref().ok().map(|read| &read.params), now).map_err(turned_away)?;
            room = Share::of_the_believed();
            caller
        }
    };
    let (Read { mut params, body, stream }, unread) = match read {
        Ok(read) => (read, None),
        // Whoever calls is told so first that they may not.
        Err(unreadable) if route.auth == Auth::Own => (Read::default(), Some(Refusal::from(unreadable))),
        Err(unreadable) => return Err(unreadable.into()),
    };
    if caller == Caller::Shell {
        params.values.remove(SHARED_SECRET_PARAMETER);
    }
    let segments = target.segments().to_vec();
    let answered = (route.handler)(house, Call { caller, params, unread, body, stream, peer, headers: parts.headers, segments, now }).await;
    drop(room);
    answered
}

#[derive(Default)]
struct Read {
    params: Params,
    body: Bytes,
    stream: Option<Incoming>,
}

/// Why the body or the parameters are not there.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Body(#[from] BodyRefused),
    #[error(transparent)]
    Params(#[from] BadParams),
}

impl From<Unreadable> for Refusal {
    fn from(bad: Unreadable) -> Self {
        match bad {
            Unreadable::Body(refused) => refused.into(),
            Unreadable::Params(bad) => bad.into(),
        }
    }
}

/// Reads the body under the bound of its route and as far as there is room, and the parameters.
async fn read(
    house: &Authority,
    takes: Takes,
    target: &Target,
    parts: &Parts,
    body: Incoming,
    room: &mut Share,
) -> Result<Read, Unreadable> {
    let bounds = &house.bounds;
    let bound = match takes {
        Takes::Stream => {
            let params = Params::read(&parts.method, target.query(), None, b"")?;
            return Ok(Read { params, body: Bytes::new(), stream: Some(body) });
        }
        Takes::Pushed => bounds.pushed_body_bytes,
        Takes::Parameters | Takes::Bytes => bounds.decoded_body_bytes,
    };
    let body = body.read_within(bound, bounds.body_time, room).await?;
    room.grow_by(|| Params::weight(&body)).map_err(BodyRefused::from)?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = match takes {
        Takes::Bytes => Params::read(&parts.method, target.query(), None, b"")?,
        _ => Params::read(&parts.method, target.query(), content_type, &body)?,
    };
    Ok(Read { params, body, stream: None })
}

/// One line for the log, without the query and without what was shown; and a count.
fn turn_away(house: &Authority, route: &Route, peer: &Peer, parts: &Parts, stranger: Stranger, now: Time) -> Refusal {
    house.counters.refused(stranger.reason);
    if let Some(withheld) = house.quiet.leave(now) {
        let request = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        tracing::warn!(endpoint = route.path, reason = stranger.reason, ?peer, request, withheld, "a request was refused");
    }
    stranger.refusal
}

fn refuse_unknown(unknown: &Unknown) -> Reply {
    match unknown {
        Unknown::Path => {
            let body = r#"{"error":"404 Not Found","message":"404 Not Found"}"#;
            Reply::json(StatusCode::NOT_FOUND, body)
        }
        Unknown::Method(allowed) => {
            let text = format!("405 Method Not Allowed - this path takes {allowed}");
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text).reply().with("allow", allowed)
        }
    }
}

/// The target as it stood in the request line; in absolute form if it came so.
fn as_sent(uri: &Uri) -> String {
    match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        (None, None, Some(origin)) => origin.as_str().to_owned(),
        _ => uri.to_string(),
    }
}
