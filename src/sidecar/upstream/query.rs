//! A question as it is sent to the primary, and the one exchange in which it is asked.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};

use crate::api::request_id::{AskedFor, REQUEST_ID_HEADER, RequestId};
use crate::api::response_headers::FORWARDED_HEADER;
use crate::model::digest::Digest;
use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::SendLimits;
use crate::sidecar::upstream::decision::{Decision, QueryKind, parse_decision};
use crate::sidecar::upstream::headers::decided_at;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};
use crate::wire::http::params::encode_form;

/// The largest response to a question that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A question as it is sent: two that are equal are asked once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamQuery {
    pub kind: QueryKind,
    /// The path with its query, from `/api/v4` on.
    pub target: String,
    /// A JSON body, with which the request is a POST.
    pub body: Option<String>,
    /// How long it may take.
    pub time_limit: TimeLimit,
    /// Whether it may do something at the primary, as creating the project that is pushed to: then it is never sent twice.
    pub may_have_effect: bool,
    /// The request that it is asked for.
    pub asked_for: AskedFor,
}

/// How long a question may take, and what it says of the primary if it takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeLimit {
    /// `primary.timeout`. Above it the primary failed.
    Timeout,
    /// `primary.forward_timeout`: the primary may first have to create the project that is pushed to. Above it the primary was slow with this
    /// question, which says nothing about others.
    ForwardTimeout,
}

/// Which connection a question is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryConnection {
    /// One of those that all share.
    Pooled,
    /// One of its own, which no other request can occupy.
    Dedicated,
}

/// Why an exchange brought no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// The question cannot be written as a request.
    Unwritable,
    /// There was no whole response.
    NoResponse {
        /// Why, in a few words.
        reason: String,
        /// Whether the question may have reached the primary.
        may_have_reached: bool,
    },
    /// There was a response that is no decision.
    NoDecision {
        /// Its status.
        status: StatusCode,
        /// Why it is none, in a few words.
        reason: String,
    },
}

impl UpstreamQuery {
    /// Returns a question that is a GET of `target`.
    pub fn get(kind: QueryKind, target: String) -> Self {
        Self { kind, target, body: None, time_limit: TimeLimit::Timeout, may_have_effect: false, asked_for: AskedFor::default() }
    }

    /// Returns the question whose key this is, by its blob and as it was offered.
    pub fn authorized_keys(blob: Vec<u8>, offered: &str) -> Self {
        Self::get(QueryKind::AuthorizedKeys(blob), format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", offered)])))
    }

    /// Returns a question that is a POST of a JSON body to `target`.
    pub fn post(kind: QueryKind, target: &str, body: String) -> Self {
        Self { body: Some(body), ..Self::get(kind, target.to_owned()) }
    }

    /// Returns the question as one that is asked for this request.
    #[must_use]
    pub fn asked_for(self, id: &RequestId) -> Self {
        Self { asked_for: AskedFor::request(id), ..self }
    }

    /// Returns what tells this question from all others.
    pub fn digest(&self) -> Digest {
        let body = self.body.as_deref().unwrap_or_default();
        Digest::of(format!("{}\n{}\n{body}", self.kind.name(), self.target).as_bytes())
    }

    /// Asks once, signed at `now`. The limit of the whole binds the head and the body apart; who needs one for both keeps it.
    pub async fn send(
        &self,
        client: &HttpClient,
        signer: &CredentialVerifier,
        connection: QueryConnection,
        limits: SendLimits,
        now: Time,
    ) -> Result<Decision, ExchangeError> {
        let request = self.build_request(signer, now).ok_or(ExchangeError::Unwritable)?;
        let response = match connection {
            QueryConnection::Pooled => client.send_or_return(request, limits).await.map_err(|unanswered| unanswered.error),
            QueryConnection::Dedicated => client.send_unpooled(request, limits.total).await,
        };
        let no_response = |reason: String, may_have_reached| ExchangeError::NoResponse { reason, may_have_reached };
        let (head, body) = response.map_err(|error| no_response(error.reason, error.may_have_reached))?.into_parts();
        let body = body.read(MAX_RESPONSE_BYTES, limits.total).await.map_err(|error| no_response(error.to_string(), true))?;
        let decision = parse_decision(&self.kind, head.status, body);
        decision
            .map(|decision| Decision { decided_at: decided_at(&head.headers), ..decision })
            .map_err(|reason| ExchangeError::NoDecision { status: head.status, reason })
    }

    /// Builds the request from parsed parts, and signs it.
    fn build_request(&self, signer: &CredentialVerifier, now: Time) -> Option<Request<OutgoingBody>> {
        let method = if self.body.is_some() { Method::POST } else { Method::GET };
        let body = self.body.clone().map_or_else(|| OutgoingBody::from_bytes(Bytes::new()), OutgoingBody::from_bytes);
        let request = Request::builder()
            .method(method)
            .uri(&self.target)
            .header(CONTENT_TYPE, CONTENT_TYPE_JSON)
            .header(ACCEPT, CONTENT_TYPE_JSON)
            .header(SHELL_TOKEN_HEADER, signer.issue_shell_token(now))
            .header(FORWARDED_HEADER, "1");
        let request = match self.asked_for.value() {
            Some(id) => request.header(REQUEST_ID_HEADER, id),
            None => request,
        };
        request.body(body).ok()
    }
}
