//! Probes of whoever watches the daemon: is it alive, can it answer, what has it counted.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::model::freshness::{Freshness, FreshnessClass};
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::wire::http::message::encode_message;

const CONTENT_TYPE_OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// It runs.
pub(in crate::sidecar) fn handle_liveness() -> Response {
    Response::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// It can answer for keys: from what it holds, or because the primary answers.
pub(in crate::sidecar) fn handle_readiness(house: &SidecarState, moment: RequestTime) -> Response {
    let reading = house.config.replica.read();
    let freshness = house.config.freshness_policy.limits_for(FreshnessClass::Keys).evaluate(reading.age(moment.boot));
    let held = reading.view.is_some() && freshness != Freshness::Expired;
    if held || house.upstream.channel().failing_since().is_none() {
        return Response::json(StatusCode::OK, r#"{"status":"ok"}"#);
    }
    Response::json(
        StatusCode::SERVICE_UNAVAILABLE,
        encode_message("nothing may be said from what is held, and the primary does not answer"),
    )
}

/// Everything counted, in the text format of OpenMetrics.
pub(in crate::sidecar) fn handle_metrics(house: &SidecarState) -> Response {
    match house.metrics.encode_text() {
        Ok(text) => {
            let mut reply = Response::empty(StatusCode::OK);
            reply.headers.insert(CONTENT_TYPE, CONTENT_TYPE_OPENMETRICS);
            reply.body = OutgoingBody::from_bytes(text);
            reply
        }
        Err(error) => Response::json(StatusCode::INTERNAL_SERVER_ERROR, encode_message(&format!("the metrics cannot be printed: {error}"))),
    }
}
