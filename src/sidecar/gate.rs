//! The gate: what every request passes, in this order: its path, its journey, who asks, what they show. Then the journey answers.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use crate::api::peer_policy::PeerScope;
use crate::net::body::{BodyError, IncomingBody};
use crate::net::memory_budget::Reservation;
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::sidecar::body::{BodyState, ReadParamsError, bad_request_response};
use crate::sidecar::requests::{
    admin, allowed, authorized_certs, authorized_keys, check, discover, explain, health, lfs_authenticate, passthrough,
};
use crate::sidecar::routes::{ApiEndpoint, RequiredAuth};
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::sidecar::tally::RejectionReason;
use crate::wire::auth::credentials::{CredentialCheck, SHARED_SECRET_PARAMETER};
use crate::wire::http::message::encode_message;
use crate::wire::http::request_target::RequestTarget;

/// Why a caller may go through: also what the sidecar may sign for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sidecar) enum Authentication {
    /// They showed a good token or the shared secret: whatever they ask may be signed.
    Token,
    /// Their credentials of the kernel allow questions about keys: only the question that we write ourselves may be signed.
    KeysScope,
    /// Nothing of theirs is signed.
    NoCredentials,
}

/// A request that has passed the gate.
pub(in crate::sidecar) struct ApiRequest {
    pub parts: Parts,
    pub target: RequestTarget,
    pub body: BodyState,
    pub authentication: Authentication,
    /// What its body may take in memory; a share of what all have who are not believed, until the caller is.
    pub body_reservation: Reservation,
    pub received_at: RequestTime,
}

/// Answers one request, and counts it.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, asked: Request) -> Response {
    let moment = RequestTime::now();
    let (journey, reply) = match authenticate_and_dispatch(house, asked, moment).await {
        Ok((journey, reply)) => (journey, reply),
        Err(refusal) => (refusal.endpoint, rejection_response(house, refusal)),
    };
    house.metrics.count_answer(journey, &reply, moment);
    reply
}

async fn authenticate_and_dispatch(
    house: &Arc<SidecarState>,
    asked: Request,
    moment: RequestTime,
) -> Result<(ApiEndpoint, Response), Rejection> {
    let Request { peer, parts, body } = asked;
    let target = parse_target(&parts)?;
    let journey = ApiEndpoint::resolve(&parts.method, target.segments());
    let mut call = ApiRequest {
        parts,
        target,
        body: BodyState::Streaming(body),
        authentication: Authentication::NoCredentials,
        body_reservation: house.unauthenticated_bodies.reservation(),
        received_at: moment,
    };
    call.authentication = authenticate(house, journey, &peer, &mut call).await?;
    if call.authentication == Authentication::Token {
        call.body_reservation = Reservation::unlimited();
    }
    Ok((journey, dispatch(house, journey, call).await))
}

async fn dispatch(house: &Arc<SidecarState>, journey: ApiEndpoint, call: ApiRequest) -> Response {
    match journey {
        ApiEndpoint::AuthorizedKeys => authorized_keys::handle(house, call).await,
        ApiEndpoint::AuthorizedCerts => authorized_certs::handle(house, call).await,
        ApiEndpoint::Discover => discover::handle(house, call).await,
        ApiEndpoint::Check => check::handle(house, call).await,
        ApiEndpoint::Allowed => allowed::handle(house, call).await,
        ApiEndpoint::LfsAuthenticate => lfs_authenticate::handle(house, call).await,
        ApiEndpoint::PassthroughSigned | ApiEndpoint::PassthroughUnsigned => passthrough::handle(house, call).await,
        ApiEndpoint::Liveness => health::handle_liveness(),
        ApiEndpoint::Readiness => health::handle_readiness(house, call.received_at),
        ApiEndpoint::Metrics => health::handle_metrics(house),
        ApiEndpoint::Status => admin::handle_status(house, call.received_at),
        ApiEndpoint::Explain => explain::handle(house, call).await,
        ApiEndpoint::Verify => admin::handle_verify(house).await,
        ApiEndpoint::Invalidate => admin::handle_invalidate(house, call).await,
        ApiEndpoint::Resync => admin::handle_resync(house),
        ApiEndpoint::NotFound => Response::json(StatusCode::NOT_FOUND, encode_message("404 Not Found")),
    }
}

fn parse_target(parts: &Parts) -> Result<RequestTarget, Rejection> {
    let refuse = |text: &str| Rejection { endpoint: ApiEndpoint::NotFound, reason: RejectionReason::Path, message: text.to_owned() };
    let uri = &parts.uri;
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(refuse("the request's path is refused: it is in absolute form"));
    }
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    RequestTarget::parse(target).map_err(|bad| refuse(&bad.to_string()))
}

/// Who asks, and what they show: the order of a refusal is scope, then token.
async fn authenticate(house: &SidecarState, journey: ApiEndpoint, peer: &Peer, call: &mut ApiRequest) -> Result<Authentication, Rejection> {
    let scopes = &house.config.scopes;
    match journey.required_auth() {
        RequiredAuth::None => Ok(Authentication::NoCredentials),
        RequiredAuth::KeysScopeOrToken if scopes.allows(peer, PeerScope::Keys) => match verify_headers(house, call) {
            CredentialCheck::Valid => Ok(Authentication::Token),
            CredentialCheck::Missing => Ok(Authentication::KeysScope),
            CredentialCheck::Invalid(why) => Err(token_rejection(journey, why)),
        },
        RequiredAuth::KeysScopeOrToken | RequiredAuth::ShellScopeAndToken if scopes.allows(peer, PeerScope::Shell) => {
            verify_headers_or_parameter(house, journey, call).await
        }
        RequiredAuth::PeerScope(PeerScope::Shell) if scopes.allows(peer, PeerScope::Shell) => match verify_headers(house, call) {
            CredentialCheck::Valid => Ok(Authentication::Token),
            CredentialCheck::Missing | CredentialCheck::Invalid(_) => Ok(Authentication::NoCredentials),
        },
        RequiredAuth::PeerScope(scope) if scope != PeerScope::Shell && scopes.allows(peer, scope) => Ok(Authentication::NoCredentials),
        _ => Err(Rejection { endpoint: journey, reason: RejectionReason::Peer, message: peer_rejection_message(peer) }),
    }
}

fn verify_headers(house: &SidecarState, call: &ApiRequest) -> CredentialCheck {
    house.config.credential_verifier.check_headers(&call.parts.headers, house.config.accept_shared_secret, call.received_at.wall)
}

/// The token or the shared secret; the latter may also stand in the parameters, which are read for it as far as there is room for such
/// bodies. Who shows neither is not told what is wrong with the parameters.
async fn verify_headers_or_parameter(
    house: &SidecarState,
    journey: ApiEndpoint,
    call: &mut ApiRequest,
) -> Result<Authentication, Rejection> {
    let shown = match verify_headers(house, call) {
        CredentialCheck::Missing if house.config.accept_shared_secret => {
            let limit = call.max_decoded_body_bytes(house);
            let params = match call.read_params(limit, house.config.bounds.body_time).await {
                Err(ReadParamsError::Body(no_room @ BodyError::BudgetExhausted)) => {
                    return Err(Rejection { endpoint: journey, reason: RejectionReason::NoMemory, message: no_room.to_string() });
                }
                params => params.ok(),
            };
            match params.and_then(|params| params.text(SHARED_SECRET_PARAMETER).ok().flatten()) {
                Some(secret) => house.config.credential_verifier.check_parameter(&secret, call.received_at.wall),
                None => CredentialCheck::Missing,
            }
        }
        shown => shown,
    };
    match shown {
        CredentialCheck::Valid => Ok(Authentication::Token),
        CredentialCheck::Missing => Err(token_rejection(journey, "nothing shown")),
        CredentialCheck::Invalid(why) => Err(token_rejection(journey, why)),
    }
}

/// Why a request does not pass.
struct Rejection {
    endpoint: ApiEndpoint,
    reason: RejectionReason,
    message: String,
}

fn token_rejection(journey: ApiEndpoint, why: &'static str) -> Rejection {
    Rejection { endpoint: journey, reason: RejectionReason::Token, message: why.to_owned() }
}

fn peer_rejection_message(peer: &Peer) -> String {
    match peer {
        Peer::Unix { uid, .. } => format!("403 Forbidden - user {uid} may not ask this here; see [[peer]] in the configuration"),
        Peer::Tcp(_) => "403 Forbidden - this is not answered over TCP".to_owned(),
    }
}

fn rejection_response(house: &SidecarState, refusal: Rejection) -> Response {
    let Rejection { endpoint: journey, reason, message: text } = refusal;
    house.metrics.count_rejection(journey, reason, &text);
    match reason {
        RejectionReason::Path => bad_request_response(&text),
        RejectionReason::Peer => Response::json(StatusCode::FORBIDDEN, encode_message(&text)),
        RejectionReason::Token => Response::json(StatusCode::UNAUTHORIZED, encode_message("401 Unauthorized")),
        RejectionReason::NoMemory => Response::json(StatusCode::SERVICE_UNAVAILABLE, encode_message(&text)),
    }
}

impl ApiRequest {
    /// How many bytes of this request's body are decoded.
    pub fn max_decoded_body_bytes(&self, house: &SidecarState) -> usize {
        let bounds = &house.config.bounds;
        match self.target.segments() {
            [first, second] if first == "internal" && (second == "allowed" || second == "post_receive") => bounds.pushed_body_bytes,
            _ => bounds.decoded_body_bytes,
        }
    }

    /// Takes the body as it has not been read.
    pub fn take_body(&mut self) -> BodyState {
        std::mem::replace(&mut self.body, BodyState::Streaming(IncomingBody::empty()))
    }
}
