//! Passing a request on: written anew from parsed parts, streamed both ways, sent once.
//!
//! Of several addresses of a primary the next is tried only if the request has surely not reached the one before: not a byte of it was
//! written.
//! Signed with a fresh token only if the caller showed one; else it goes with its own credentials. One time limit binds waiting for a
//! permit, sending and the response. While the probe fails nothing is sent. A failed write says whether its fate is known, so that nobody
//! repeats it blindly. (client.md 0.5)

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Uri};
use serde_json::Value;
use tokio::time::Instant;

use crate::api::body::{content_type, decode};
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, Caller, RequestBody};
use crate::api::request_id::REQUEST_ID_HEADER;
use crate::api::response_headers::{FORWARDED_HEADER, mark_forwarded};
use crate::model::change::CommitPosition;
use crate::model::freshness::DirectoryRevision;
use crate::net::body::{BodyError, BodyFilter, IncomingBody, OutgoingBody, RelayStatus};
use crate::net::client::request_error::Unanswered;
use crate::net::memory_budget::Reservation;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::addresses::PrimaryAddress;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::channel::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::error::{FailureCause, UpstreamError, WriteKind, access_changed_response};
use crate::sidecar::upstream::headers::{decided_at, forwardable_request_headers, relayable_response_headers};
use crate::wire::auth::credentials::{SHARED_SECRET_PARAMETER, SHELL_TOKEN_HEADER};
use crate::wire::http::request_target::RequestTarget;
use crate::wire::secret_mask::mask::SecretMask;
use crate::wire::secret_mask::name::is_secret_name;

/// A declared body of at most so many bytes is read before a permit to ask the primary is taken.
const SMALL_BODY_BYTES: u64 = 8 << 10;
/// The largest error of the primary that is read to add a `message` to it.
const MAX_ERROR_BODY_BYTES: usize = 256 << 10;
/// The largest answer to a question that is passed on.
const MAX_ANSWER_BODY_BYTES: usize = 1 << 20;
/// The largest answer that is given once all of it is here, so that one that is cut short is said to be, and not a connection that ends:
/// gitlab-shell would send the request again.
const MAX_WHOLE_BODY_BYTES: usize = 64 << 10;

/// What is passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    /// A question about access: its answer must not be older than what binds here.
    Question,
    /// Anything else. What it did at the primary is done, whatever is answered.
    Other,
}

/// Passes a request on and its answer back.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    forward(state, request, RequestKind::Other).await
}

/// Passes a question about access on, which cannot be answered here. Its success is given only if nothing was applied here meanwhile that may
/// take access away; it is not asked again, because it may have changed something.
pub async fn handle_question(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    forward(state, request, RequestKind::Question).await
}

async fn forward(state: &Arc<SidecarState>, mut request: ApiRequest, kind: RequestKind) -> HandlerResult {
    buffer_small_body(state, &mut request).await?;
    // Counted until the answer is there: until then the body may not have been sent to its end.
    let _memory = std::mem::replace(&mut request.reservation, Reservation::unlimited());
    let channel = state.upstream.channel();
    let (failure, signed) = (FailureKind::of(&request), request.caller == Caller::Shell);
    let deadline = Instant::now() + state.config.forward_timeout;
    // Whoever can open the socket can have something passed on unsigned.
    let class = if signed { RequestClass::PassedThrough } else { RequestClass::Unsigned };
    let _permit = match channel.acquire_permit(class, deadline).await {
        Ok(permit) => permit,
        Err(error) => return Ok(failure.respond(&error)),
    };
    let method = request.method.clone();
    let outgoing = build_request(state, channel, request).await?;
    let asked_at = state.upstream.revision();
    let body_status = outgoing.body().relay_status();
    let pending = PendingRequest { channel, method, class, kind, failure, asked_at, deadline, body_status };
    send_on(state, &pending, outgoing).await
}

/// Sends the request to the first address that takes it, and passes its answer back.
async fn send_on(state: &SidecarState, pending: &PendingRequest<'_>, mut outgoing: Request<OutgoingBody>) -> HandlerResult {
    let addresses = &pending.channel.addresses;
    let mut start = 0;
    while let Some((index, address)) = addresses.available_from(start, pending.class) {
        let _under_way = pending.is_signed().then(|| address.health.begin_request());
        let limits = addresses.send_limits(index, pending.class, pending.time_left(), state.config.timeout);
        let Unanswered { error, unsent } = match address.client.send_or_return(outgoing, limits).await {
            Ok(response) => return Ok(pending.relay_response(state, address, response).await),
            Err(unanswered) => unanswered,
        };
        // Both have a minute, and whose is up first is chance.
        if error.timed_out && pending.body_status.is_waiting_for_source() {
            return Err(BodyError::TimedOut.into());
        }
        match unsent {
            Some(unsent) if addresses.available_from(index + 1, pending.class).is_some() => {
                pending.record_failure(address, &error.reason);
                (outgoing, start) = (*unsent, index + 1);
            }
            _ => return Ok(pending.finish_failed(address, &error.reason, error.may_have_reached)),
        }
    }
    Ok(pending.failure.respond(&pending.channel.probe_fails_error()))
}

/// Reads a small body first, so that who sends it slowly takes nobody's permit meanwhile.
async fn buffer_small_body(state: &SidecarState, request: &mut ApiRequest) -> Result<(), BodyError> {
    request.body = match request.take_body() {
        RequestBody::Unread(body) if body.remaining_length().is_some_and(|length| length <= SMALL_BODY_BYTES) => {
            let limits = state.api.limits();
            let bytes = body.read_reserving(limits.passed_body_bytes, limits.body_time, &mut request.reservation).await?;
            RequestBody::Unread(IncomingBody::from_bytes(bytes))
        }
        body => body,
    };
    Ok(())
}

/// What is said where the primary does not answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Question(RequestSubject),
    Write(WriteKind),
}

impl FailureKind {
    fn of(request: &ApiRequest) -> Self {
        let path: Vec<&str> = request.segments().iter().map(String::as_str).collect();
        match (&request.method, path.as_slice()) {
            (&Method::GET | &Method::HEAD, ["internal", "authorized_keys" | "authorized_certs" | "discover"]) => {
                Self::Question(RequestSubject::Login)
            }
            (&Method::GET | &Method::HEAD, _) => Self::Question(RequestSubject::Other),
            (_, ["internal", "post_receive"]) => Self::Write(WriteKind::AfterPush),
            _ => Self::Write(WriteKind::Other),
        }
    }

    fn respond(self, error: &UpstreamError) -> Response {
        match self {
            Self::Question(subject) => error.query_response(subject),
            Self::Write(write) => error.write_response(write),
        }
    }
}

async fn build_request(
    state: &SidecarState,
    channel: &UpstreamChannel,
    mut request: ApiRequest,
) -> Result<Request<OutgoingBody>, ApiError> {
    let mut headers = forwardable_request_headers(&request.headers);
    headers.insert(FORWARDED_HEADER, HeaderValue::from_static("1"));
    headers.insert(REQUEST_ID_HEADER, request.id.value().clone());
    if request.caller == Caller::Shell {
        let token = HeaderValue::from_str(&channel.token_signer.issue_shell_token(request.time.wall));
        headers.insert(SHELL_TOKEN_HEADER, token.map_err(|_| ApiError::bad_request("the token cannot be written"))?);
    }
    let (body, replaced) = build_body(state, &mut request).await?;
    if replaced {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let uri: Uri = build_target(&request.target).parse().map_err(|_| ApiError::bad_request("the request's target cannot be sent on"))?;
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = request.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

/// Returns the body as it arrives; or, where it has been read and has a secret in it, the same parameters without that secret, as JSON.
async fn build_body(state: &SidecarState, request: &mut ApiRequest) -> Result<(OutgoingBody, bool), ApiError> {
    let limits = state.api.limits();
    match request.take_body() {
        RequestBody::Unread(body) => {
            if body.remaining_length().is_some_and(|length| length > limits.passed_body_bytes as u64) {
                return Err(BodyError::TooLarge(limits.passed_body_bytes).into());
            }
            let filter = Box::new(SecretFilter(SecretMask::new(&request.headers)));
            Ok((OutgoingBody::relay_filtered(body, limits.passed_body_bytes, limits.body_time, filter), false))
        }
        RequestBody::Buffered(bytes) if bytes.is_empty() || !request.may_hold_secret => Ok((OutgoingBody::from_bytes(bytes), false)),
        RequestBody::Buffered(bytes) => {
            // What was decoded before goes first, and what is decoded now takes its place: it has been reserved already.
            drop(std::mem::take(&mut request.params));
            let mut reserved = Reservation::unlimited();
            let mut values = decode(&state.api, None, content_type(&request.headers), &bytes, &mut reserved).await?.values;
            if values.remove(SHARED_SECRET_PARAMETER).is_none() {
                return Ok((OutgoingBody::from_bytes(bytes), false));
            }
            Ok((OutgoingBody::from_bytes(Value::Object(values).to_string()), true))
        }
    }
}

/// Lets everything of a body through but the shared secret.
struct SecretFilter(SecretMask);

impl BodyFilter for SecretFilter {
    fn push(&mut self, chunk: Bytes) -> Bytes {
        self.0.push(chunk)
    }

    fn finish(&mut self) -> Bytes {
        self.0.finish()
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

/// Returns the checked path, and the query without a shared secret in it.
fn build_target(target: &RequestTarget) -> String {
    let path = target.path();
    let Some(query) = target.query() else { return path.to_owned() };
    let kept = query.split('&').filter_map(without_shared_secret).collect::<Vec<_>>().join("&");
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{kept}") }
}

/// Returns what is left of a pair; older frameworks also take `;` between pairs.
fn without_shared_secret(pair: &str) -> Option<String> {
    let kept: Vec<&str> = pair.split(';').filter(|pair| !is_shared_secret_pair(pair)).collect();
    (!kept.is_empty()).then(|| kept.join(";"))
}

fn is_shared_secret_pair(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| is_secret_name(&name))
}

/// A request that was sent on, by which its response is judged.
struct PendingRequest<'a> {
    channel: &'a UpstreamChannel,
    method: Method,
    class: RequestClass,
    kind: RequestKind,
    failure: FailureKind,
    /// What bound here when it was sent.
    asked_at: DirectoryRevision,
    /// When all of it has to be over.
    deadline: Instant,
    body_status: RelayStatus,
}

impl PendingRequest<'_> {
    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns whether its outcome says anything of the primary: that of an unsigned request may be the caller's choice.
    fn is_signed(&self) -> bool {
        self.class != RequestClass::Unsigned
    }

    /// Relays successes, and refusals in JSON, with a `message` where there is none, or without a body if they answer a HEAD.
    /// Everything else is answered as a failure of the primary.
    async fn relay_response(&self, state: &SidecarState, address: &PrimaryAddress, response: http::Response<IncomingBody>) -> Response {
        let (head, body) = response.into_parts();
        let headers = relayable_response_headers(&head.headers);
        let reason = format!("status {} is no answer to this request", head.status.as_u16());
        if head.status.is_success() && self.kind == RequestKind::Question {
            let answered = Response { status: head.status, headers, body: OutgoingBody::from_bytes(Bytes::new()) };
            return self.relay_answer(state, address, answered, decided_at(&head.headers), body).await;
        }
        if head.status.is_success() && body.remaining_length().is_some_and(|length| length <= MAX_WHOLE_BODY_BYTES as u64) {
            return match body.read(MAX_WHOLE_BODY_BYTES, self.time_left()).await {
                Ok(bytes) => {
                    self.finish_answered(address, Response { status: head.status, headers, body: OutgoingBody::from_bytes(bytes) })
                }
                Err(error) => self.finish_failed(address, &error.to_string(), true),
            };
        }
        if head.status.is_success() || (head.status.is_client_error() && self.method == Method::HEAD) {
            let body = OutgoingBody::relay(body, state.api.limits().passed_body_bytes, self.time_left());
            return self.finish_answered(address, Response { status: head.status, headers, body });
        }
        if !head.status.is_client_error() {
            return self.finish_failed(address, &reason, true);
        }
        match body.read(MAX_ERROR_BODY_BYTES, self.time_left().min(state.config.timeout)).await.map(|bytes| ensure_message(&bytes)) {
            Ok(Some(text)) => self.finish_answered(address, Response::json(head.status, text)),
            Ok(None) => self.failure_or_body_error(&reason, true),
            Err(error) => self.finish_failed(address, &format!("status {}, and {error}", head.status.as_u16()), true),
        }
    }

    /// Relays the answer to a question, once all of it is here and if it is not older than what binds here then.
    async fn relay_answer(
        &self,
        state: &SidecarState,
        address: &PrimaryAddress,
        head: Response,
        decided_at: Option<CommitPosition>,
        body: IncomingBody,
    ) -> Response {
        match body.read(MAX_ANSWER_BODY_BYTES, self.time_left()).await {
            Ok(bytes) => {
                let response = self.finish_answered(address, Response { body: OutgoingBody::from_bytes(bytes), ..head });
                if state.upstream.is_overtaken(self.asked_at, decided_at, "forward") { access_changed_response() } else { response }
            }
            Err(error) => self.finish_failed(address, &error.to_string(), true),
        }
    }

    fn finish_answered(&self, address: &PrimaryAddress, response: Response) -> Response {
        if self.is_signed() {
            address.health.record_answer();
        }
        mark_forwarded(response)
    }

    fn record_failure(&self, address: &PrimaryAddress, reason: &str) {
        if self.is_signed() && self.body_status.error().is_none() {
            address.health.record_failure(reason, "forward");
        }
    }

    /// Records that the primary failed, and answers so.
    fn finish_failed(&self, address: &PrimaryAddress, reason: &str, may_have_reached: bool) -> Response {
        self.record_failure(address, reason);
        self.failure_or_body_error(reason, may_have_reached)
    }

    /// Answers where the primary did not. If the caller's body did not come to its end, the request is refused, and did nothing.
    fn failure_or_body_error(&self, reason: &str, may_have_reached: bool) -> Response {
        match self.body_status.error() {
            Some(error) => ApiError::from(error).into_response(),
            None => self.failure.respond(&self.channel.upstream_error(reason, may_have_reached, FailureCause::Primary)),
        }
    }
}

/// Returns a JSON error with a `message`, without which gitlab-shell shows nothing. (client.md 1.10)
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
    use super::{ensure_message, is_shared_secret_pair, without_shared_secret};

    #[test]
    fn a_refusal_always_has_a_message() {
        assert_eq!(ensure_message(br#"{"error":"x is missing"}"#).as_deref(), Some(r#"{"error":"x is missing","message":"x is missing"}"#));
        assert_eq!(ensure_message(br#"{"message":{"a":["b"]}}"#).as_deref(), Some(r#"{"message":{"a":["b"]}}"#));
        assert_eq!(ensure_message(b"<html>"), None);
        assert_eq!(ensure_message(b"[]"), None);
    }

    #[test]
    fn the_shared_secret_is_recognised_however_its_name_is_encoded() {
        for pair in ["secret_token=x", "secret%5Ftoken=x", "%73ecret_token", "secret_token[]=x", "secret_token%5Ba%5D=x"] {
            assert!(is_shared_secret_pair(pair), "{pair}");
        }
        assert!(!is_shared_secret_pair("secret_tokens=x"));
        assert_eq!(without_shared_secret("a=1;secret_token=x;b").as_deref(), Some("a=1;b"));
        assert_eq!(without_shared_secret("secret_token=x"), None);
    }
}
