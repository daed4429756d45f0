//! `GET internal/authorized_certs?key=&user_identifier=`: which user and group does a certificate stand for? Always the primary's to say;
//! in front of a primary without a feed a kept yes is given while it fails. (server.md 2.11; client.md 2.2)

use std::sync::Arc;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept_answer;
use crate::sidecar::local_answer::query_primary;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire::http::params::encode_form;

/// Asks the primary, and gives a yes that is kept if it fails.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    if let Some(name) = request.params.first_unknown(&["key", "user_identifier"]) {
        return Err(ApiError::unknown_parameter(name));
    }
    // What is missing is the primary's to refuse, or not to ask for.
    let given = [("key", request.params.text("key")?), ("user_identifier", request.params.text("user_identifier")?)];
    let form = encode_form(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let query = UpstreamQuery::get(QueryKind::AuthorizedCerts, format!("/api/v4/internal/authorized_certs?{form}")).asked_for(&request.id);
    if let (Some(kept), [(_, Some(key)), (_, Some(user_identifier))]) = (&state.kept, &given) {
        let question = KeptQuestion::authorized_certs(key, user_identifier, query);
        return Ok(kept_answer::answer(state, kept, question, request.time).await);
    }
    Ok(query_primary(state, query, RequestClass::KeyMiss, RequestSubject::Login).await)
}
