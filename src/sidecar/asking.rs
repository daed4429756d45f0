//! Asking the primary a question that may be asked again: one flight a question, a budget, a breaker, one time limit for all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::model::clock;
use crate::model::freshness::Following;
use crate::model::time::Time;
use crate::net::breaker::{Breaker, Leave};
use crate::net::budget::{Budget, Permit, Sort};
use crate::net::client::Client;
use crate::net::flight::Flights;
use crate::net::message::Outgoing;
use crate::sidecar::decision::{Decided, Kind, judge};
use crate::sidecar::headers::FORWARDED;
use crate::sidecar::house::Moment;
use crate::sidecar::outage::{Because, Outage, Works};
use crate::sidecar::setup::{Bound, Setup};
use crate::wire::credentials::{Gatekeeper, SHELL_HEADER};

/// The largest answer to a question that is read.
const ANSWER_BYTES: usize = 1 << 20;
/// The longest target that is sent: half of what a primary takes as a head by default. No key and no name comes near it.
const TARGET_BYTES: usize = 16 << 10;
/// Said of a question beyond it.
const TOO_LARGE: &str = "this question is larger than the Git server takes";
/// Said of one that the primary refuses as it is.
const REFUSED: &str = "the Git server does not take this question";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A question as we write it ourselves: two that are equal are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sidecar) struct Question {
    pub kind: Kind,
    /// The path with its query, from `/api/v4` on.
    pub target: String,
    /// A JSON body: then it is a POST.
    pub body: Option<String>,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub(in crate::sidecar) enum Told {
    /// The primary decided.
    Decided(Decided),
    /// It failed, or there was no room to ask it.
    Failed(Outage),
}

/// The way to the primary, with all that keeps a slow one from hurting.
pub(in crate::sidecar) struct Asking {
    link: Arc<Link>,
    flights: Flights<Question, Told>,
}

/// What a flight takes with it.
pub(in crate::sidecar) struct Link {
    pub client: Client,
    pub signer: Arc<Gatekeeper>,
    pub budget: Budget,
    breaker: Breaker,
    timeout: Duration,
    /// What is held, and the bounds of its age: what works without the primary.
    following: Arc<dyn Following>,
    freshness: Bound,
    /// Wall milliseconds of the first failure in a row; 0 while it answers.
    failing_since: AtomicI64,
    failures: AtomicU64,
}

impl Asking {
    pub fn new(setup: &Setup) -> Self {
        let link = Link {
            client: setup.client.clone(),
            signer: Arc::clone(&setup.signer),
            budget: Budget::new(setup.bounds.forwards, setup.bounds.forwards_waiting),
            breaker: Breaker::default(),
            timeout: setup.timeout,
            following: Arc::clone(&setup.following),
            freshness: setup.freshness,
            failing_since: AtomicI64::new(0),
            failures: AtomicU64::new(0),
        };
        Self { link: Arc::new(link), flights: Flights::new() }
    }

    /// Asks, unless the breaker is open. Equal questions on their way are asked once.
    pub async fn ask(&self, question: Question, sort: Sort, moment: Moment) -> Told {
        if question.target.len() > TARGET_BYTES {
            return Told::Failed(self.link.outage(TOO_LARGE, false, Because::Question));
        }
        let link = Arc::clone(&self.link);
        let flown = self.flights.join(question.clone(), move || fly(link, question, sort, moment)).await;
        flown.unwrap_or_else(|| Told::Failed(self.link.outage("asking it failed within sidegate", true, Because::Host)))
    }

    /// The way to the primary, for who passes requests through.
    pub fn link(&self) -> &Link {
        &self.link
    }
}

async fn fly(link: Arc<Link>, question: Question, sort: Sort, moment: Moment) -> Told {
    if let Leave::Wait(_) = link.breaker.leave(moment.boot) {
        return Told::Failed(link.outage("it failed a moment ago", false, Because::Primary));
    }
    match in_time(&link, &question, sort, moment).await {
        Ok(decided) => {
            link.succeeded();
            Told::Decided(decided)
        }
        Err(outage) => {
            link.note(&outage, &question);
            Told::Failed(outage)
        }
    }
}

/// Waits for a turn and asks, under one time limit. An overrun is the primary's only if it had all of that time: who waited for a turn
/// was kept waiting by this host.
async fn in_time(link: &Link, question: &Question, sort: Sort, moment: Moment) -> Result<Decided, Outage> {
    let until = Instant::now() + link.timeout;
    let turn = link.turn(sort, until).await?;
    let overrun = if turn.waited() { Because::Host } else { Because::Primary };
    let told = timeout_at(until, put(link, question, moment)).await;
    told.unwrap_or_else(|_| Err(link.outage("it did not answer in time", true, overrun)))
}

async fn put(link: &Link, question: &Question, moment: Moment) -> Result<Decided, Outage> {
    let failed = |why: &str, reached| link.outage(why, reached, Because::Primary);
    let unwritten = || link.outage("the question cannot be written", false, Because::Host);
    let request = written(link, question, moment).ok_or_else(unwritten)?;
    let answer = link.client.send(request, link.timeout).await.map_err(|bad| failed(&bad.reason, bad.reached))?;
    let (head, body) = answer.into_parts();
    let body = body.read(ANSWER_BYTES, link.timeout).await.map_err(|bad| failed(&bad.to_string(), true))?;
    judge(&question.kind, head.status, body).map_err(|why| match head.status {
        status if blames_the_question(status) => link.outage(REFUSED, true, Because::Question),
        _ => failed(&why, true),
    })
}

/// Whether an answer that is no decision speaks of the question's form or size. Who asked chose those, and could make any primary say so.
const fn blames_the_question(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 431)
}

/// The request, written from parsed parts and signed.
fn written(link: &Link, question: &Question, moment: Moment) -> Option<Request<Outgoing>> {
    let method = if question.body.is_some() { Method::POST } else { Method::GET };
    let body = question.body.clone().map_or_else(|| Outgoing::of(Bytes::new()), Outgoing::of);
    let request = Request::builder()
        .method(method)
        .uri(&question.target)
        .header(CONTENT_TYPE, JSON)
        .header(ACCEPT, JSON)
        .header(SHELL_HEADER, link.signer.mint(moment.wall))
        .header(FORWARDED, "1");
    request.body(body).ok()
}

impl Link {
    /// The primary answered.
    pub fn succeeded(&self) {
        self.breaker.succeeded();
        if self.failing_since.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(failures = self.failures.swap(0, Ordering::Relaxed), "the primary answers again");
        }
    }

    /// The primary failed a request that was passed through.
    pub fn failed(&self, why: &str, what: &'static str) {
        self.breaker.failed(clock::boot(), fastrand::f64());
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now = clock::wall().milliseconds();
        if self.failing_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(reason = why, endpoint = what, "the primary fails; answering from what is known where that is allowed");
        } else {
            tracing::debug!(reason = why, endpoint = what, "the primary failed again");
        }
    }

    /// A turn to ask the primary. If none comes in time, that is this host's doing and not the primary's.
    pub async fn turn(&self, sort: Sort, until: Instant) -> Result<Permit, Outage> {
        let full = |why: &str| self.outage(why, false, Because::Host);
        match timeout_at(until, self.budget.turn(sort)).await {
            Ok(turn) => turn.map_err(|none| full(&none.to_string())),
            Err(_) => Err(full("no turn to ask it came in time")),
        }
    }

    /// What to say of a failure.
    pub fn outage(&self, why: &str, reached: bool, because: Because) -> Outage {
        let works = Works::now(&*self.following, self.freshness, clock::boot());
        Outage { since: self.failing_since(), why: why.to_owned(), reached, because, works }
    }

    /// Since when the primary fails.
    pub fn failing_since(&self) -> Option<Time> {
        Some(self.failing_since.load(Ordering::Relaxed)).filter(|since| *since != 0).and_then(Time::from_milliseconds)
    }

    /// Whether the breaker holds questions back.
    pub fn held_back(&self) -> bool {
        self.breaker.open_since().is_some()
    }

    fn note(&self, outage: &Outage, question: &Question) {
        match outage.because {
            Because::Primary => self.failed(&outage.why, question.kind.name()),
            Because::Host | Because::Question => {
                self.breaker.undecided();
                tracing::debug!(reason = outage.why, endpoint = question.kind.name(), "a question has no answer, and not by the primary");
            }
        }
    }
}

impl Kind {
    /// Its name in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AuthorizedKeys(_) => "authorized_keys",
            Self::AuthorizedCerts => "authorized_certs",
            Self::Discover => "discover",
            Self::Check => "check",
            Self::Allowed => "allowed",
            Self::LfsAuthenticate => "lfs_authenticate",
        }
    }
}
