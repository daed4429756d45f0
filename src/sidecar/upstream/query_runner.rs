//! Asks one question, at the first address of the primary that answers.
//!
//! An address whose breaker is open is left out. One that cannot be connected to, or gives no decision, is followed by the next at once,
//! within the same time limit; one that has answered nobody since the question was sent is asked on, and the next beside it. A question
//! that may have done something is only asked elsewhere if it surely was not received.

use std::pin::{Pin, pin};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::api::request::RequestTime;
use crate::model::clock;
use crate::sidecar::upstream::addresses::PrimaryAddress;
use crate::sidecar::upstream::channel::UpstreamChannel;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::Decision;
use crate::sidecar::upstream::error::{FailureCause, UpstreamError};
use crate::sidecar::upstream::query::{ExchangeError, QueryConnection, TimeLimit, UpstreamQuery};

/// By how much the limits of the exchange itself are longer than that of the question, which says who is to blame.
const EXCHANGE_SLACK: Duration = Duration::from_secs(1);
/// The reason given for a question that the primary refuses for its form or size.
const REASON_REFUSED: &str = "the Git server does not take this question";
/// The reason given for a question that took all its time.
const REASON_LATE: &str = "it did not answer in time";
/// The reason given for a question that is asked at another address too.
const REASON_ASKED_ELSEWHERE: &str = "no answer yet; asking another address as well";

/// What the task of a question needs; it outlives whoever asked first.
pub struct QueryRunner {
    pub channel: UpstreamChannel,
    pub timeout: Duration,
    pub forward_timeout: Duration,
}

/// One question under way.
struct QueryInFlight<'a> {
    runner: &'a QueryRunner,
    query: &'a UpstreamQuery,
    class: RequestClass,
    /// When all of it has to be over.
    deadline: Instant,
    /// Whether others took some of its time.
    waited: bool,
}

impl QueryRunner {
    /// Waits for a permit and asks, under one time limit.
    pub async fn query(&self, query: &UpstreamQuery, class: RequestClass) -> Result<Decision, UpstreamError> {
        let deadline = Instant::now() + self.time_limit(query);
        match self.channel.acquire_permit(class, deadline).await {
            Ok(permit) => {
                let asking = QueryInFlight { runner: self, query, class, deadline, waited: permit.waited() };
                asking.ask_from(0).await
            }
            Err(error) => {
                record_error(self.channel.addresses.owing_answers(clock::boot_time()), &error, query);
                Err(error)
            }
        }
    }

    /// Returns how long a question may take, all tries together.
    pub fn time_limit(&self, query: &UpstreamQuery) -> Duration {
        match query.time_limit {
            TimeLimit::Timeout => self.timeout,
            TimeLimit::ForwardTimeout => self.forward_timeout,
        }
    }
}

impl QueryInFlight<'_> {
    /// Asks at the first address from `start` on whose breaker is closed, and at those after it as far as that is of no use.
    async fn ask_from(&self, start: usize) -> Result<Decision, UpstreamError> {
        let channel = &self.runner.channel;
        let Some((index, address)) = channel.addresses.available_from(start, self.class) else {
            return Err(channel.probe_fails_error());
        };
        if self.next_available(index).is_none() {
            return self.ask_at(index, address, start).await;
        }
        let mut asking = pin!(self.ask_at(index, address, start));
        let outcome = match self.wait_for_share(asking.as_mut(), address).await {
            Some(outcome) => outcome,
            None => return first_decision(asking, Box::pin(self.ask_from(index + 1))).await,
        };
        match outcome {
            Err(error) if self.may_ask_elsewhere(&error) && self.next_available(index).is_some() => {
                Box::pin(self.ask_from(index + 1)).await
            }
            outcome => outcome,
        }
    }

    /// Returns the next address that may be asked.
    fn next_available(&self, index: usize) -> Option<usize> {
        self.runner.channel.addresses.available_from(index + 1, self.class).map(|(index, _)| index)
    }

    /// Waits for an address. Returns `None` if another one is to be asked beside it: it has had its share of the time, answered nobody
    /// meanwhile, and the question does nothing.
    async fn wait_for_share(
        &self,
        mut asking: Pin<&mut impl Future<Output = Result<Decision, UpstreamError>>>,
        address: &PrimaryAddress,
    ) -> Option<Result<Decision, UpstreamError>> {
        let (asked_at, share) = (clock::boot_time(), self.runner.channel.addresses.share(self.runner.timeout));
        if let Ok(outcome) = timeout_at(self.deadline.min(Instant::now() + share), asking.as_mut()).await {
            return Some(outcome);
        }
        if self.is_without_effect() && !address.has_answered_since(asked_at) {
            address.health.record_failure(REASON_ASKED_ELSEWHERE, self.query.kind.name());
            return None;
        }
        Some(asking.await)
    }

    /// Returns whether the question may be asked at another address although this one may have received it.
    fn is_without_effect(&self) -> bool {
        !self.query.may_have_effect
    }

    fn may_ask_elsewhere(&self, error: &UpstreamError) -> bool {
        let is_its_fault = matches!(error.cause, FailureCause::Primary | FailureCause::LongRequest);
        is_its_fault && (self.is_without_effect() || !error.may_have_reached) && Instant::now() < self.deadline
    }

    /// Asks at one address, and records whether it answered. A question that may take long, or may be asked elsewhere, is given up as soon
    /// as the probe fails.
    async fn ask_at(&self, index: usize, address: &PrimaryAddress, start: usize) -> Result<Decision, UpstreamError> {
        let channel = &self.runner.channel;
        let _under_way = address.health.begin_request();
        let late = |cause| Err(channel.upstream_error(REASON_LATE, true, cause));
        let gives_up = self.query.time_limit == TimeLimit::ForwardTimeout || channel.addresses.are_several();
        let outcome = tokio::select! {
            decision = self.send(index, address) => decision,
            () = sleep_until(self.deadline) => late(self.cause_of_lateness(start)),
            () = address.health.wait_until_failing(), if gives_up => late(match self.query.time_limit {
                TimeLimit::Timeout => FailureCause::Primary,
                TimeLimit::ForwardTimeout => FailureCause::LongRequest,
            }),
        };
        match &outcome {
            Ok(_) => address.health.record_answer(),
            Err(error) => record_error([address], error, self.query),
        }
        outcome
    }

    /// Returns who is to blame for a question that took all its time: the primary if it had all of that time, or if it owes others an answer
    /// as well. A question that waited for a permit was otherwise kept waiting by this host, and the address that is asked second by the first.
    fn cause_of_lateness(&self, start: usize) -> FailureCause {
        match self.query.time_limit {
            _ if self.waited || start > 0 => self.runner.channel.cause_of_delay(),
            TimeLimit::Timeout => FailureCause::Primary,
            TimeLimit::ForwardTimeout => FailureCause::LongRequest,
        }
    }

    async fn send(&self, index: usize, address: &PrimaryAddress) -> Result<Decision, UpstreamError> {
        let channel = &self.runner.channel;
        let exchange_limit = self.runner.time_limit(self.query) + EXCHANGE_SLACK;
        let limits = channel.addresses.send_limits(index, self.class, exchange_limit, self.runner.timeout);
        let (signer, now) = (&channel.token_signer, RequestTime::now().wall);
        let sent = self.query.send(&address.client, signer, QueryConnection::Pooled, limits, now).await;
        sent.map_err(|error| match error {
            ExchangeError::Unwritable => channel.upstream_error("the question cannot be written", false, FailureCause::Host),
            ExchangeError::NoResponse { reason, may_have_reached } => {
                channel.upstream_error(&reason, may_have_reached, FailureCause::Primary)
            }
            ExchangeError::NoDecision { status, .. } if is_client_error(status) => {
                channel.upstream_error(REASON_REFUSED, true, FailureCause::Request)
            }
            ExchangeError::NoDecision { reason, .. } => channel.upstream_error(&reason, true, FailureCause::Primary),
        })
    }
}

/// Returns the first decision of two, or why the one that failed last did.
async fn first_decision(
    mut asking: Pin<&mut impl Future<Output = Result<Decision, UpstreamError>>>,
    mut elsewhere: Pin<Box<impl Future<Output = Result<Decision, UpstreamError>>>>,
) -> Result<Decision, UpstreamError> {
    tokio::select! {
        outcome = asking.as_mut() => match outcome {
            Ok(decision) => Ok(decision),
            Err(_failed) => elsewhere.await,
        },
        outcome = elsewhere.as_mut() => match outcome {
            Ok(decision) => Ok(decision),
            Err(_failed) => asking.await,
        },
    }
}

/// Records that these addresses gave no answer, as far as that is their fault.
fn record_error<'a>(addresses: impl IntoIterator<Item = &'a PrimaryAddress>, error: &UpstreamError, query: &UpstreamQuery) {
    let (reason, endpoint, request_id) = (&error.reason, query.kind.name(), query.asked_for.as_str());
    match error.cause {
        FailureCause::Primary => addresses.into_iter().for_each(|address| address.health.record_failure(reason, endpoint)),
        FailureCause::LongRequest => {
            tracing::info!(reason, endpoint, request_id, "no answer of the primary to {endpoint}, which may take long: {reason}")
        }
        FailureCause::Host | FailureCause::TooManyMisses | FailureCause::Request | FailureCause::AccessChanged => {
            tracing::debug!(reason, endpoint, request_id, "no answer to {endpoint}, and not by the primary's fault: {reason}");
        }
    }
}

/// Returns whether a response that is no decision is about the question's form or size. The caller chose those, and could make any
/// primary say so.
const fn is_client_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 431)
}
