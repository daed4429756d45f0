//! The walk of every request: its path, its route, who calls, its body, its parameters, its handler. In this order.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, Uri, header};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, BodyKind, Caller, RequiredAuth};
use crate::model::clock;
use crate::model::time::Time;
use crate::net::body::{BodyError, IncomingBody};
use crate::net::memory_budget::Reservation;
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::net::server::handler::Handler;
use crate::primary::identify::{self, AuthFailure, HeaderAuth};
use crate::primary::routes::{self, Route, RouteError};
use crate::primary::state::PrimaryState;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;
use crate::wire::http::request_target::RequestTarget;

impl Handler for PrimaryState {
    async fn handle(self: &Arc<Self>, asked: Request) -> Response {
        let begun = clock::boot_time();
        let (endpoint, reply) = route_request(self, asked).await;
        self.metrics.record_response(endpoint, reply.status.as_u16(), clock::boot_time().since(begun));
        reply
    }
}

async fn route_request(house: &Arc<PrimaryState>, asked: Request) -> (&'static str, Response) {
    let Request { peer, parts, body } = asked;
    let target = match RequestTarget::parse(&original_target(&parts.uri)) {
        Ok(target) => target,
        Err(bad) => return ("bad path", ApiError::bad_request(bad).into_response()),
    };
    let route = match routes::find_route(&parts.method, target.segments()) {
        Ok(route) => route,
        Err(unknown) => return ("unknown", route_error_response(&unknown)),
    };
    let answered = handle_request(house, route, target, peer, parts, body).await;
    (route.path, answered.unwrap_or_else(ApiError::into_response))
}

async fn handle_request(
    house: &Arc<PrimaryState>,
    route: &Route,
    target: RequestTarget,
    peer: Peer,
    parts: Parts,
    body: IncomingBody,
) -> HandlerResult {
    let now = clock::wall_time();
    let turned_away = |stranger: AuthFailure| reject(house, route, &peer, &parts, stranger, now);
    let shows = identify::authenticate_headers(house, route.auth, &peer, &parts.headers, now).map_err(turned_away)?;
    // Counted until the caller is believed; of one whom the handler judges, until it has answered.
    let mut room = match shows {
        HeaderAuth::NoCredentials | HeaderAuth::Caller(Caller::Unauthenticated) => house.unauthenticated_budget.reservation(),
        HeaderAuth::Caller(_) => Reservation::unlimited(),
    };
    let read = read_body(house, route.body, &target, &parts, body, &mut room).await;
    if matches!(read, Err(RequestReadError::Body(BodyError::BudgetExhausted))) {
        return Err(turned_away(AuthFailure { reason: "no room", error: BodyError::BudgetExhausted.into() }));
    }
    let caller = match shows {
        HeaderAuth::Caller(caller) => caller,
        HeaderAuth::NoCredentials => {
            let caller = identify::authenticate_parameter(house, read.as_ref().ok().map(|read| &read.params), now).map_err(turned_away)?;
            room = Reservation::unlimited();
            caller
        }
    };
    let (ParsedBody { mut params, body, unread_stream: stream }, unread) = match read {
        Ok(read) => (read, None),
        // Whoever calls is told so first that they may not.
        Err(unreadable) if route.auth == RequiredAuth::InHandler => (ParsedBody::default(), Some(ApiError::from(unreadable))),
        Err(unreadable) => return Err(unreadable.into()),
    };
    if caller == Caller::Shell {
        params.values.remove(SHARED_SECRET_PARAMETER);
    }
    let segments = target.segments().to_vec();
    let answered = (route.handler)(
        house,
        ApiRequest { caller, params, read_error: unread, body, stream, peer, headers: parts.headers, segments, now },
    )
    .await;
    drop(room);
    answered
}

#[derive(Default)]
struct ParsedBody {
    params: Params,
    body: Bytes,
    unread_stream: Option<IncomingBody>,
}

/// Why the body or the parameters are not there.
#[derive(Debug, thiserror::Error)]
enum RequestReadError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Params(#[from] ParamsError),
}

impl From<RequestReadError> for ApiError {
    fn from(bad: RequestReadError) -> Self {
        match bad {
            RequestReadError::Body(refused) => refused.into(),
            RequestReadError::Params(bad) => bad.into(),
        }
    }
}

/// Reads the body under the bound of its route and as far as there is room, and the parameters.
async fn read_body(
    house: &PrimaryState,
    takes: BodyKind,
    target: &RequestTarget,
    parts: &Parts,
    body: IncomingBody,
    room: &mut Reservation,
) -> Result<ParsedBody, RequestReadError> {
    let bounds = &house.bounds;
    let bound = match takes {
        BodyKind::Stream => {
            let params = Params::parse(target.query(), None, b"")?;
            return Ok(ParsedBody { params, body: Bytes::new(), unread_stream: Some(body) });
        }
        BodyKind::PushParameters => bounds.pushed_body_bytes,
        BodyKind::Parameters | BodyKind::RawBytes => bounds.decoded_body_bytes,
    };
    let body = body.read_reserving(bound, bounds.body_time, room).await?;
    room.grow_with(|| Params::max_memory_bytes(&body)).map_err(BodyError::from)?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = match takes {
        BodyKind::RawBytes => Params::parse(target.query(), None, b"")?,
        _ => Params::parse(target.query(), content_type, &body)?,
    };
    Ok(ParsedBody { params, body, unread_stream: None })
}

/// One line for the log, without the query and without what was shown; and a count.
fn reject(house: &PrimaryState, route: &Route, peer: &Peer, parts: &Parts, stranger: AuthFailure, now: Time) -> ApiError {
    house.metrics.refused(stranger.reason);
    if let Some(withheld) = house.log_limiter.allow(now) {
        let request = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        tracing::warn!(endpoint = route.path, reason = stranger.reason, ?peer, request, withheld, "a request was refused");
    }
    stranger.error
}

fn route_error_response(unknown: &RouteError) -> Response {
    match unknown {
        RouteError::NotFound => {
            let body = r#"{"error":"404 Not Found","message":"404 Not Found"}"#;
            Response::json(StatusCode::NOT_FOUND, body)
        }
        RouteError::MethodNotAllowed(allowed) => {
            let text = format!("405 Method Not Allowed - this path takes {allowed}");
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response().with_header("allow", allowed)
        }
    }
}

/// The target as it stood in the request line; in absolute form if it came so.
fn original_target(uri: &Uri) -> String {
    match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        (None, None, Some(origin)) => origin.as_str().to_owned(),
        _ => uri.to_string(),
    }
}
