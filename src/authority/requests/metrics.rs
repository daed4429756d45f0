//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::counters::Reading;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::{Outgoing, Reply};

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with all that is counted.
pub async fn metrics(house: &Arc<Authority>, _call: Call) -> Answered {
    let head = house.store.head();
    let text = house.counters.text(Reading {
        head: head.seq,
        records: head.state.count,
        followers: house.hosts.streams(),
        store_bytes: house.store.directory().size(),
        usage_dropped: house.usage.dropped(),
    });
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(TYPE))]);
    Ok(Reply { status: StatusCode::OK, headers, body: Outgoing::of(text.map_err(Refusal::fault)?) })
}
