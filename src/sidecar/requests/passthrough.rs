//! Passing a request on: written anew from parsed parts, streamed both ways, sent once.
//!
//! Signed with a fresh token only if the caller showed one; else it goes with its own credentials. A failed write says whether its fate
//! is known, so that nobody repeats it blindly. (client.md 0.5)

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Uri};
use serde_json::Value;
use tokio::time::Instant;

use crate::net::body::{BodyError, IncomingBody, OutgoingBody, RelayStatus};
use crate::net::message::Response;
use crate::sidecar::body::{BodyState, ReadParamsError, bad_request_response, read_error_response};
use crate::sidecar::gate::{ApiRequest, Authentication};
use crate::sidecar::headers::{self, FORWARDED_HEADER};
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::wire::auth::credentials::{SHARED_SECRET_PARAMETER, SHELL_TOKEN_HEADER};
use crate::wire::http::params::Params;

/// A declared body of at most so many bytes is read before a turn to the primary is taken.
const SMALL_BODY_BYTES: u64 = 8 << 10;
/// The largest error of the primary that is read to add a `message` to it.
const MAX_ERROR_BODY_BYTES: usize = 256 << 10;

/// Passes a request on and its answer back.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    if let Err(bad) = buffer_small_body(house, &mut call).await {
        return read_error_response(&bad.into());
    }
    let link = house.upstream.channel();
    let (method, believed) = (call.parts.method.clone(), call.authentication);
    let _turn = match link.acquire_permit(permit_class(believed), Instant::now() + house.config.forward_timeout).await {
        Ok(turn) => turn,
        Err(busy) => return failure_response(&method, &busy),
    };
    let request = match build_request(house, link, call) {
        Ok(request) => request,
        Err(unwritten) => return unwritten.into_response(),
    };
    let passage = PendingRequest { channel: link, method, authentication: believed, body_status: request.body().relay_status() };
    match link.primary_client.send(request, house.config.forward_timeout).await {
        Ok(answer) => passage.relay_response(house, answer).await,
        // Both have a minute, and whose is up first is chance.
        Err(bad) if bad.timed_out && passage.body_status.is_waiting_for_source() => read_error_response(&BodyError::TimedOut.into()),
        Err(bad) => passage.finish_failed(&bad.reason, bad.may_have_reached),
    }
}

/// So that who sends a small body slowly takes nobody's turn meanwhile.
async fn buffer_small_body(house: &SidecarState, call: &mut ApiRequest) -> Result<(), BodyError> {
    call.body = match call.take_body() {
        BodyState::Streaming(body) if body.remaining_length().is_some_and(|length| length <= SMALL_BODY_BYTES) => {
            let bounds = &house.config.bounds;
            BodyState::Streaming(IncomingBody::from_bytes(
                body.read_reserving(bounds.passed_body_bytes, bounds.body_time, &mut call.body_reservation).await?,
            ))
        }
        body => body,
    };
    Ok(())
}

/// Whoever can open the socket can have something passed on unsigned.
const fn permit_class(believed: Authentication) -> RequestClass {
    match believed {
        Authentication::Token => RequestClass::Other,
        Authentication::KeysScope | Authentication::NoCredentials => RequestClass::Unsigned,
    }
}

/// Why a request is not passed on.
enum BuildError {
    ReadParams(ReadParamsError),
    Message(&'static str),
}

impl BuildError {
    fn into_response(self) -> Response {
        match self {
            Self::ReadParams(bad) => read_error_response(&bad),
            Self::Message(text) => bad_request_response(text),
        }
    }
}

fn failure_response(method: &Method, outage: &UpstreamError) -> Response {
    if matches!(*method, Method::GET | Method::HEAD) { outage.query_response() } else { outage.write_response() }
}

fn build_request(house: &SidecarState, link: &UpstreamChannel, mut call: ApiRequest) -> Result<Request<OutgoingBody>, BuildError> {
    let mut kept = headers::end_to_end_headers(&call.parts.headers);
    kept.insert(FORWARDED_HEADER, HeaderValue::from_static("1"));
    if call.authentication == Authentication::Token {
        let token = HeaderValue::from_str(&link.token_signer.issue_shell_token(call.received_at.wall))
            .map_err(|_| BuildError::Message("the token cannot be written"))?;
        kept.insert(SHELL_TOKEN_HEADER, token);
    }
    let (body, replaced) = build_body(house, &mut call)?;
    if replaced {
        kept.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let uri: Uri = build_target(&call).parse().map_err(|_| BuildError::Message("the request's target cannot be sent on"))?;
    let mut request = Request::new(body);
    *request.method_mut() = call.parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = kept;
    Ok(request)
}

/// The body as it arrives; or, where it has been read for a secret in it, the same parameters without that secret, as JSON.
fn build_body(house: &SidecarState, call: &mut ApiRequest) -> Result<(OutgoingBody, bool), BuildError> {
    let bounds = &house.config.bounds;
    match call.take_body() {
        BodyState::Streaming(body) => {
            if body.remaining_length().is_some_and(|length| length > bounds.passed_body_bytes as u64) {
                let bound = BodyError::TooLarge(bounds.passed_body_bytes);
                return Err(BuildError::ReadParams(bound.into()));
            }
            Ok((OutgoingBody::relay(body, bounds.passed_body_bytes, bounds.body_time), false))
        }
        BodyState::Buffered(bytes) if bytes.is_empty() => Ok((OutgoingBody::from_bytes(bytes), false)),
        BodyState::Buffered(bytes) => {
            let content_type = call.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let params = Params::parse(None, content_type, &bytes).map_err(|bad| BuildError::ReadParams(bad.into()))?;
            let mut values = params.values;
            if values.remove(SHARED_SECRET_PARAMETER).is_none() {
                return Ok((OutgoingBody::from_bytes(bytes), false));
            }
            Ok((OutgoingBody::from_bytes(Value::Object(values).to_string()), true))
        }
    }
}

/// The checked path, and the query without a shared secret in it.
fn build_target(call: &ApiRequest) -> String {
    let path = call.target.path();
    let Some(query) = call.target.query() else { return path.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_shared_secret_pair(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn is_shared_secret_pair(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| name == SHARED_SECRET_PARAMETER)
}

/// A request on its way, by which its answer is judged.
struct PendingRequest<'a> {
    channel: &'a UpstreamChannel,
    method: Method,
    authentication: Authentication,
    body_status: RelayStatus,
}

impl PendingRequest<'_> {
    /// What may be relayed: successes, and refusals in JSON, with a `message` where there is none; and refusals that have no body because
    /// nobody asked for one. Everything else is answered as a failure; but who refuses in whole is alive.
    async fn relay_response(&self, house: &SidecarState, answer: http::Response<IncomingBody>) -> Response {
        let (head, body) = answer.into_parts();
        let kept = headers::relayable_response_headers(&head.headers);
        let why = format!("status {} is no answer to this request", head.status.as_u16());
        if head.status.is_success() || (head.status.is_client_error() && self.method == Method::HEAD) {
            let body = OutgoingBody::relay(body, house.config.bounds.passed_body_bytes, house.config.forward_timeout);
            return self.finish_answered(Response { status: head.status, headers: kept, body });
        }
        if !head.status.is_client_error() {
            return self.finish_failed(&why, true);
        }
        match body.read(MAX_ERROR_BODY_BYTES, house.config.timeout).await.map(|bytes| ensure_message(&bytes)) {
            Ok(Some(text)) => self.finish_answered(Response::json(head.status, text)),
            Ok(None) => self.failure_or_body_error(&why, true),
            Err(bad) => self.finish_failed(&format!("status {}, and {bad}", head.status.as_u16()), true),
        }
    }

    fn finish_answered(&self, reply: Response) -> Response {
        if self.affects_health() {
            self.channel.record_success();
        }
        headers::mark_forwarded(reply)
    }

    /// The primary failed.
    fn finish_failed(&self, why: &str, reached: bool) -> Response {
        if self.affects_health() && self.body_status.error().is_none() {
            self.channel.record_failure(why, "forward");
        }
        self.failure_or_body_error(why, reached)
    }

    /// What is said where there is no answer. If the caller's body did not come to its end, that is the caller's doing: it is refused, and
    /// did nothing.
    fn failure_or_body_error(&self, why: &str, reached: bool) -> Response {
        match self.body_status.error() {
            Some(refusal) => read_error_response(&refusal.into()),
            None => failure_response(&self.method, &self.channel.upstream_error(why, reached, FailureCause::Primary)),
        }
    }

    /// Whether its fate says how the primary is. What comes of a request that nobody vouches for may be the caller's choice, and must not
    /// decide what others are answered.
    fn affects_health(&self) -> bool {
        self.authentication == Authentication::Token
    }
}

/// A JSON error with a `message`; gitlab-shell shows nothing without one. (client.md 1.10)
fn ensure_message(bytes: &[u8]) -> Option<String> {
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
    use super::{ensure_message, is_shared_secret_pair};

    #[test]
    fn a_refusal_always_has_a_message() {
        assert_eq!(ensure_message(br#"{"error":"x is missing"}"#).as_deref(), Some(r#"{"error":"x is missing","message":"x is missing"}"#));
        assert_eq!(ensure_message(br#"{"message":{"a":["b"]}}"#).as_deref(), Some(r#"{"message":{"a":["b"]}}"#));
        assert_eq!(ensure_message(b"<html>"), None);
        assert_eq!(ensure_message(b"[]"), None);
    }

    #[test]
    fn the_shared_secret_is_recognised_however_its_name_is_encoded() {
        for pair in ["secret_token=x", "secret%5Ftoken=x", "%73ecret_token"] {
            assert!(is_shared_secret_pair(pair), "{pair}");
        }
        assert!(!is_shared_secret_pair("secret_tokens=x"));
    }
}
