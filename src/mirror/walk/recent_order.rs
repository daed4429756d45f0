//! How far a short walk has to go: GitLab lists users by the time of their last change, newest first, and does not show the time.
//!
//! Whoever did not change since the walk before stands behind all who did, in the order of that walk. So a walk may end once it has met many in
//! a row that stand in the order of the walk before, and are as they were. One alone proves nothing, nor does a page of users who are as they
//! were: a sign-in moves a user to the front and changes nothing that is seen.

use std::collections::{HashSet, VecDeque};

use crate::model::digest::Digest;
use crate::model::id::Id;

/// So many in a row end a walk, or half of those who are remembered if these are fewer.
const ENOUGH_IN_ORDER: usize = 200;
/// Of how many the order is remembered.
pub const MAX_REMEMBERED: usize = 10_000;

/// A user as a walk met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MetUser {
    /// The user's id.
    pub id: Id,
    /// What was seen of the user.
    pub seen: Digest,
}

/// Compares a walk with the order of the walk before.
#[derive(Debug)]
pub struct RecentOrder {
    /// What is left of the order of the walk before.
    before: VecDeque<MetUser>,
    met: Vec<MetUser>,
    ids: HashSet<Id>,
    in_order: usize,
    /// How many in a row are enough; `None`: only the end of the list is.
    enough: Option<usize>,
}

impl RecentOrder {
    /// Begins a walk after one that met these users first; none: the walk goes to the end of the list.
    #[must_use]
    pub fn after(before: Vec<MetUser>) -> Self {
        let enough = (!before.is_empty()).then(|| before.len().div_ceil(2).min(ENOUGH_IN_ORDER));
        Self { before: before.into(), met: Vec::new(), ids: HashSet::new(), in_order: 0, enough }
    }

    /// Notes the next user of the list. True: all who follow are as they were.
    pub fn meet(&mut self, user: MetUser) -> bool {
        // A user may be listed twice: whoever changes between two pages moves the others down.
        if !self.ids.insert(user.id) {
            return false;
        }
        self.met.push(user);
        let is_met = |id| self.ids.contains(&id) && id != user.id;
        while self.before.front().is_some_and(|next| is_met(next.id)) {
            self.before.pop_front();
        }
        if self.before.front() == Some(&user) {
            self.before.pop_front();
            self.in_order += 1;
        } else {
            self.in_order = 0;
        }
        self.enough.is_some_and(|enough| self.in_order >= enough)
    }

    /// Returns the order that the next walk begins with: what this one met, then what is left of the walk before.
    #[must_use]
    pub fn finish(self) -> Vec<MetUser> {
        let Self { before, met, ids, .. } = self;
        let left = before.into_iter().filter(|user| !ids.contains(&user.id));
        met.iter().copied().chain(left).take(MAX_REMEMBERED).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ENOUGH_IN_ORDER, MetUser, RecentOrder};
    use crate::model::digest::Digest;

    fn user(id: u64, state: u8) -> MetUser {
        MetUser { id: id.try_into().unwrap(), seen: Digest::of(&[state]) }
    }

    /// Walks a list, and returns how many users were met, and the order for the next walk.
    fn walk(before: Vec<MetUser>, list: &[MetUser]) -> (usize, Vec<MetUser>) {
        let mut order = RecentOrder::after(before);
        let met = list.iter().position(|user| order.meet(*user)).map_or(list.len(), |last| last + 1);
        (met, order.finish())
    }

    #[test]
    fn a_page_of_users_who_are_as_they_were_proves_nothing() {
        let list: Vec<MetUser> = (1..=1000).map(|id| user(id, 0)).collect();
        let (all, before) = walk(Vec::new(), &list);
        assert_eq!(all, 1000, "without a walk before there is no end");
        assert_eq!(walk(before.clone(), &list).0, ENOUGH_IN_ORDER);
        // 500 is blocked, then 200 sign in, who stood in front or behind.
        let signed_in: Vec<MetUser> = (0..200).rev().map(|half| user(2 * half + 1, 0)).collect();
        let rest = list.iter().filter(|user| user.id != 500_u64.try_into().unwrap() && !signed_in.contains(user));
        let next: Vec<MetUser> = signed_in.iter().copied().chain([user(500, 1)]).chain(rest.copied()).collect();
        let (met, after) = walk(before, &next);
        assert_eq!(met, 201 + ENOUGH_IN_ORDER);
        assert_eq!(after, next, "what was not met stands behind, as before");
        assert_eq!(walk(after, &next).0, ENOUGH_IN_ORDER);
    }

    proptest! {
        /// Users change, visibly or not, one after the other; each walk must meet whoever has visibly changed since the one before.
        #[test]
        fn whoever_changes_is_met(rounds in proptest::collection::vec(proptest::collection::vec((1_u64..200, prop::bool::weighted(0.1)), 0..120), 1..8)) {
            let mut list: Vec<MetUser> = (1..200).map(|id| user(id, 0)).collect();
            let (_, mut before) = walk(Vec::new(), &list);
            for (round, changes) in rounds.into_iter().enumerate() {
                let mut visibly = Vec::new();
                for (id, is_visible) in changes {
                    let at = list.iter().position(|user| user.id == id.try_into().unwrap()).unwrap();
                    let mut changed = list.remove(at);
                    if is_visible {
                        changed.seen = Digest::of(&[u8::try_from(round).unwrap() + 1]);
                        visibly.push(changed.id);
                    }
                    list.insert(0, changed);
                }
                let (met, after) = walk(before, &list);
                before = after;
                for id in visibly {
                    prop_assert!(list[..met].iter().any(|user| user.id == id), "{id} in round {round}");
                }
            }
        }
    }
}
