//! What an apply would do, judged before anything is done: the counts, whether so much may go, and the way to do it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use crate::authority::apply::claims::{Claims, Conflict, Origin};
use crate::authority::apply::join::{Step, Stopped, Unnamed, join};
use crate::authority::apply::spool::{Refused, Spool};
use crate::authority::refusal::Refusal;
use crate::model::change::{Change, Identity};
use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::record::Record;
use crate::store::generation::Generation;
use crate::store::primary::{COMMIT_BYTES, COMMIT_CHANGES};

/// The kind of a record that is not understood.
const FOREIGN: &str = "not_understood";

/// What would become of the directory, kind by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The counts of each kind of which there is, or will be, a record.
    pub kinds: BTreeMap<&'static str, Counts>,
}

/// What would become of the records of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New ones.
    pub added: u64,
    /// Those that take the place of others.
    pub changed: u64,
    /// Those that the file names as they stand.
    pub unchanged: u64,
    /// Those that go.
    pub removed: u64,
    /// How many there were.
    #[serde(skip)]
    pub(super) held: u64,
}

impl Outcome {
    /// All kinds together.
    #[must_use]
    pub fn all(&self) -> Counts {
        self.kinds.values().fold(Counts::default(), |sum, kind| Counts {
            added: sum.added + kind.added,
            changed: sum.changed + kind.changed,
            unchanged: sum.unchanged + kind.unchanged,
            removed: sum.removed + kind.removed,
            held: sum.held + kind.held,
        })
    }

    pub(super) fn count(&mut self, step: &Step) {
        let (Step::Kept(entry, _) | Step::Added(entry, _) | Step::Changed { new: entry, .. } | Step::Removed(entry)) = step;
        let counts = self.kinds.entry(entry.record().map_or(FOREIGN, |record| record.kind())).or_default();
        counts.held += u64::from(!matches!(step, Step::Added(..)));
        match step {
            Step::Kept(_, Origin::Line(_)) => counts.unchanged += 1,
            Step::Kept(_, Origin::Standing) => {}
            Step::Added(..) => counts.added += 1,
            Step::Changed { .. } => counts.changed += 1,
            Step::Removed(_) => counts.removed += 1,
        }
    }

    /// The largest loss that the guard holds.
    pub(super) fn loss(&self, guard: LossGuard) -> Option<KindLoss> {
        let losses = self.kinds.iter().map(|(kind, counts)| KindLoss { kind, of: Loss { lost: counts.removed, held: counts.held } });
        losses.filter(|loss| guard.holds(loss.of)).max_by_key(|loss| loss.of.lost)
    }
}

/// How to do it.
#[derive(Debug)]
pub enum Way {
    /// One commit, deletes first; nothing at all if there are none.
    Commit(Vec<Change>),
    /// More than a commit may carry: a whole new directory.
    Replace,
}

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// The counts.
    pub outcome: Outcome,
    /// The way.
    pub way: Way,
    /// The loss that somebody has to mean, if there is one.
    pub loss: Option<KindLoss>,
}

/// A loss beyond the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindLoss {
    kind: &'static str,
    of: Loss,
}

/// Plans. `claims` are those of the file, and gain those of what stays. The directory must not change meanwhile.
pub fn plan(standing: &Generation, spool: &Spool, claims: &mut Claims, unnamed: Unnamed, guard: LossGuard) -> Result<Plan, Refusal> {
    let mut outcome = Outcome::default();
    let mut changes = Changes::default();
    for step in join(standing, spool, unnamed) {
        let step = step?;
        outcome.count(&step);
        if let Step::Kept(entry, Origin::Standing) = &step
            && let Some(record) = entry.record()
        {
            claims.claim(Origin::Standing, record).map_err(Refused::from)?;
        }
        if unnamed == Unnamed::Stays
            && let Some(conflict) = taken(&step, spool)
        {
            return Err(Refused::from(conflict).into());
        }
        changes.take(step);
    }
    resolve(standing, spool, claims, unnamed, changes.takes_away)?;
    let loss = if unnamed == Unnamed::Goes { outcome.loss(guard) } else { None };
    Ok(Plan { outcome, way: changes.way(), loss })
}

/// A key that another id holds, of which the file does not say what it holds now: whose it is does not change by the way.
fn taken(step: &Step, spool: &Spool) -> Option<Conflict> {
    let Step::Changed { old, new, line } = step else { return None };
    let (Some(Record::Key(old)), Some(Record::Key(new))) = (old.record().map(AsRef::as_ref), new.record().map(AsRef::as_ref)) else {
        return None;
    };
    let what = || format!("the key {} (key id {})", old.key.fingerprint(), old.id);
    (old.id != new.id && !spool.key_ids.contains(&old.id)).then(|| Conflict::Twice { line: *line, what: what(), first: Origin::Standing })
}

/// Checks what the records name: of the new ones always, of those that stay if anything goes that they could name.
fn resolve(standing: &Generation, spool: &Spool, claims: &Claims, unnamed: Unnamed, takes_away: bool) -> Result<(), Refusal> {
    for step in join(standing, spool, unnamed) {
        let (entry, origin) = match step? {
            Step::Added(new, line) | Step::Changed { new, line, .. } => (new, Origin::Line(line)),
            Step::Kept(entry, origin) if takes_away => (entry, origin),
            Step::Kept(..) | Step::Removed(_) => continue,
        };
        if let Some(record) = entry.record() {
            claims.resolve(origin, record, || Identity::of(&entry).to_string()).map_err(Refused::from)?;
        }
    }
    Ok(())
}

/// The changes, as long as one commit can carry them.
#[derive(Default)]
pub(super) struct Changes {
    deletes: Vec<Change>,
    puts: Vec<Change>,
    bytes: usize,
    too_many: bool,
    /// Whether anything goes, or changes into something else, that another record may name.
    takes_away: bool,
}

impl Changes {
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Kept(..) => return,
            Step::Removed(old) => {
                self.takes_away = true;
                self.bytes += old.text().len();
                self.deletes.push(Change::Delete(Identity::of(&old)));
            }
            Step::Added(new, _) => {
                self.bytes += new.text().len();
                self.puts.push(Change::Put(new));
            }
            Step::Changed { old, new, .. } => {
                self.takes_away |= old.record().is_some_and(|record| record.kind() == "key");
                self.bytes += new.text().len();
                // A key that changes its id goes under the old one first, so that nobody who follows keeps that.
                let called = Identity::of(&old);
                if called != Identity::of(&new) {
                    self.deletes.push(Change::Delete(called));
                }
                self.puts.push(Change::Put(new));
            }
        }
        // A line says a little more than its records; half of the bound leaves room for it.
        if self.deletes.len() + self.puts.len() > COMMIT_CHANGES || self.bytes > COMMIT_BYTES / 2 {
            self.too_many = true;
            self.deletes = Vec::new();
            self.puts = Vec::new();
            self.bytes = 0;
        }
    }

    pub(super) fn way(mut self) -> Way {
        if self.too_many {
            return Way::Replace;
        }
        self.deletes.append(&mut self.puts);
        Way::Commit(self.deletes)
    }
}

impl KindLoss {
    /// The refusal that says how to mean it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let Self { kind, of: Loss { lost, held } } = self;
        Refusal::conflict(format!(
            "This file would remove {lost} of {held} records of the kind {kind}. Nothing was applied; if it is meant, say --accept-loss."
        ))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Io(error) => Self::new(StatusCode::INSUFFICIENT_STORAGE, format!("{}. Nothing was applied.", Refused::Io(error))),
            refused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, refused.to_string()),
        }
    }
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Self {
        Self::fault(stopped)
    }
}
