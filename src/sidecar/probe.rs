//! Probes of whoever watches the daemon: is it alive, can it answer, what has it counted.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::model::freshness::{Class, Freshness};
use crate::net::message::{Outgoing, Reply};
use crate::sidecar::house::{Moment, Sidecar};
use crate::wire::answer;

const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// It runs.
pub(in crate::sidecar) fn liveness() -> Reply {
    Reply::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// It can answer for keys: from what it holds, or because the primary answers.
pub(in crate::sidecar) fn readiness(house: &Sidecar, moment: Moment) -> Reply {
    let freshness = house.setup.freshness.of(Class::Keys).judge(house.setup.following.age(moment.boot));
    let held = house.setup.following.view().is_some() && freshness != Freshness::Expired;
    if held || house.asking.link().failing_since().is_none() {
        return Reply::json(StatusCode::OK, r#"{"status":"ok"}"#);
    }
    Reply::json(StatusCode::SERVICE_UNAVAILABLE, answer::message("nothing may be said from what is held, and the primary does not answer"))
}

/// Everything counted, in the text format of OpenMetrics.
pub(in crate::sidecar) fn metrics(house: &Sidecar) -> Reply {
    match house.tally.print() {
        Ok(text) => {
            let mut reply = Reply::empty(StatusCode::OK);
            reply.headers.insert(CONTENT_TYPE, OPEN_METRICS);
            reply.body = Outgoing::of(text);
            reply
        }
        Err(error) => Reply::json(StatusCode::INTERNAL_SERVER_ERROR, answer::message(&format!("the metrics cannot be printed: {error}"))),
    }
}
