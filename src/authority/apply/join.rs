//! A directory file beside the directory that stands, place by place: what each step of the walk would leave there.

use std::io;
use std::iter::Peekable;

use crate::authority::apply::claims::Origin;
use crate::authority::apply::spool::{Item, Spool};
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::store::generation::{Damage, Generation};

/// What becomes of what the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// It stays.
    Stays,
    /// It goes: the file is the whole directory.
    Goes,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// A record of the directory stays as it is; from the file too if there is a line.
    Kept(Entry, Origin),
    /// A record of the file is new.
    Added(Entry, usize),
    /// A record of the file takes the place of one of the directory.
    Changed {
        /// What goes.
        old: Entry,
        /// What comes.
        new: Entry,
        /// Its line.
        line: usize,
    },
    /// A record of the directory goes: the file is the whole directory and does not name it, or its key id is another key's now.
    Removed(Entry),
}

/// Why the walk stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The store cannot be read or written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// Our own file cannot be read.
    #[error("the file in the store's folder: {0}")]
    Io(#[from] io::Error),
    /// Our own file reads otherwise than it was written.
    #[error("a record that was read before cannot be read again: {0}")]
    Changed(#[from] crate::model::record::NotARecord),
}

/// The walk, in the order of a snapshot.
pub struct Join<'a, I: Iterator<Item = Result<Entry, Damage>>> {
    standing: Peekable<I>,
    file: std::slice::Iter<'a, Item>,
    spool: &'a Spool,
    unnamed: Unnamed,
}

/// Begins the walk.
pub fn join<'a>(
    standing: &Generation,
    spool: &'a Spool,
    unnamed: Unnamed,
) -> Join<'a, impl Iterator<Item = Result<Entry, Damage>> + use<>> {
    Join { standing: standing.entries().peekable(), file: spool.items.iter(), spool, unnamed }
}

impl<I: Iterator<Item = Result<Entry, Damage>>> Iterator for Join<'_, I> {
    type Item = Result<Step, Stopped>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl<I: Iterator<Item = Result<Entry, Damage>>> Join<'_, I> {
    fn step(&mut self) -> Result<Option<Step>, Stopped> {
        let named = self.file.as_slice().first();
        let standing = match self.standing.peek() {
            Some(Ok(entry)) => Some(entry.place()),
            Some(Err(damage)) => return Err(damage.clone().into()),
            None => None,
        };
        let order = match (standing, named) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(standing), Some(named)) => standing.cmp(&named.place),
        };
        let old = if order.is_le() { self.standing.next().transpose()? } else { None };
        let new = if order.is_ge() { self.file.next() } else { None };
        Ok(match (old, new) {
            (Some(old), None) => Some(self.unnamed(old)),
            (None, Some(item)) => Some(Step::Added(self.read(item)?, item.line)),
            (Some(old), Some(item)) if *old.text() == self.spool.text(item)? => Some(Step::Kept(old, Origin::Line(item.line))),
            (Some(old), Some(item)) => Some(Step::Changed { old, new: self.read(item)?, line: item.line }),
            (None, None) => None,
        })
    }

    fn unnamed(&self, old: Entry) -> Step {
        let id_is_taken = matches!(old.record().map(AsRef::as_ref), Some(Record::Key(key)) if self.spool.key_ids.contains(&key.id));
        match self.unnamed {
            Unnamed::Stays if !id_is_taken => Step::Kept(old, Origin::Standing),
            _ => Step::Removed(old),
        }
    }

    fn read(&self, item: &Item) -> Result<Entry, Stopped> {
        Ok(Entry::read(&self.spool.text(item)?)?)
    }
}
