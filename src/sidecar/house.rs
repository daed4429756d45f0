//! The sidecar itself: what all journeys share while it runs.

use std::sync::Arc;

use crate::model::clock;
use crate::model::freshness::{Class, Freshness, View};
use crate::model::time::{BootTime, Time};
use crate::net::allowance::Allowance;
use crate::net::message::{Asked, Reply};
use crate::net::server::Answer;
use crate::rules::rate::Rates;
use crate::sidecar::asking::Asking;
use crate::sidecar::check::Versions;
use crate::sidecar::gate;
use crate::sidecar::known::{Age, Known};
use crate::sidecar::lfs_authenticate::KeptTokens;
use crate::sidecar::setup::Setup;
use crate::sidecar::tally::Tally;
use crate::sidecar::usage::Usage;

/// How many windows of rate limits are kept.
const RATE_WINDOWS: usize = 1 << 16;
/// How long a request waits for the store to open before the primary is asked instead.
const OPENING_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A sidecar that answers.
pub struct Sidecar {
    pub(in crate::sidecar) setup: Setup,
    pub(in crate::sidecar) asking: Asking,
    pub(in crate::sidecar) tally: Tally,
    pub(in crate::sidecar) versions: Versions,
    pub(in crate::sidecar) rates: Rates,
    pub(in crate::sidecar) tokens: KeptTokens,
    pub(in crate::sidecar) usage: Usage,
    /// For the bodies of callers who have not shown who they are.
    pub(in crate::sidecar) unproven: Allowance,
    pub(in crate::sidecar) started: Time,
}

/// When a request is answered: the one reading of the clocks that all its judgements use.
#[derive(Clone, Copy, Debug)]
pub(in crate::sidecar) struct Moment {
    pub wall: Time,
    pub boot: BootTime,
}

impl Moment {
    pub fn now() -> Self {
        Self { wall: clock::wall(), boot: clock::boot() }
    }
}

impl Sidecar {
    /// A sidecar out of its setup. Nothing is asked, opened or started here.
    #[must_use]
    pub fn new(setup: Setup) -> Arc<Self> {
        Arc::new(Self {
            asking: Asking::new(&setup),
            tally: Tally::new(&setup.levers),
            versions: Versions::default(),
            rates: Rates::new(RATE_WINDOWS),
            tokens: KeptTokens::default(),
            usage: Usage::default(),
            unproven: Allowance::of(setup.bounds.unproven_body_bytes),
            started: clock::wall(),
            setup,
        })
    }

    /// What is known of a class of answers at this moment. Waits for a store that is still being opened.
    pub(in crate::sidecar) async fn known(&self, class: Class, moment: Moment) -> Known {
        let mut held = self.held(moment);
        if held.view.is_none() {
            self.setup.following.opened(OPENING_WAIT).await;
            held = self.held(moment);
        }
        let freshness = self.setup.freshness.of(class).judge(held.age.0);
        Known { view: held.view.filter(|_| freshness != Freshness::Expired), age: held.age, freshness, caught_up: held.caught_up }
    }

    fn held(&self, moment: Moment) -> Held {
        let following = &self.setup.following;
        let (age, caught_up) = (Age(following.age(moment.boot)), following.caught_up());
        // The view last: another generation may begin to serve meanwhile, and what was said of the one before is only older.
        Held { age, caught_up, view: following.view() }
    }
}

/// What the follower holds, and what is said of it.
struct Held {
    age: Age,
    caught_up: bool,
    view: Option<View>,
}

impl Answer for Sidecar {
    async fn answer(self: &Arc<Self>, asked: Asked) -> Reply {
        gate::pass(self, asked).await
    }
}
