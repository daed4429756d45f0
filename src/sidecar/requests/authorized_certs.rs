//! `authorized_certs`: which user and group does a certificate stand for? Always the primary's to say. (server.md 2.11; client.md 2.2)

use std::sync::Arc;

use crate::net::message::Response;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::headers;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::http::params::encode_form;

/// Answers `GET internal/authorized_certs?key=&user_identifier=`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.first_unknown(&["key", "user_identifier", SHARED_SECRET_PARAMETER]) {
        return bad_request_response(&format!("the parameter `{unread}` is not understood here"));
    }
    let (key, identifier) = match (params.text("key"), params.text("user_identifier")) {
        (Ok(key), Ok(identifier)) => (key, identifier),
        (Err(bad), _) | (_, Err(bad)) => return bad_request_response(&bad.to_string()),
    };
    // What is missing is the primary's to refuse, or not to ask for.
    let given = [("key", &key), ("user_identifier", &identifier)];
    let query = encode_form(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let question =
        UpstreamQuery { kind: QueryKind::AuthorizedCerts, target: format!("/api/v4/internal/authorized_certs?{query}"), body: None };
    match house.upstream.query(question, RequestClass::KeyMiss, call.received_at).await {
        QueryOutcome::Decided(decided) => headers::mark_forwarded(Response::json(decided.status, decided.body)),
        QueryOutcome::Failed(outage) => outage.query_response(),
    }
}
