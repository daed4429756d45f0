//! What operators ask a mirror as they ask a primary.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::mirror::state::MirrorState;
use crate::primary::requests;

/// `GET /-/liveness`.
pub async fn liveness(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::health::liveness(&state.publisher, request).await
}

/// `GET /-/readiness`.
pub async fn readiness(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::health::readiness(&state.publisher, request).await
}

/// `GET /-/admin/hosts`.
pub async fn hosts(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_hosts::hosts(&state.publisher, request).await
}

/// `POST /-/admin/forget-host`.
pub async fn forget_host(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_hosts::forget_host(&state.publisher, request).await
}

/// `GET /-/admin/export`.
pub async fn export(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_export::handle(&state.publisher, request).await
}

/// `POST /-/admin/new-epoch`.
pub async fn new_epoch(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_new_epoch::handle(&state.publisher, request).await
}
