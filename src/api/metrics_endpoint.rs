//! Where metrics are read: at `/-/metrics` on a daemon's socket, and at `GET /metrics` on an address that has nothing else, for Prometheus.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::metrics_text::MetricsFormat;
use crate::api::route::RouteError;
use crate::net::body::OutgoingBody;
use crate::net::message::{Request, Response};
use crate::net::server::handler::Handler;

/// The only path of the address for Prometheus.
const METRICS_PATH: &str = "/metrics";

/// A daemon that counts something.
pub trait MetricsSource: Send + Sync + 'static {
    /// Brings what is only looked at now up to date, and returns everything that is counted.
    fn refreshed_metrics(self: &Arc<Self>) -> impl Future<Output = &Registry>;
}

/// Answers with all that a daemon counts, in the format that the reader asks for.
pub async fn respond<S: MetricsSource>(source: &Arc<S>, headers: &HeaderMap) -> HandlerResult {
    let mut text = String::new();
    text::encode(&mut text, source.refreshed_metrics().await).map_err(ApiError::internal)?;
    let format = MetricsFormat::accepted(headers);
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, format.content_type())]);
    Ok(Response { status: StatusCode::OK, headers, body: OutgoingBody::from_bytes(format.convert(text)) })
}

/// Answers at the address for Prometheus: `GET /metrics` and nothing else, whoever asks.
pub struct MetricsHandler<S>(pub Arc<S>);

impl<S: MetricsSource> Handler for MetricsHandler<S> {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        let (method, uri) = (&request.parts.method, &request.parts.uri);
        if uri.path() != METRICS_PATH || uri.authority().is_some() {
            return RouteError::NotFound.into_response();
        }
        if *method != Method::GET && *method != Method::HEAD {
            return RouteError::MethodNotAllowed("GET, HEAD".to_owned()).into_response();
        }
        respond(&self.0, &request.parts.headers).await.unwrap_or_else(ApiError::into_response)
    }
}
