//! What every request passes, at both daemons, in this order: path, route, peer, credentials, body, handler, count.

use std::sync::Arc;

use http::Uri;
use http::request::Parts;

use crate::api::authentication::{HeaderAuth, authenticate_headers, authenticate_parameter};
use crate::api::body::{ParsedBody, ReadError, read_body};
use crate::api::context::{ApiContext, ApiState};
use crate::api::decision_log::AskedDecision;
use crate::api::error::{ApiError, HandlerResult, Rejection};
use crate::api::operator_log::OperatorAction;
use crate::api::request::{ApiRequest, Caller, RequestTime};
use crate::api::request_id::RequestId;
use crate::api::request_metrics::{Endpoint, RequestMetrics};
use crate::api::route::{BodyKind, RequiredAuth, Route, RouteError, find_route};
use crate::net::body::{BodyError, IncomingBody};
use crate::net::memory_budget::Reservation;
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::http::request_target::{RequestTarget, RequestTargetError};

/// Answers one request by a daemon's table of routes, and counts it.
pub async fn handle<S: ApiState>(state: &Arc<S>, routes: &'static [Route<S>], request: Request) -> Response {
    let time = RequestTime::now();
    let mut under_way = UnderWay { metrics: &state.api().metrics, endpoint: None };
    let (endpoint, response) = route(state, routes, request, time, &mut under_way).await;
    under_way.endpoint = None;
    state.api().metrics.count_response(endpoint, &response, time);
    response
}

/// A request whose handler runs. Dropped before its end it is counted: its caller has hung up.
struct UnderWay<'a> {
    metrics: &'a RequestMetrics,
    endpoint: Option<Endpoint>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint {
            self.metrics.count_abandoned(endpoint);
        }
    }
}

async fn route<S: ApiState>(
    state: &Arc<S>,
    routes: &'static [Route<S>],
    request: Request,
    time: RequestTime,
    under_way: &mut UnderWay<'_>,
) -> (Endpoint, Response) {
    let Request { peer, parts, body } = request;
    let target = match parse_target(&parts.uri) {
        Ok(target) => target,
        Err(error) => {
            let rejection = Rejection::path(&error);
            return (
                Endpoint::BAD_PATH,
                reject(state, Endpoint::BAD_PATH.name, &peer, &RequestId::of(&parts.headers), rejection, time).into_response(),
            );
        }
    };
    match find_route(routes, &parts.method, target.segments()) {
        Ok((index, route)) => {
            let endpoint = Endpoint::new(index, route.name);
            under_way.endpoint = Some(endpoint);
            let result = answer(state, route, target, peer, parts, body, time).await;
            (endpoint, result.unwrap_or_else(|error| route.refuse(error)))
        }
        Err(error) => (Endpoint::UNKNOWN, RouteError::into_response(error)),
    }
}

/// Authenticates the caller, reads what the route takes, and calls its handler.
async fn answer<S: ApiState>(
    state: &Arc<S>,
    route: &'static Route<S>,
    target: RequestTarget,
    peer: Peer,
    parts: Parts,
    body: IncomingBody,
    time: RequestTime,
) -> HandlerResult {
    let api = state.api();
    let id = RequestId::of(&parts.headers);
    let reject = |rejection| reject(state, route.name, &peer, &id, rejection, time);
    let shown = authenticate_headers(&**state, route.auth, &peer, &parts.headers, time.wall).map_err(reject)?;
    let mut reservation = reservation_for(api, &shown);
    // The secret may stand in a body that the route itself does not read.
    let kind = if shown == HeaderAuth::NoCredentials && route.body == BodyKind::Unread { BodyKind::Parameters } else { route.body };
    let read = read_body(kind, api, &target, &parts.headers, body, &mut reservation).await;
    // A body may take its time: what expires meanwhile has expired when the request is judged.
    let time = RequestTime::now();
    if let Err(ReadError::Body(error)) = &read
        && error.is_lack_of_memory()
    {
        return Err(reject(Rejection::no_memory(*error)));
    }
    let caller = match shown {
        HeaderAuth::Caller(caller) => caller,
        HeaderAuth::NoCredentials => {
            let params = read.as_ref().ok().map(|read| &read.params);
            let caller = authenticate_parameter(api, params, time.wall).map_err(reject)?;
            let taken = api.authenticated_bodies.take_over(reservation);
            reservation = taken.map_err(|error| reject(Rejection::no_memory(BodyError::from(error))))?;
            caller
        }
    };
    let (ParsedBody { mut params, body }, read_error) = match read {
        Ok(read) => (read, None),
        // The handler first judges whether the caller may ask at all.
        Err(error) if route.auth == RequiredAuth::InHandler => (ParsedBody::empty(), Some(ApiError::from(error))),
        Err(error) => return Err(error.into()),
    };
    let may_hold_secret = !matches!(caller, Caller::Shell | Caller::KeysScope) || params.values.remove(SHARED_SECRET_PARAMETER).is_some();
    let Parts { method, headers, .. } = parts;
    let held = state.begin_answer(&caller);
    let request = ApiRequest { method, headers, target, caller, peer, params, body, may_hold_secret, read_error, reservation, time, id };
    let response = handle_and_log(state, route, request).await?;
    Ok(match held {
        Some(held) => Response { body: response.body.holding(held), ..response },
        None => response,
    })
}

/// Calls the handler, and logs what an operator had done, and what was decided where that is logged.
async fn handle_and_log<S: ApiState>(state: &Arc<S>, route: &'static Route<S>, request: ApiRequest) -> HandlerResult {
    let (action, decision) = (OperatorAction::of(route.name, &request), AskedDecision::of(route.path, &request));
    let result = (route.handler)(state, request).await;
    if let Some(action) = action {
        action.log(&result);
    }
    match (decision, result) {
        (Some(decision), result) => {
            let response = result.unwrap_or_else(|error| route.refuse(error));
            decision.log(&response);
            Ok(response)
        }
        (None, result) => result,
    }
}

/// Returns where the memory for a request's body is counted. An operator's is not: `status` is answered while others hold all of it.
fn reservation_for(api: &ApiContext, shown: &HeaderAuth) -> Reservation {
    match shown {
        HeaderAuth::Caller(Caller::Operator) => Reservation::unlimited(),
        HeaderAuth::Caller(Caller::Shell | Caller::Follower(_) | Caller::Kas) => api.authenticated_bodies.reservation(),
        HeaderAuth::Caller(Caller::Unauthenticated | Caller::KeysScope) | HeaderAuth::NoCredentials => {
            api.unauthenticated_bodies.reservation()
        }
    }
}

/// Checks the target as it stood in the request line.
fn parse_target(uri: &Uri) -> Result<RequestTarget, RequestTargetError> {
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(RequestTargetError("it is in absolute form"));
    }
    RequestTarget::parse(uri.path_and_query().map_or("", |target| target.as_str()))
}

/// Counts a refusal, and writes one line to the log without the query and without what was shown.
fn reject<S: ApiState>(
    state: &Arc<S>,
    endpoint: &'static str,
    peer: &Peer,
    id: &RequestId,
    rejection: Rejection,
    time: RequestTime,
) -> ApiError {
    let api = state.api();
    let Rejection { kind, reason, error } = rejection;
    api.metrics.count_rejection(kind, reason);
    if let Some(suppressed) = api.log_limiter.allow(time.wall) {
        let (detail, request_id) = (&error.message, id.as_str());
        tracing::warn!(endpoint, reason, detail, %peer, request_id, suppressed, "refused a request to {endpoint} from {peer}: {reason}");
    }
    error
}
