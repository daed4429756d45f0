//! A bounded cache of decoded records, cleared exactly by the changes.
//!
//! The danger is a reader that has read a page, is overtaken by a change, and then keeps what it read. So whoever wants to
//! keep something takes a ticket before reading; a change makes all tickets void before it clears what it touched, and a
//! void ticket keeps nothing.

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use crate::model::order::Place;
use crate::model::record::{
    Agent, DeployGrant, ErrorTrackingKey, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record, Redirect, Settings,
    Share, Snippet, Storage, User,
};
use crate::store::index::{Name, company, names};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The record at a place.
    At(Place),
    /// The record of a name.
    Named(Name),
    /// All records whose places begin so.
    Below(Place),
}

impl Asked {
    /// Everything whose answer a record at a place has a part in.
    pub fn touched_by(place: &Place, record: Option<&Record>) -> impl Iterator<Item = Self> {
        let named = record.map(names).unwrap_or_default().into_iter().map(Self::Named);
        let below = record.and_then(company).map(Self::Below);
        named.chain(below).chain([Self::At(place.clone())])
    }
}

macro_rules! kinds {
    ($($kind:ident),*) => {
        /// What was found.
        #[derive(Clone, Debug)]
        pub enum Known {
            $($kind(Arc<$kind>),)*
            /// That there is none: kept only where asking for what is not there is the rule (memberships, grants).
            None,
            /// Several together.
            All(Arc<[Known]>),
        }

        impl Known {
            /// A record, ready to be kept.
            pub fn of(record: &Record) -> Self {
                match record {
                    $(Record::$kind(found) => Self::$kind(Arc::new(found.clone())),)*
                }
            }
        }

        $(impl Kind for $kind {
            fn of(known: &Known) -> Option<Arc<Self>> {
                match known {
                    Known::$kind(found) => Some(Arc::clone(found)),
                    _ => None,
                }
            }
        })*
    };
}

/// One kind of record, taken out of what is known.
pub trait Kind: Sized {
    /// The record, if it is of this kind.
    fn of(known: &Known) -> Option<Arc<Self>>;
}

kinds!(
    Settings,
    Storage,
    User,
    Namespace,
    Project,
    Snippet,
    Member,
    Share,
    DeployGrant,
    Redirect,
    ProtectedBranch,
    ProtectedTag,
    Agent,
    ErrorTrackingKey,
    Key
);

/// The right to keep what is read from now on, until the next change.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

/// The cache.
pub struct KnownRecords {
    kept: Cache<Asked, Known>,
    changes: RwLock<u64>,
}

impl KnownRecords {
    /// An empty one that holds about `capacity` answers.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Cache::new(capacity), changes: RwLock::new(0) }
    }

    /// What is known, if it is kept.
    pub fn recall(&self, asked: &Asked) -> Option<Known> {
        self.kept.get(asked)
    }

    /// To be taken before reading.
    pub fn ticket(&self) -> Ticket {
        Ticket(*self.changes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps an answer, unless there was a change since the ticket was taken.
    pub fn keep(&self, ticket: Ticket, asked: Asked, known: Known) {
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        if *changes == ticket.0 {
            // While the guard is held no change can begin to clear.
            self.kept.insert(asked, known);
        }
    }

    /// After a change: makes all tickets void, then forgets what it touched.
    pub fn forget(&self, touched: impl IntoIterator<Item = Asked>) {
        *self.changes.write().unwrap_or_else(PoisonError::into_inner) += 1;
        for asked in touched {
            self.kept.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Known, KnownRecords};
    use crate::model::order::Place;

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let records = KnownRecords::new(100);
        let asked = || Asked::At(Place::settings());
        let ticket = records.ticket();
        records.forget([asked()]);
        records.keep(ticket, asked(), Known::None);
        assert!(records.recall(&asked()).is_none());
        records.keep(records.ticket(), asked(), Known::None);
        assert!(records.recall(&asked()).is_some());
        records.forget([Asked::Below(Place::settings())]);
        assert!(records.recall(&asked()).is_some(), "another change clears nothing of it");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let records = KnownRecords::new(0);
        records.keep(records.ticket(), Asked::At(Place::settings()), Known::None);
        assert!(records.recall(&Asked::At(Place::settings())).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let records = KnownRecords::new(100);
        for number in 1..10_000_u64 {
            let asked = Asked::At(Place::user(number.try_into().unwrap()));
            records.keep(records.ticket(), asked, Known::None);
        }
        assert!(records.kept.len() <= 100);
    }
}
