//! Passing a request on: written anew from parsed parts, streamed both ways, sent once.
//!
//! Signed with a fresh token only if the caller showed one; else it goes with its own credentials. A failed write says whether its fate
//! is known, so that nobody repeats it blindly. (client.md 0.5)

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, Uri};
use serde_json::Value;
use tokio::time::Instant;

use crate::net::budget::Sort;
use crate::net::message::{BodyRefused, Broken, Incoming, Outgoing, Reply};
use crate::sidecar::asking::Link;
use crate::sidecar::body::{Body, Unreadable, bad_request, refused};
use crate::sidecar::gate::{Believed, Call};
use crate::sidecar::headers::{self, FORWARDED};
use crate::sidecar::house::Sidecar;
use crate::sidecar::outage::{Because, Outage};
use crate::wire::credentials::{SHARED_SECRET_PARAMETER, SHELL_HEADER};
use crate::wire::params::Params;

/// A declared body of at most so many bytes is read before a turn to the primary is taken.
const SMALL_BYTES: u64 = 8 << 10;
/// The largest error of the primary that is read to add a `message` to it.
const ERROR_BYTES: usize = 256 << 10;

/// Passes a request on and its answer back.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    if let Err(bad) = read_if_small(house, &mut call).await {
        return refused(&bad.into());
    }
    let link = house.asking.link();
    let (method, believed) = (call.parts.method.clone(), call.believed);
    let _turn = match link.turn(sort(believed), Instant::now() + house.setup.forward_timeout).await {
        Ok(turn) => turn,
        Err(busy) => return failed(&method, &busy),
    };
    let request = match written(house, link, call) {
        Ok(request) => request,
        Err(unwritten) => return unwritten.reply(),
    };
    let passage = Passage { link, method, believed, body: request.body().broken() };
    match link.client.send(request, house.setup.forward_timeout).await {
        Ok(answer) => passage.relay(house, answer).await,
        // Both have a minute, and whose is up first is chance.
        Err(bad) if bad.overran && passage.body.awaited() => refused(&BodyRefused::TooSlow.into()),
        Err(bad) => passage.failed(&bad.reason, bad.reached),
    }
}

/// So that who sends a small body slowly takes nobody's turn meanwhile.
async fn read_if_small(house: &Sidecar, call: &mut Call) -> Result<(), BodyRefused> {
    call.body = match call.take_body() {
        Body::Unread(body) if body.declared().is_some_and(|length| length <= SMALL_BYTES) => {
            let bounds = &house.setup.bounds;
            Body::Unread(Incoming::of(body.read_within(bounds.passed_body_bytes, bounds.body_time, &mut call.room).await?))
        }
        body => body,
    };
    Ok(())
}

/// Whoever can open the socket can have something passed on unsigned.
const fn sort(believed: Believed) -> Sort {
    match believed {
        Believed::Token => Sort::Other,
        Believed::Keys | Believed::Unsigned => Sort::Unsigned,
    }
}

/// Why a request is not passed on.
enum Unwritten {
    Unreadable(Unreadable),
    Text(&'static str),
}

impl Unwritten {
    fn reply(self) -> Reply {
        match self {
            Self::Unreadable(bad) => refused(&bad),
            Self::Text(text) => bad_request(text),
        }
    }
}

fn failed(method: &Method, outage: &Outage) -> Reply {
    if matches!(*method, Method::GET | Method::HEAD) { outage.of_a_question() } else { outage.of_a_write() }
}

fn written(house: &Sidecar, link: &Link, mut call: Call) -> Result<Request<Outgoing>, Unwritten> {
    let mut kept = headers::end_to_end(&call.parts.headers);
    kept.insert(FORWARDED, HeaderValue::from_static("1"));
    if call.believed == Believed::Token {
        let token =
            HeaderValue::from_str(&link.signer.mint(call.moment.wall)).map_err(|_| Unwritten::Text("the token cannot be written"))?;
        kept.insert(SHELL_HEADER, token);
    }
    let (body, replaced) = body(house, &mut call)?;
    if replaced {
        kept.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let uri: Uri = target(&call).parse().map_err(|_| Unwritten::Text("the request's target cannot be sent on"))?;
    let mut request = Request::new(body);
    *request.method_mut() = call.parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = kept;
    Ok(request)
}

/// The body as it arrives; or, where it has been read for a secret in it, the same parameters without that secret, as JSON.
fn body(house: &Sidecar, call: &mut Call) -> Result<(Outgoing, bool), Unwritten> {
    let bounds = &house.setup.bounds;
    match call.take_body() {
        Body::Unread(body) => {
            if body.declared().is_some_and(|length| length > bounds.passed_body_bytes as u64) {
                let bound = BodyRefused::TooLarge(bounds.passed_body_bytes);
                return Err(Unwritten::Unreadable(bound.into()));
            }
            Ok((Outgoing::pass(body, bounds.passed_body_bytes, bounds.body_time), false))
        }
        Body::Read(bytes) if bytes.is_empty() => Ok((Outgoing::of(bytes), false)),
        Body::Read(bytes) => {
            let content_type = call.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let params = Params::read(&call.parts.method, None, content_type, &bytes).map_err(|bad| Unwritten::Unreadable(bad.into()))?;
            let mut values = params.values;
            if values.remove(SHARED_SECRET_PARAMETER).is_none() {
                return Ok((Outgoing::of(bytes), false));
            }
            Ok((Outgoing::of(Value::Object(values).to_string()), true))
        }
    }
}

/// The checked path, and the query without a shared secret in it.
fn target(call: &Call) -> String {
    let path = call.target.path();
    let Some(query) = call.target.query() else { return path.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !names_the_secret(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn names_the_secret(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| name == SHARED_SECRET_PARAMETER)
}

/// A request on its way, by which its answer is judged.
struct Passage<'a> {
    link: &'a Link,
    method: Method,
    believed: Believed,
    body: Broken,
}

impl Passage<'_> {
    /// What may be relayed: successes, and refusals in JSON, with a `message` where there is none; and refusals that have no body because
    /// nobody asked for one. Everything else is answered as a failure; but who refuses in whole is alive.
    async fn relay(&self, house: &Sidecar, answer: Response<Incoming>) -> Reply {
        let (head, body) = answer.into_parts();
        let kept = headers::relayed(&head.headers);
        let why = format!("status {} is no answer to this request", head.status.as_u16());
        if head.status.is_success() || (head.status.is_client_error() && self.method == Method::HEAD) {
            let body = Outgoing::pass(body, house.setup.bounds.passed_body_bytes, house.setup.forward_timeout);
            return self.answered(Reply { status: head.status, headers: kept, body });
        }
        if !head.status.is_client_error() {
            return self.failed(&why, true);
        }
        match body.read(ERROR_BYTES, house.setup.timeout).await.map(|bytes| with_message(&bytes)) {
            Ok(Some(text)) => self.answered(Reply::json(head.status, text)),
            Ok(None) => self.unanswered(&why, true),
            Err(bad) => self.failed(&format!("status {}, and {bad}", head.status.as_u16()), true),
        }
    }

    fn answered(&self, reply: Reply) -> Reply {
        if self.counts() {
            self.link.succeeded();
        }
        headers::forwarded(reply)
    }

    /// The primary failed.
    fn failed(&self, why: &str, reached: bool) -> Reply {
        if self.counts() && self.body.by().is_none() {
            self.link.failed(why, "forward");
        }
        self.unanswered(why, reached)
    }

    /// What is said where there is no answer. If the caller's body did not come to its end, that is the caller's doing: it is refused, and
    /// did nothing.
    fn unanswered(&self, why: &str, reached: bool) -> Reply {
        match self.body.by() {
            Some(refusal) => refused(&refusal.into()),
            None => failed(&self.method, &self.link.outage(why, reached, Because::Primary)),
        }
    }

    /// Whether its fate says how the primary is. What comes of a request that nobody vouches for may be the caller's choice, and must not
    /// decide what others are answered.
    fn counts(&self) -> bool {
        self.believed == Believed::Token
    }
}

/// A JSON error with a `message`; gitlab-shell shows nothing without one. (client.md 1.10)
fn with_message(bytes: &[u8]) -> Option<String> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let object = value.as_object_mut()?;
    if !object.contains_key("message") {
        let text = object.get("error").and_then(Value::as_str).unwrap_or("The request was refused.").to_owned();
        object.insert("message".to_owned(), Value::String(text));
    }
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::{names_the_secret, with_message};

    #[test]
    fn a_refusal_always_has_a_message() {
        assert_eq!(with_message(br#"{"error":"x is missing"}"#).as_deref(), Some(r#"{"error":"x is missing","message":"x is missing"}"#));
        assert_eq!(with_message(br#"{"message":{"a":["b"]}}"#).as_deref(), Some(r#"{"message":{"a":["b"]}}"#));
        assert_eq!(with_message(b"<html>"), None);
        assert_eq!(with_message(b"[]"), None);
    }

    #[test]
    fn the_shared_secret_is_known_however_its_name_is_encoded() {
        for pair in ["secret_token=x", "secret%5Ftoken=x", "%73ecret_token"] {
            assert!(names_the_secret(pair), "{pair}");
        }
        assert!(!names_the_secret("secret_tokens=x"));
    }
}
