//! The kept answers in memory: found by question, removed by subject, bounded in number and bytes.
//!
//! What goes first where there is no room: the answer that was used longest ago, to the second; and of an actor who holds more than their
//! share of the places or bytes, their own. Pure: time is an argument.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::model::freshness::ProofTime;
use crate::model::id::Id;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject, QuestionKey};
use crate::model::time::{BootTime, Time};
use crate::sidecar::config::KeptBounds;
use crate::sidecar::kept::recency::{Links, Node, SLOTS, UseOrder};

/// What an answer takes in memory besides its body, in bytes, as it is counted: its entries in the tables, measured with 100,000 answers
/// of `allowed`.
pub const ENTRY_OVERHEAD_BYTES: usize = 704;
/// One actor holds at most this part of the places, and of the bytes: one in so many.
const ACTOR_SHARE: usize = 100;

/// What an insertion pushed out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PushedOut {
    /// Because all places or bytes were taken.
    pub for_room: Vec<QuestionKey>,
    /// Because their actor had more than their share.
    pub for_share: Vec<QuestionKey>,
}

impl PushedOut {
    /// Returns all of them.
    #[must_use]
    pub fn into_keys(self) -> Vec<QuestionKey> {
        [self.for_room, self.for_share].concat()
    }
}

/// On which occasion an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The one on which it was asked for: sshd looks a key up twice for one login.
    Same,
    /// A later one.
    Another,
}

/// A kept answer in its place.
pub struct Place {
    /// What it is kept under.
    pub key: QuestionKey,
    /// The answer.
    pub answer: Arc<KeptAnswer>,
    /// Whether it was given since it was proven, on another occasion.
    pub used_since_proof: bool,
    /// The second in which it was used last.
    used: u32,
}

/// The slot of the order of all places; the others are of its subjects, in their order.
const OF_ALL: usize = 0;
/// The most subjects that an answer may have.
const MAX_SUBJECTS: usize = SLOTS - 1;

/// What is kept about one subject.
#[derive(Clone, Copy, Default)]
struct SubjectPlaces {
    by_use: UseOrder,
    count: u32,
    bytes: usize,
}

/// The kept answers.
pub struct KeptIndex {
    bounds: KeptBounds,
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    numbers: HashMap<QuestionKey, u32>,
    links: Links,
    by_use: UseOrder,
    /// By the subject's hash: its text is in the answers. Two with one hash have their places together, and each finds its own.
    by_subject: HashMap<u64, SubjectPlaces>,
    hasher: RandomState,
    by_proof: BTreeSet<(i64, u32)>,
    /// When the keys expire whose `authorized_keys` is kept, of those that do.
    key_ends: HashMap<Id, Time>,
    counts: [usize; KeptKind::ALL.len()],
    /// How many came from a file.
    warmed: usize,
    bytes: usize,
}

impl KeptIndex {
    /// Creates an empty index.
    #[must_use]
    pub fn new(bounds: KeptBounds) -> Self {
        Self {
            bounds,
            places: Vec::new(),
            free: Vec::new(),
            numbers: HashMap::new(),
            links: Links::default(),
            by_use: UseOrder::default(),
            by_subject: HashMap::new(),
            hasher: RandomState::new(),
            by_proof: BTreeSet::new(),
            key_ends: HashMap::new(),
            counts: [0; KeptKind::ALL.len()],
            warmed: 0,
            bytes: 0,
        }
    }

    /// Returns what is kept under a question.
    #[must_use]
    pub fn find(&self, key: QuestionKey) -> Option<&Place> {
        self.places.get(*self.numbers.get(&key)? as usize)?.as_ref()
    }

    /// Notes that an answer is given, and whether that is on another occasion than the one on which it was asked for. Returns whether it is
    /// the first such time since it was proven.
    pub fn mark_used(&mut self, key: QuestionKey, now: BootTime, occasion: Occasion) -> bool {
        let Some(&number) = self.numbers.get(&key) else { return false };
        let Some(place) = self.places.get_mut(number as usize).and_then(Option::as_mut) else { return false };
        let is_first = occasion == Occasion::Another && !std::mem::replace(&mut place.used_since_proof, true);
        let (before, now) = (place.used, seconds(now));
        if before < now {
            place.used = now;
            let answer = Arc::clone(&place.answer);
            self.leave_orders(number, &answer);
            self.join_orders(number, &answer, now);
        }
        is_first
    }

    /// Puts a place into the order of all and into those of its subjects; where it is not known when it was used, as the oldest.
    fn join_orders(&mut self, number: u32, answer: &KeptAnswer, used: u32) {
        let push = if used == 0 { Links::push_oldest } else { Links::push_newest };
        push(&mut self.links, &mut self.by_use, Node::new(number, OF_ALL));
        for (slot, subject) in (OF_ALL + 1..).zip(&answer.subjects) {
            let places = self.by_subject.entry(self.hasher.hash_one(subject)).or_default();
            push(&mut self.links, &mut places.by_use, Node::new(number, slot));
            places.count += 1;
            places.bytes += counted_bytes(answer);
        }
    }

    /// Takes a place out of all of them.
    fn leave_orders(&mut self, number: u32, answer: &KeptAnswer) {
        self.links.remove(&mut self.by_use, Node::new(number, OF_ALL));
        for (slot, subject) in (OF_ALL + 1..).zip(&answer.subjects) {
            let hash = self.hasher.hash_one(subject);
            if let Some(places) = self.by_subject.get_mut(&hash) {
                self.links.remove(&mut places.by_use, Node::new(number, slot));
                places.count -= 1;
                places.bytes -= counted_bytes(answer);
                if places.by_use.is_empty() {
                    self.by_subject.remove(&hash);
                }
            }
        }
    }

    /// Keeps an answer in place of the one before, and makes room for it. An answer that is larger than all bytes is pushed out at once.
    pub fn insert(&mut self, key: QuestionKey, answer: Arc<KeptAnswer>, now: BootTime) -> PushedOut {
        self.remove(key);
        let mut pushed_out = PushedOut::default();
        if answer.subjects.len() > MAX_SUBJECTS || self.places.len() >= Node::MAX_PLACES {
            pushed_out.for_room.push(key);
            return pushed_out;
        }
        if let Some(holder) = answer.share_holder().map(|holder| self.hasher.hash_one(holder)) {
            let bytes = counted_bytes(&answer);
            while let Some(places) = self.by_subject.get(&holder)
                && !self.has_share_left(*places, bytes)
                && let Some(number) = places.by_use.oldest()
            {
                pushed_out.for_share.extend(self.remove_place(number));
            }
        }
        self.add(key, answer, now);
        while (self.numbers.len() > self.bounds.answers || self.bytes > self.bounds.bytes)
            && let Some(number) = self.by_use.oldest()
        {
            pushed_out.for_room.extend(self.remove_place(number));
        }
        pushed_out
    }

    /// Returns whether an actor's share has room for one more answer.
    fn has_share_left(&self, places: SubjectPlaces, bytes: usize) -> bool {
        (places.count as usize) < (self.bounds.answers / ACTOR_SHARE).max(1) && places.bytes + bytes <= self.bounds.bytes / ACTOR_SHARE
    }

    fn add(&mut self, key: QuestionKey, answer: Arc<KeptAnswer>, now: BootTime) {
        let used = seconds(now);
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        self.numbers.insert(key, number);
        self.links.add_place(number);
        self.join_orders(number, &answer, used);
        self.by_proof.insert((answer.proven_at.boot_milliseconds(), number));
        if let Some((key, end)) = key_end_of(&answer) {
            self.key_ends.insert(key, end);
        }
        self.counts[answer.kind as usize] += 1;
        self.warmed += usize::from(answer.origin == AnswerOrigin::File);
        self.bytes += counted_bytes(&answer);
        self.places[number as usize] = Some(Place { key, answer, used_since_proof: false, used });
    }

    /// Removes what is kept under a question.
    pub fn remove(&mut self, key: QuestionKey) -> Option<Arc<KeptAnswer>> {
        let number = *self.numbers.get(&key)?;
        let answer = self.places.get(number as usize)?.as_ref().map(|place| Arc::clone(&place.answer));
        self.remove_place(number);
        answer
    }

    fn remove_place(&mut self, number: u32) -> Option<QuestionKey> {
        let Place { key, answer, .. } = self.places.get_mut(number as usize)?.take()?;
        self.free.push(number);
        self.numbers.remove(&key);
        self.leave_orders(number, &answer);
        self.by_proof.remove(&(answer.proven_at.boot_milliseconds(), number));
        if let Some((key, _)) = key_end_of(&answer) {
            self.key_ends.remove(&key);
        }
        self.counts[answer.kind as usize] -= 1;
        self.warmed -= usize::from(answer.origin == AnswerOrigin::File);
        self.bytes -= counted_bytes(&answer);
        Some(key)
    }

    /// Returns all that is kept about a subject.
    pub fn about<'a>(&'a self, subject: &'a KeptSubject) -> impl Iterator<Item = &'a Place> + use<'a> {
        let order = self.by_subject.get(&self.hasher.hash_one(subject)).map(|places| places.by_use);
        let numbers = order.into_iter().flat_map(|order| self.links.places(order));
        let places = numbers.filter_map(|number| self.places.get(number as usize)?.as_ref());
        places.filter(move |place| place.answer.subjects.contains(subject))
    }

    /// Returns whom something is kept about: keys, users and names.
    #[must_use]
    pub fn actors(&self) -> HashSet<KeptSubject> {
        let answers = self.places.iter().flatten().map(|place| &place.answer);
        answers.flat_map(|answer| answer.subjects.iter()).filter(|subject| subject.is_actor()).cloned().collect()
    }

    /// Returns when a key expires, if its `authorized_keys` is kept and says so.
    #[must_use]
    pub fn key_end(&self, key: Id) -> Option<Time> {
        self.key_ends.get(&key).copied()
    }

    /// Returns the answer that was proven longest ago.
    #[must_use]
    pub fn oldest(&self) -> Option<&Place> {
        self.by_proof.first().and_then(|(_, number)| self.places.get(*number as usize)?.as_ref())
    }

    /// Returns when the youngest proof is from.
    #[must_use]
    pub fn newest_proof(&self) -> Option<ProofTime> {
        self.by_proof.last().map(|(time, _)| ProofTime::from_boot_milliseconds(*time))
    }

    /// Removes everything; returns what was kept.
    pub fn clear(&mut self) -> Vec<QuestionKey> {
        let keys = self.numbers.keys().copied().collect();
        *self = Self::new(self.bounds);
        keys
    }

    /// Returns how many answers of a kind are kept.
    #[must_use]
    pub const fn count(&self, kind: KeptKind) -> usize {
        self.counts[kind as usize]
    }

    /// Returns how many answers are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns how many of them came from a file.
    #[must_use]
    pub const fn warmed(&self) -> usize {
        self.warmed
    }

    /// Returns whether an answer has room without pushing out one of another question.
    #[must_use]
    pub fn has_room_for(&self, key: QuestionKey, answer: &KeptAnswer) -> bool {
        let before = self.find(key).map_or(0, |place| counted_bytes(&place.answer));
        let bytes = self.bytes - before + counted_bytes(answer);
        let places = answer.share_holder().and_then(|holder| self.by_subject.get(&self.hasher.hash_one(holder)));
        let has_share = places.is_none_or(|places| self.has_share_left(*places, counted_bytes(answer)));
        bytes <= self.bounds.bytes && (before > 0 || has_share && self.numbers.len() < self.bounds.answers)
    }

    /// Returns how many bytes they take, as they are counted.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bounds.
    #[must_use]
    pub const fn bounds(&self) -> KeptBounds {
        self.bounds
    }
}

fn key_end_of(answer: &KeptAnswer) -> Option<(Id, Time)> {
    if answer.kind == KeptKind::AuthorizedKeys { Some((answer.key_id()?, answer.expires_at?)) } else { None }
}

fn counted_bytes(answer: &KeptAnswer) -> usize {
    answer.body.held().len() + ENTRY_OVERHEAD_BYTES
}

fn seconds(time: BootTime) -> u32 {
    u32::try_from(time.0.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{ENTRY_OVERHEAD_BYTES, KeptIndex, Occasion};
    use crate::model::digest::Digest;
    use crate::model::freshness::ProofTime;
    use crate::model::id::Id;
    use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject, QuestionKey};
    use crate::model::kept_body::KeptBody;
    use crate::model::time::BootTime;
    use crate::sidecar::config::KeptBounds;

    const ROOMY: usize = usize::MAX;

    fn key(number: u64) -> QuestionKey {
        QuestionKey(Digest::of(&number.to_be_bytes()))
    }

    fn at(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    fn user(number: u64) -> KeptSubject {
        KeptSubject::User(Id::try_from(number).unwrap())
    }

    fn answer(subjects: &[KeptSubject], bytes: usize) -> Arc<KeptAnswer> {
        let proven_at = ProofTime::at(at(1));
        let (body, subjects) = (body(bytes), subjects.into());
        Arc::new(KeptAnswer { kind: KeptKind::Pull, body, proven_at, origin: AnswerOrigin::Primary, expires_at: None, subjects })
    }

    /// A body that is held in so many bytes.
    fn body(bytes: usize) -> KeptBody {
        let mut noise = fastrand::Rng::with_seed(bytes as u64);
        let body = KeptBody::new(&(1..bytes).map(|_| noise.u8(..)).collect::<Vec<_>>()).unwrap();
        assert_eq!(body.held().len(), bytes);
        body
    }

    fn index(answers: usize, bytes: usize) -> KeptIndex {
        KeptIndex::new(KeptBounds { answers, bytes })
    }

    #[test]
    fn one_answer_more_than_there_are_places_costs_the_one_that_was_used_longest_ago() {
        let mut index = index(3, ROOMY);
        for number in 1..=3 {
            index.insert(key(number), answer(&[user(number)], 1), at(number));
        }
        assert!(!index.mark_used(key(1), at(4), Occasion::Same), "not on the occasion on which it was asked for");
        assert!(index.mark_used(key(1), at(4), Occasion::Another));
        assert!(!index.mark_used(key(1), at(5), Occasion::Another), "only the first use since it was proven");
        let pushed_out = index.insert(key(4), answer(&[user(4)], 1), at(6));
        assert_eq!((pushed_out.for_room, pushed_out.for_share), (vec![key(2)], vec![]));
        assert_eq!(index.len(), 3);
    }

    #[test]
    fn one_byte_more_than_there_is_room_for_costs_an_answer_and_one_that_can_never_fit_is_not_kept() {
        let mut index = index(1000, 2 * (ENTRY_OVERHEAD_BYTES + 10));
        index.insert(key(1), answer(&[user(1)], 10), at(1));
        index.insert(key(2), answer(&[user(2)], 10), at(2));
        assert_eq!(index.len(), 2);
        assert_eq!(index.insert(key(2), answer(&[user(2)], 11), at(3)).for_room, [key(1)]);
        index.insert(key(3), answer(&[user(3)], 10_000), at(4));
        assert_eq!((index.len(), index.bytes()), (0, 0));
    }

    #[test]
    fn one_actor_holds_a_hundredth_of_the_bytes_and_costs_nobody_else_any() {
        let answer_bytes = ENTRY_OVERHEAD_BYTES + 100;
        let mut index = index(1_000_000, 500 * answer_bytes);
        for number in 1..=495 {
            index.insert(key(number), answer(&[user(number)], 100), at(number));
        }
        for number in 1001..=1100 {
            let pushed_out = index.insert(key(number), answer(&[user(1000)], 100), at(number));
            let expected: Vec<_> = (number > 1005).then(|| key(number - 5)).into_iter().collect();
            assert_eq!((pushed_out.for_room, pushed_out.for_share), (vec![], expected), "{number}");
        }
    }

    #[test]
    fn one_actor_holds_a_hundredth_of_the_places_and_costs_nobody_else_one() {
        let mut index = index(500, ROOMY);
        for number in 1..=400 {
            index.insert(key(number), answer(&[user(number)], 1), at(number));
        }
        for number in 1000..2000 {
            let pushed_out = index.insert(key(number), answer(&[user(7000)], 1), at(number));
            assert_eq!(pushed_out.for_room, []);
            let expected = if number < 1005 { vec![] } else { vec![key(number - 5)] };
            assert_eq!(pushed_out.for_share, expected);
        }
        assert_eq!((index.len(), index.about(&user(7000)).count()), (405, 5));
    }

    proptest! {
        #[test]
        fn it_is_a_map_whose_tables_agree(
            steps in prop::collection::vec((0..3_u8, 0..12_u64, 1..4_u64, 1..40_usize, 0..5_u64), 0..120),
        ) {
            let mut index = index(200, 6 * (ENTRY_OVERHEAD_BYTES + 40));
            let mut model: HashMap<u64, (u64, usize)> = HashMap::new();
            let mut now = 1;
            for (what, number, subject, bytes, passed) in steps {
                now += passed;
                match what {
                    0 => {
                        let pushed_out = index.insert(key(number), answer(&[user(subject)], bytes), at(now));
                        model.insert(number, (subject, bytes));
                        let gone: Vec<_> = pushed_out.for_room.into_iter().chain(pushed_out.for_share).collect();
                        model.retain(|number, _| !gone.contains(&key(*number)));
                    }
                    1 => prop_assert_eq!(index.remove(key(number)).is_some(), model.remove(&number).is_some()),
                    _ => drop(index.mark_used(key(number), at(now), Occasion::Another)),
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(index.bytes(), model.values().map(|(_, bytes)| bytes + ENTRY_OVERHEAD_BYTES).sum::<usize>());
                prop_assert!(index.bytes() <= index.bounds().bytes);
                prop_assert_eq!(index.count(KeptKind::Pull), model.len());
                for subject in 1..4 {
                    let held = model.values().filter(|(of, _)| *of == subject).count();
                    prop_assert_eq!(index.about(&user(subject)).count(), held);
                    prop_assert!(held <= 2, "more than a hundredth");
                }
            }
            prop_assert_eq!(index.clear().len(), model.len());
            prop_assert_eq!((index.len(), index.bytes(), index.oldest().is_some()), (0, 0, false));
        }
    }
}
