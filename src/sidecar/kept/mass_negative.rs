//! The guard against a GitLab that suddenly does not know most of the keys that it knew: a restored backup, the wrong database, a lost
//! decryption key, another instance behind a wrong address. Such a GitLab must not log everybody out.
//!
//! What a no takes back about a key is remembered for [`WINDOW`] and given to nobody. Once the primary does not know more than a share of
//! the keys that this host knew and asked about within that time, a *hold* begins: what was taken back about each key that is unknown
//! comes back, and so does what is taken back while it lasts. Each answer comes back for at most `hold` after its no. The hold ends when
//! `hold` is over, when the primary knows all of these keys again, or when an operator says so; then what is left is taken to be removed.
//!
//! Only what the primary says of a *key* begins a hold, and brings anything back: a no about access counts as long as the primary knows the
//! key. A 401 that names the key or the account counts always. Pure: time is an argument.

use std::sync::Arc;
use std::time::Duration;

use crate::api::request::RequestTime;
use crate::model::id::Id;
use crate::model::kept_answer::{KeptAnswer, KeptSubject, QuestionKey};
use crate::model::time::{BootTime, Time};
use crate::sidecar::config::MassNegative;
use crate::sidecar::kept::asked_keys::{AskedCounts, AskedKeys, KeyAnswer, KeyOwner, WINDOW};
use crate::sidecar::kept::taken_back::{TakenBack, counted_bytes};

/// An answer that was taken out of what is kept.
pub type Evicted = (QuestionKey, Arc<KeptAnswer>);

/// The guard of one sidecar.
pub struct MassNegativeGuard {
    config: MassNegative,
    asked: AskedKeys,
    taken_back: TakenBack,
    hold: Option<Hold>,
}

/// A hold that lasts.
#[derive(Clone, Copy)]
pub struct Hold {
    /// When it began.
    pub since: RequestTime,
    /// What began it.
    pub counts: AskedCounts,
}

/// What became of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum GuardChange {
    /// Nothing.
    None,
    /// A hold began.
    Began(AskedCounts),
    /// A hold ended, with so many keys that the primary still does not know.
    Ended(HoldEnd, usize),
}

/// Why a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// It lasted for as long as it may.
    Over,
    /// No key is left that the primary does not know: it knows them again, or they were removed otherwise.
    NoneUnknown,
}

/// The state of the guard, for the operator.
#[derive(Clone, Copy)]
pub struct GuardStatus {
    /// When the guard acts.
    pub config: MassNegative,
    /// What the primary was asked within the last minute.
    pub counts: AskedCounts,
    /// The hold, if one lasts, and for how long it will.
    pub hold: Option<(Hold, Duration)>,
    /// How many keys it does not know, of those whose answers are remembered.
    pub unknown_keys: usize,
    /// How many answers are remembered.
    pub answers: usize,
}

impl MassNegativeGuard {
    /// Creates a guard that remembers nothing.
    #[must_use]
    pub fn new(config: MassNegative) -> Self {
        Self { config, asked: AskedKeys::default(), taken_back: TakenBack::default(), hold: None }
    }

    /// Remembers what a no about a key took back, where it fits into `room` bytes.
    pub fn remember(&mut self, evicted: Vec<Evicted>, room: usize, now: BootTime) {
        if self.config.hold.is_zero() {
            return;
        }
        for (question, answer) in evicted {
            if self.taken_back.bytes() + counted_bytes(&answer) <= room {
                self.taken_back.remember(question, answer, now);
            }
        }
    }

    /// Returns the answer to a question that is remembered, whether or not it comes back.
    #[must_use]
    pub fn remembered(&self, question: QuestionKey) -> Option<&KeptAnswer> {
        self.taken_back.find(question).map(|taken| &*taken.answer)
    }

    /// Returns what the remembered answers about a key are about.
    pub fn subjects_of_key(&self, key: Id) -> impl Iterator<Item = &KeptSubject> {
        self.taken_back.of_key(key).flat_map(|answer| &answer.subjects)
    }

    /// Returns whether the answer to a question is remembered: it was known until lately.
    #[must_use]
    pub fn remembers(&self, question: QuestionKey) -> bool {
        self.taken_back.find(question).is_some()
    }

    /// Counts that the primary does not know a key that this host knew. What was taken back about it is remembered before.
    pub fn record_unknown(&mut self, question: QuestionKey, owner: KeyOwner, now: RequestTime) -> GuardChange {
        self.taken_back.mark_unknown(question);
        self.record(question, owner, KeyAnswer::Unknown, now)
    }

    /// Counts that the primary knows a key that this host knew.
    pub fn record_known(&mut self, question: QuestionKey, owner: KeyOwner, now: RequestTime) -> GuardChange {
        self.taken_back.forget_key_of(question);
        self.record(question, owner, KeyAnswer::Known, now)
    }

    fn record(&mut self, question: QuestionKey, owner: KeyOwner, answer: KeyAnswer, now: RequestTime) -> GuardChange {
        let ended = self.advance(now.boot);
        if ended != GuardChange::None {
            return ended;
        }
        self.asked.record(question, owner, answer, now.boot);
        let counts = self.asked.counts(now.boot);
        if self.hold.is_some() {
            return if self.taken_back.unknown_keys() == 0 { self.end(HoldEnd::NoneUnknown) } else { GuardChange::None };
        }
        if self.taken_back.unknown_keys() > 0 && self.config.is_exceeded(counts) {
            self.hold = Some(Hold { since: now, counts });
            return GuardChange::Began(counts);
        }
        GuardChange::None
    }

    /// Forgets what is too old, and ends a hold that has lasted for as long as it may.
    pub fn advance(&mut self, now: BootTime) -> GuardChange {
        match self.hold {
            Some(hold) if now.since(hold.since.boot) > self.config.hold => self.end(HoldEnd::Over),
            Some(_) => GuardChange::None,
            None => {
                self.taken_back.forget_older(WINDOW, now);
                GuardChange::None
            }
        }
    }

    fn end(&mut self, end: HoldEnd) -> GuardChange {
        let unknown_keys = self.taken_back.unknown_keys();
        (self.hold, self.taken_back) = (None, TakenBack::default());
        if end == HoldEnd::Over {
            self.asked = AskedKeys::default();
        }
        GuardChange::Ended(end, unknown_keys)
    }

    /// Returns an answer that comes back, and nothing while no hold lasts.
    #[must_use]
    pub fn given_back(&self, question: QuestionKey, now: RequestTime) -> Option<&KeptAnswer> {
        let hold = self.hold?;
        let taken = self.taken_back.find(question)?;
        let lasts = now.boot.since(hold.since.boot) <= self.config.hold && now.boot.since(taken.at) <= self.config.hold;
        let is_expired = taken.answer.is_key_expired(now.wall) || self.taken_back.key_end(taken).is_some_and(|end| is_over(end, now));
        (lasts && !is_expired && self.taken_back.is_key_unknown(taken)).then_some(&taken.answer)
    }

    /// Returns whether a hold lasts.
    #[must_use]
    pub fn is_holding(&self, now: BootTime) -> bool {
        self.hold.is_some_and(|hold| now.since(hold.since.boot) <= self.config.hold)
    }

    /// Forgets the answer to a question, which has another one now.
    pub fn forget(&mut self, question: QuestionKey) {
        self.taken_back.forget(question);
    }

    /// Forgets everything about a key that the primary knows: a no about access by it was meant.
    pub fn forget_key(&mut self, key: Id) {
        self.taken_back.forget_key(key);
    }

    /// Forgets everything about the key that a question is about.
    pub fn forget_key_of(&mut self, question: QuestionKey) {
        self.asked.forget(question);
        self.taken_back.forget_key_of(question);
    }

    /// Forgets everything about a subject.
    pub fn forget_subject(&mut self, subject: &KeptSubject) {
        self.taken_back.forget_subject(subject);
    }

    /// Returns who is known by what is remembered to be one actor with a user.
    #[must_use]
    pub fn actors_of(&self, subject: &KeptSubject) -> Vec<KeptSubject> {
        self.taken_back.actors_of(subject).cloned().collect()
    }

    /// Forgets everything, and ends a hold. Returns how many answers that were.
    pub fn clear(&mut self) -> usize {
        let answers = self.taken_back.len();
        *self = Self::new(self.config);
        answers
    }

    /// Returns how many answers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken_back.len()
    }

    /// Returns its state.
    pub fn status(&mut self, now: BootTime) -> GuardStatus {
        let remaining = |hold: Hold| (hold, self.config.hold.saturating_sub(now.since(hold.since.boot)));
        GuardStatus {
            config: self.config,
            hold: self.hold.map(remaining),
            counts: self.asked.counts(now),
            unknown_keys: self.taken_back.unknown_keys(),
            answers: self.taken_back.len(),
        }
    }
}

impl MassNegative {
    /// Returns whether the primary does not know so many keys that a hold begins.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
    fn is_exceeded(self, counts: AskedCounts) -> bool {
        counts.asked >= self.at_least && counts.unknown as f64 > self.share * counts.asked as f64
    }
}

fn is_over(end: Time, now: RequestTime) -> bool {
    end <= now.wall
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{GuardChange, HoldEnd, MassNegativeGuard};
    use crate::api::request::RequestTime;
    use crate::model::digest::Digest;
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject, QuestionKey};
    use crate::model::kept_body::KeptBody;
    use crate::model::time::{BootTime, Time};
    use crate::sidecar::config::MassNegative;
    use crate::sidecar::kept::asked_keys::{AskedCounts, KeyOwner};
    use crate::sidecar::kept::taken_back::counted_bytes;

    const HOLD: u64 = 100;
    const CONFIG: MassNegative = MassNegative { at_least: 4, share: 0.5, hold: Duration::from_secs(HOLD) };
    const ROOMY: usize = usize::MAX;

    /// A question of one key: for the key itself, or for access by it.
    type Question = (u64, KeptKind);

    fn question((key, kind): Question) -> QuestionKey {
        QuestionKey(Digest::of(format!("{key} {kind:?}").as_bytes()))
    }

    fn subject(key: u64) -> KeptSubject {
        KeptSubject::Key(key.try_into().unwrap())
    }

    fn answer((key, kind): Question) -> Arc<KeptAnswer> {
        let (proven_at, subjects) = (ProofTime::at(BootTime::default()), [subject(key)].into());
        Arc::new(KeptAnswer {
            kind,
            body: KeptBody::new(b"{}").unwrap(),
            proven_at,
            expires_at: None,
            subjects,
            origin: AnswerOrigin::Primary,
        })
    }

    /// Each key has an owner of its own.
    fn owner(key: u64) -> KeyOwner {
        KeyOwner::Subject(KeptSubject::User(key.try_into().unwrap()))
    }

    fn at(seconds: u64) -> RequestTime {
        RequestTime { wall: Time::from_milliseconds(0).unwrap(), boot: BootTime(Duration::from_secs(seconds)) }
    }

    const fn of_key(key: u64) -> [Question; 2] {
        [(key, KeptKind::AuthorizedKeys), (key, KeptKind::Pull)]
    }

    /// Takes back everything of a key that was known.
    fn remove_key(guard: &mut MassNegativeGuard, key: u64, now: RequestTime) -> GuardChange {
        guard.remember(of_key(key).map(|asked| (question(asked), answer(asked))).into(), ROOMY, now.boot);
        guard.record_unknown(question((key, KeptKind::AuthorizedKeys)), owner(key), now)
    }

    fn know_key(guard: &mut MassNegativeGuard, key: u64, now: RequestTime) -> GuardChange {
        guard.forget_key(key.try_into().unwrap());
        guard.record_known(question((key, KeptKind::AuthorizedKeys)), owner(key), now)
    }

    fn is_given(guard: &MassNegativeGuard, key: u64, now: RequestTime) -> bool {
        let [of_key, access] = of_key(key).map(|asked| guard.given_back(question(asked), now).is_some());
        assert_eq!(of_key, access, "all of a key comes back together");
        of_key
    }

    #[test]
    fn more_than_the_share_of_at_least_so_many_keys_begins_a_hold() {
        for (known, unknown, begins) in [(0, 3, false), (0, 4, true), (2, 2, false), (2, 3, true), (100, 100, false), (100, 101, true)] {
            let mut guard = MassNegativeGuard::new(CONFIG);
            (1..=known).for_each(|key| assert_eq!(know_key(&mut guard, 1000 + key, at(1)), GuardChange::None));
            let last = (1..=unknown).map(|key| remove_key(&mut guard, key, at(2))).last();
            let counts = AskedCounts { asked: usize::try_from(known + unknown).unwrap(), unknown: usize::try_from(unknown).unwrap() };
            let expected = if begins { GuardChange::Began(counts) } else { GuardChange::None };
            assert_eq!((last, is_given(&guard, 1, at(2))), (Some(expected), begins), "{unknown} unknown, {known} known");
        }
    }

    #[test]
    fn one_key_that_is_asked_ten_times_counts_once() {
        let mut guard = MassNegativeGuard::new(CONFIG);
        (0..10).for_each(|_| assert_eq!(remove_key(&mut guard, 1, at(1)), GuardChange::None));
        assert!(!is_given(&guard, 1, at(1)));
    }

    #[test]
    fn removals_that_are_more_than_a_minute_apart_begin_nothing() {
        let mut guard = MassNegativeGuard::new(CONFIG);
        for key in 1..20 {
            assert_eq!(remove_key(&mut guard, key, at(key * 21)), GuardChange::None);
        }
    }

    #[test]
    fn nothing_comes_back_for_longer_than_the_hold_after_its_no_and_what_is_left_is_gone() {
        let mut guard = MassNegativeGuard::new(CONFIG);
        (1..=3).for_each(|key| assert_eq!(remove_key(&mut guard, key, at(key * 10)), GuardChange::None));
        assert!(matches!(remove_key(&mut guard, 4, at(50)), GuardChange::Began(_)));
        assert_eq!(remove_key(&mut guard, 5, at(100)), GuardChange::None);
        for (second, given) in
            [(50, [true; 5]), (110, [true; 5]), (111, [false, true, true, true, true]), (150, [false, false, false, true, true])]
        {
            assert_eq!(guard.advance(at(second).boot), GuardChange::None);
            assert_eq!([1, 2, 3, 4, 5].map(|key| is_given(&guard, key, at(second))), given, "second {second}");
        }
        assert!(!is_given(&guard, 5, at(151)), "before the clock was looked at");
        assert_eq!(guard.advance(at(151).boot), GuardChange::Ended(HoldEnd::Over, 5));
        assert_eq!((guard.len(), guard.status(at(151).boot).counts), (0, AskedCounts::default()), "and they begin no other hold");
    }

    #[test]
    fn a_hold_ends_once_the_primary_knows_the_keys_again() {
        let mut guard = MassNegativeGuard::new(CONFIG);
        assert!((1..=4).any(|key| matches!(remove_key(&mut guard, key, at(1)), GuardChange::Began(_))));
        (1..=3).for_each(|key| assert_eq!(know_key(&mut guard, key, at(2)), GuardChange::None));
        assert_eq!(([3, 4].map(|key| is_given(&guard, key, at(2)))), [false, true]);
        assert_eq!(know_key(&mut guard, 4, at(2)), GuardChange::Ended(HoldEnd::NoneUnknown, 0));
    }

    #[test]
    fn an_expired_key_does_not_come_back_nor_does_access_by_it() {
        let mut guard = MassNegativeGuard::new(CONFIG);
        let [key, access] = of_key(1);
        let expiring = KeptAnswer { expires_at: Time::from_milliseconds(5), ..KeptAnswer::clone(&answer(key)) };
        guard.remember(vec![(question(key), Arc::new(expiring)), (question(access), answer(access))], ROOMY, at(1).boot);
        (2..=4).for_each(|key| assert_eq!(remove_key(&mut guard, key, at(1)), GuardChange::None));
        assert!(matches!(guard.record_unknown(question(key), KeyOwner::Unknown(question(key)), at(1)), GuardChange::Began(_)));
        let later = RequestTime { wall: Time::from_milliseconds(5).unwrap(), ..at(1) };
        assert_eq!((is_given(&guard, 1, at(1)), is_given(&guard, 1, later)), (true, false));
    }

    #[test]
    fn what_does_not_fit_is_not_remembered_and_without_a_hold_nothing_is() {
        let evicted = || of_key(1).map(|asked| (question(asked), answer(asked))).to_vec();
        let mut guard = MassNegativeGuard::new(CONFIG);
        let one = counted_bytes(&evicted()[0].1);
        guard.remember(evicted(), 2 * one - 1, at(1).boot);
        assert_eq!(guard.len(), 1);
        let mut guard = MassNegativeGuard::new(MassNegative { hold: Duration::ZERO, ..CONFIG });
        guard.remember(evicted(), ROOMY, at(1).boot);
        assert_eq!(guard.len(), 0);
    }

    /// What happens, in any order.
    #[derive(Clone, Debug)]
    enum Step {
        /// The primary answers for a key, or for access by it: it knows it, or not.
        Answer(Question, bool),
        /// The primary refuses the key by name, or an operator takes back everything about it.
        Refuse(u64),
        InvalidateAll,
        Pass(u64),
    }

    const KEYS: std::ops::Range<u64> = 1..7;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let kind = prop_oneof![3 => Just(KeptKind::AuthorizedKeys), 1 => Just(KeptKind::Pull)];
        let step = prop_oneof![
            20 => ((KEYS, kind), any::<bool>()).prop_map(|(asked, knows)| Step::Answer(asked, knows)),
            2 => KEYS.prop_map(Step::Refuse),
            1 => Just(Step::InvalidateAll),
            6 => (0..40_u64).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..120)
    }

    /// What the guard should do, computed anew from everything that happened.
    #[derive(Default)]
    struct Model {
        now: u64,
        kept: BTreeSet<Question>,
        taken: BTreeMap<Question, u64>,
        unknown: BTreeSet<u64>,
        answers: Vec<(u64, u64, bool)>,
        hold: Option<u64>,
    }

    impl Model {
        fn knows(&self, asked: Question) -> bool {
            self.kept.contains(&asked) || self.taken.contains_key(&asked)
        }

        /// The last answer within a minute of each key: how many, and how many of them are unknown.
        fn counts(&self) -> (usize, usize) {
            let recent = self.answers.iter().filter(|(at, ..)| self.now - at <= 60);
            let last: BTreeMap<u64, bool> = recent.map(|(_, key, knows)| (*key, *knows)).collect();
            (last.len(), last.values().filter(|knows| !**knows).count())
        }

        fn take_back(&mut self, questions: &[Question]) -> Vec<Question> {
            let taken: Vec<Question> = questions.iter().filter(|asked| self.kept.remove(asked)).copied().collect();
            self.taken.extend(taken.iter().map(|asked| (*asked, self.now)));
            taken
        }

        fn forget(&mut self, questions: &[Question]) {
            self.taken.retain(|asked, _| !questions.contains(asked));
            self.unknown.retain(|key| of_key(*key).iter().any(|asked| self.taken.contains_key(asked)));
        }

        fn count(&mut self, key: u64, knows: bool) {
            self.answers.push((self.now, key, knows));
            let (asked, unknown) = self.counts();
            if self.hold.is_some() && self.unknown.is_empty() {
                (self.hold, self.taken) = (None, BTreeMap::new());
            } else if self.hold.is_none() && !self.unknown.is_empty() && asked >= 4 && 2 * unknown > asked {
                self.hold = Some(self.now);
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += seconds;
            if self.hold.is_some_and(|since| self.now - since > HOLD) {
                *self = Self { now: self.now, kept: std::mem::take(&mut self.kept), ..Self::default() };
            }
            if self.hold.is_none() {
                let old: Vec<Question> = self.taken.iter().filter(|(_, at)| self.now - **at > 60).map(|(asked, _)| *asked).collect();
                self.forget(&old);
            }
        }

        fn is_given(&self, asked: Question) -> bool {
            let is_recent = self.taken.get(&asked).is_some_and(|at| self.now - at <= HOLD);
            self.hold.is_some() && is_recent && self.unknown.contains(&asked.0)
        }
    }

    /// Takes one step, in the guard as what is kept takes it.
    fn take(guard: &mut MassNegativeGuard, model: &mut Model, step: &Step) {
        match step {
            Step::Answer(asked @ (key, KeptKind::AuthorizedKeys), true) => {
                if model.knows(*asked) {
                    let _shown = know_key(guard, *key, at(model.now));
                    model.forget(&of_key(*key));
                    model.count(*key, true);
                }
                guard.forget_key((*key).try_into().unwrap());
                model.forget(&of_key(*key));
                model.kept.insert(*asked);
            }
            Step::Answer(asked, true) => {
                guard.forget(question(*asked));
                model.forget(&[*asked]);
                model.kept.insert(*asked);
            }
            Step::Answer(asked, false) => {
                let (is_known, is_kept) = (model.knows(*asked), model.kept.contains(asked));
                let is_key = asked.1 == KeptKind::AuthorizedKeys;
                let taken = if is_key && is_kept { model.take_back(&of_key(asked.0)) } else { model.take_back(&[*asked]) };
                guard.remember(taken.into_iter().map(|asked| (question(asked), answer(asked))).collect(), ROOMY, at(model.now).boot);
                if is_key && is_known {
                    let _shown = guard.record_unknown(question(*asked), owner(asked.0), at(model.now));
                    model.unknown.insert(asked.0);
                    model.count(asked.0, false);
                }
            }
            Step::Refuse(key) => {
                guard.forget_subject(&subject(*key));
                model.kept.retain(|(of, _)| of != key);
                model.forget(&of_key(*key));
            }
            Step::InvalidateAll => {
                guard.clear();
                *model = Model { now: model.now, ..Model::default() };
            }
            Step::Pass(seconds) => {
                model.pass(*seconds);
                let _shown = guard.advance(at(model.now).boot);
            }
        }
    }

    proptest! {
        #[test]
        fn it_gives_back_what_a_model_gives_back_and_nothing_that_is_kept(steps in steps()) {
            let (mut guard, mut model) = (MassNegativeGuard::new(CONFIG), Model { now: 1000, ..Model::default() });
            for (number, step) in steps.iter().enumerate() {
                take(&mut guard, &mut model, step);
                for asked in KEYS.flat_map(of_key) {
                    let given = guard.given_back(question(asked), at(model.now)).is_some();
                    prop_assert_eq!(given, model.is_given(asked), "{:?} after step {}, {:?}", asked, number, step);
                    prop_assert!(!(given && model.kept.contains(&asked)));
                }
                let status = guard.status(at(model.now).boot);
                prop_assert_eq!((status.counts.asked, status.counts.unknown), model.counts(), "after step {}, {:?}", number, step);
                prop_assert_eq!((status.answers, status.unknown_keys), (model.taken.len(), model.unknown.len()));
            }
        }
    }
}
