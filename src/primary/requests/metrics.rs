//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::body::OutgoingBody;
use crate::net::message::Response;
use crate::primary::counters::GaugeValues;
use crate::primary::state::PrimaryState;

const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with all that is counted.
pub async fn metrics(house: &Arc<PrimaryState>, _call: ApiRequest) -> HandlerResult {
    let head = house.store.head();
    let text = house.metrics.encode_text(GaugeValues {
        head: head.seq,
        records: head.state.count,
        followers: house.hosts.open_streams(),
        store_bytes: house.store.directory().size_on_disk(),
        usage_dropped: house.last_used.dropped(),
    });
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS_TYPE))]);
    Ok(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_bytes(text.map_err(ApiError::internal)?) })
}
