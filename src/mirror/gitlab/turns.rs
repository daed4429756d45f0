//! Whose turn it is to ask GitLab: the decision of the [`pacer`](crate::mirror::gitlab::pacer), without a clock, a lock or a task.
//!
//! Turns are one interval apart and are not saved up, so there is never a burst. Hooks go first, then verification, then walks, which have one
//! turn of ten all the same. A limit of GitLab's (429) stops everybody; after failures
//! an API waits longer and longer, by itself, so that a wrong shell secret does not slow the walk down.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mirror::gitlab::transport::Api;
use crate::model::time::BootTime;
use crate::net::client::backoff::Backoff;

/// The longest first wait after a failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
/// The longest wait after failures.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest wait that GitLab can ask for.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Of so many turns that are verifications' and walks', one is a walk's as long as one waits: however many keys are verified, blocked users
/// are found, and the full walk comes to its end.
const WALK_TURN_OF: u32 = 10;

/// How urgent a question is; the first goes before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A hook named it.
    Hook,
    /// Hosts use it, and it was not asked for a while.
    Verification,
    /// The walk came to it.
    Walk,
}

/// The place of somebody who waits.
pub type Place = (Priority, u64);

/// What somebody who waits has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask now. The turn is taken.
    Now,
    /// Wait until this time, or until something changes.
    At(BootTime),
    /// Wait until something changes: it is the turn of another one.
    AfterOthers,
}

/// The turns of one GitLab.
pub struct Turns {
    interval: Duration,
    next_turn: BootTime,
    limited_until: BootTime,
    rest: ApiTurns,
    internal: ApiTurns,
    waiting: BTreeMap<Place, Api>,
    /// How many verifications had their turns since the last walk's.
    verified_in_a_row: u32,
    next_ticket: u64,
}

/// The wait of one API after failures.
struct ApiTurns {
    backoff: Backoff,
    until: BootTime,
    last_failure: BootTime,
}

impl ApiTurns {
    const fn new() -> Self {
        let never = BootTime(Duration::ZERO);
        Self { backoff: Backoff::new(FIRST_BACKOFF, LONGEST_BACKOFF), until: never, last_failure: never }
    }
}

impl Turns {
    /// Starts with this many turns a second, at least one.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let never = BootTime(Duration::ZERO);
        Self {
            interval: interval(requests_per_second),
            next_turn: never,
            limited_until: never,
            rest: ApiTurns::new(),
            internal: ApiTurns::new(),
            waiting: BTreeMap::new(),
            verified_in_a_row: 0,
            next_ticket: 0,
        }
    }

    /// Sets another rate.
    pub fn set_rate(&mut self, requests_per_second: u32) {
        self.interval = interval(requests_per_second);
    }

    /// Takes a place behind all of the same priority.
    pub fn join(&mut self, priority: Priority, api: Api) -> Place {
        let place = (priority, self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(place, api);
        place
    }

    /// Gives a place up.
    pub fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Returns how many wait, by priority.
    #[must_use]
    pub fn waiting(&self, priority: Priority) -> usize {
        self.waiting.keys().filter(|(of, _)| *of == priority).count()
    }

    /// Returns what the one at this place has to do, and takes the turn if it is theirs.
    pub fn take(&mut self, place: Place, now: BootTime) -> Turn {
        let Some(api) = self.waiting.get(&place).copied() else { return Turn::AfterOthers };
        let ready = self.ready_at(api);
        if ready > now {
            return Turn::At(ready);
        }
        if self.first_ready(now) != Some(place) {
            return Turn::AfterOthers;
        }
        self.waiting.remove(&place);
        self.verified_in_a_row = match place.0 {
            Priority::Hook => self.verified_in_a_row,
            Priority::Verification => self.verified_in_a_row.saturating_add(1),
            Priority::Walk => 0,
        };
        self.next_turn = BootTime(now.0 + self.interval);
        Turn::Now
    }

    /// Returns whose turn it is: the most urgent of those whose API may be asked, or a walk's where verifications had all turns for a while.
    fn first_ready(&self, now: BootTime) -> Option<Place> {
        let mut ready = self.waiting.iter().filter(|(_, api)| self.ready_at(**api) <= now).map(|(place, _)| *place);
        let first = ready.next()?;
        let is_walks_turn = first.0 == Priority::Verification && self.verified_in_a_row + 1 >= WALK_TURN_OF;
        let walk = is_walks_turn.then(|| ready.find(|place| place.0 == Priority::Walk)).flatten();
        Some(walk.unwrap_or(first))
    }

    /// Returns when an API may be asked next.
    #[must_use]
    pub fn ready_at(&self, api: Api) -> BootTime {
        self.next_turn.max(self.limited_until).max(self.of(api).until)
    }

    /// Records that a question was answered.
    pub fn record_success(&mut self, api: Api) {
        self.of_mut(api).backoff.reset();
    }

    /// Records that a question of `asked_at` failed. Questions that were under way at the same time fail as one.
    pub fn record_failure(&mut self, api: Api, asked_at: BootTime, now: BootTime, jitter: f64) {
        let turns = self.of_mut(api);
        if asked_at < turns.last_failure {
            return;
        }
        turns.last_failure = now;
        turns.until = BootTime(now.0 + turns.backoff.next_delay(jitter));
    }

    /// Records that GitLab wants to be left alone by all, for this long or, if it does not say, as after a failure.
    pub fn record_limit(&mut self, api: Api, after: Option<Duration>, asked_at: BootTime, now: BootTime, jitter: f64) {
        self.record_failure(api, asked_at, now, jitter);
        let until = match after {
            Some(after) => BootTime(now.0 + after.min(LONGEST_RETRY_AFTER)),
            None => self.of(api).until,
        };
        self.limited_until = self.limited_until.max(until);
    }

    const fn of(&self, api: Api) -> &ApiTurns {
        match api {
            Api::Rest => &self.rest,
            Api::Internal => &self.internal,
        }
    }

    const fn of_mut(&mut self, api: Api) -> &mut ApiTurns {
        match api {
            Api::Rest => &mut self.rest,
            Api::Internal => &mut self.internal,
        }
    }
}

fn interval(requests_per_second: u32) -> Duration {
    Duration::from_secs(1) / requests_per_second.max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{LONGEST_BACKOFF, LONGEST_RETRY_AFTER, Priority, Turn, Turns};
    use crate::mirror::gitlab::transport::Api;
    use crate::model::time::BootTime;

    fn at(milliseconds: u64) -> BootTime {
        BootTime(Duration::from_millis(1_000_000 + milliseconds))
    }

    #[test]
    fn turns_are_an_interval_apart_and_not_saved_up() {
        let mut turns = Turns::new(10);
        let mut take = |now| {
            let place = turns.join(Priority::Walk, Api::Rest);
            let turn = turns.take(place, now);
            turns.leave(place);
            turn
        };
        assert_eq!(take(at(0)), Turn::Now);
        assert_eq!(take(at(99)), Turn::At(at(100)));
        assert_eq!(take(at(5000)), Turn::Now);
        assert_eq!(take(at(5000)), Turn::At(at(5100)), "a rest of five seconds saves nothing up");
    }

    #[test]
    fn hooks_go_before_verification_and_verification_before_the_walk() {
        let mut turns = Turns::new(10);
        let places: Vec<_> =
            [Priority::Walk, Priority::Verification, Priority::Hook, Priority::Hook].map(|priority| turns.join(priority, Api::Rest)).into();
        let order = [places[2], places[3], places[1], places[0]];
        for (number, next) in order.iter().enumerate() {
            let now = at(100 * number as u64);
            for later in order.iter().skip(number + 1) {
                assert_eq!(turns.take(*later, now), Turn::AfterOthers);
            }
            assert_eq!(turns.take(*next, now), Turn::Now);
        }
    }

    #[test]
    fn walks_have_one_turn_of_ten_however_much_is_verified_and_none_before_a_hook() {
        let mut turns = Turns::new(10);
        let mut places: Vec<_> = (0..30).map(|_| turns.join(Priority::Verification, Api::Internal)).collect();
        places.extend((0..2).map(|_| turns.join(Priority::Walk, Api::Rest)));
        let mut order = Vec::new();
        for number in 0..32_u64 {
            if number == 9 {
                places.push(turns.join(Priority::Hook, Api::Rest));
            }
            let next = places.iter().position(|place| turns.take(*place, at(100 * number)) == Turn::Now).unwrap();
            order.push(places.swap_remove(next).0);
        }
        let turns_of = |priority| order.iter().enumerate().filter(|(_, of)| **of == priority).map(|(turn, _)| turn).collect::<Vec<_>>();
        assert_eq!((turns_of(Priority::Hook), turns_of(Priority::Walk)), (vec![9], vec![10, 20]));
    }

    #[test]
    fn a_limit_stops_everybody_and_a_failure_only_its_own_api() {
        let mut turns = Turns::new(10);
        turns.record_limit(Api::Rest, Some(Duration::from_secs(30)), at(0), at(0), 1.0);
        assert_eq!((turns.ready_at(Api::Rest), turns.ready_at(Api::Internal)), (at(30_000), at(30_000)));
        turns.record_limit(Api::Rest, Some(Duration::MAX), at(0), at(0), 1.0);
        assert_eq!(turns.ready_at(Api::Internal), BootTime(at(0).0 + LONGEST_RETRY_AFTER));

        let mut turns = Turns::new(10);
        turns.record_failure(Api::Internal, at(0), at(0), 1.0);
        assert_eq!((turns.ready_at(Api::Rest), turns.ready_at(Api::Internal)), (BootTime(Duration::ZERO), at(2000)));
        let walk = turns.join(Priority::Walk, Api::Rest);
        let verification = turns.join(Priority::Verification, Api::Internal);
        assert_eq!(turns.take(verification, at(0)), Turn::At(at(2000)));
        assert_eq!(turns.take(walk, at(0)), Turn::Now, "who has to wait for an API lets others pass");
    }

    #[test]
    fn waits_grow_from_seconds_to_a_minute_and_end_with_an_answer() {
        let mut turns = Turns::new(10);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            turns.record_failure(Api::Rest, now, now, 1.0);
            waits.push(turns.ready_at(Api::Rest).since(now).as_secs());
            now = turns.ready_at(Api::Rest);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        turns.record_success(Api::Rest);
        turns.record_failure(Api::Rest, now, now, 0.0);
        assert_eq!(turns.ready_at(Api::Rest).since(now).as_secs(), 1);
    }

    #[test]
    fn questions_that_fail_together_count_once() {
        let mut turns = Turns::new(10);
        for number in 0..50 {
            turns.record_failure(Api::Rest, at(0), at(10 + number), 1.0);
        }
        assert_eq!(turns.ready_at(Api::Rest), at(2010));
    }

    #[derive(Clone, Debug)]
    enum Event {
        Join(Priority, Api),
        Succeed(Api),
        Fail(Api),
        Limit(Api, Option<u64>),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let api = || prop_oneof![Just(Api::Rest), Just(Api::Internal)];
        let priority = prop_oneof![Just(Priority::Hook), Just(Priority::Verification), Just(Priority::Walk)];
        prop_oneof![
            4 => (priority, api()).prop_map(|(priority, api)| Event::Join(priority, api)),
            1 => api().prop_map(Event::Succeed),
            1 => api().prop_map(Event::Fail),
            1 => (api(), proptest::option::of(0_u64..100)).prop_map(|(api, after)| Event::Limit(api, after)),
            4 => (0_u64..400).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn no_second_ever_has_more_turns_than_configured(rate in 1_u32..50, events in proptest::collection::vec(event(), 0..200)) {
            let (mut turns, mut now, mut waiting, mut taken) = (Turns::new(rate), at(0), Vec::new(), Vec::new());
            for event in events {
                match event {
                    Event::Join(priority, api) => waiting.push(turns.join(priority, api)),
                    Event::Succeed(api) => turns.record_success(api),
                    Event::Fail(api) => turns.record_failure(api, now, now, 0.5),
                    Event::Limit(api, after) => turns.record_limit(api, after.map(Duration::from_secs), now, now, 0.5),
                    Event::Pass(milliseconds) => now = BootTime(now.0 + Duration::from_millis(milliseconds)),
                }
                waiting.retain(|place| {
                    let turn = turns.take(*place, now);
                    if turn == Turn::Now {
                        taken.push(now);
                    }
                    turn != Turn::Now
                });
            }
            for pair in taken.windows(2) {
                prop_assert!(pair[1].since(pair[0]) >= Duration::from_secs(1) / rate);
            }
            prop_assert!(turns.ready_at(Api::Rest).since(now) <= LONGEST_RETRY_AFTER + LONGEST_BACKOFF);
            now = turns.ready_at(Api::Rest).max(turns.ready_at(Api::Internal)).max(now);
            while !waiting.is_empty() {
                let next = waiting.iter().position(|place| turns.take(*place, now) == Turn::Now);
                prop_assert!(next.is_some(), "nobody is forgotten");
                if let Some(next) = next {
                    waiting.swap_remove(next);
                }
                now = BootTime(now.0 + Duration::from_secs(1));
            }
        }
    }
}
