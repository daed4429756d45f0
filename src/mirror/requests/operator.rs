//! What operators ask a mirror as they ask a primary.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::api::standing_alarm::{AlarmKind, StandingAlarm};
use crate::mirror::config::DAEMON;
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

/// `GET /-/fleet`: with the mirror's own alarms.
pub async fn fleet(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    let own = state.alarms.list().into_iter();
    let alarms = own
        .map(|alarm| StandingAlarm::new(AlarmKind { name: alarm.kind, remedy: alarm.remedy }, Some(alarm.since), alarm.message))
        .collect();
    requests::fleet::answer(&state.publisher, DAEMON, alarms, request).await
}

/// `GET /-/admin/hosts`.
pub async fn hosts(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_hosts::hosts(&state.publisher, request).await
}

/// `POST /-/admin/forget-host`.
pub async fn forget_host(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_hosts::forget_host(&state.publisher, request).await.map_err(|error| error.with_store_of(DAEMON))
}

/// `GET /-/admin/export`.
pub async fn export(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_export::handle(&state.publisher, request).await
}

/// `GET /-/admin/records`.
pub async fn records(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_records::handle(&state.publisher, request).await
}

/// `POST /-/admin/new-epoch`.
pub async fn new_epoch(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::admin_new_epoch::handle(&state.publisher, request).await.map_err(|error| error.with_store_of(DAEMON))
}

/// `POST /-/admin/apply`: refused.
pub async fn refuse_apply(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("change users and keys there, and the mirror follows")
}

/// `POST /-/admin/revoke-key`: refused.
pub async fn refuse_revoke_key(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("remove the key there; its hook, or the next verification, removes it at every host")
}

/// `POST /-/admin/block-user`: refused.
pub async fn refuse_block_user(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("block the user there; the next short walk blocks them at every host")
}

/// `POST /-/admin/unblock-user`: refused.
pub async fn refuse_unblock_user(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("unblock the user there; the next short walk unblocks them at every host")
}

/// `GET /-/admin/backup`: refused.
pub async fn refuse_backup(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("back up the GitLab; a mirror that begins anew walks it")
}

/// `GET /-/admin/revocations`: refused.
pub async fn refuse_revocations(_state: &Arc<MirrorState>, _request: ApiRequest) -> HandlerResult {
    refuse("only a primary remembers what its operator revoked")
}

fn refuse(remedy: &str) -> HandlerResult {
    Err(ApiError::new(StatusCode::CONFLICT, format!("a mirror's directory is GitLab's: {remedy}")))
}
