//! Who decides a question on this host, from what is held and what the primary says: as [`local_answer`](crate::sidecar::local_answer),
//! [`kept_answer`](crate::sidecar::kept_answer), [`mirror_answer`](crate::sidecar::mirror_answer) and
//! [`allowed`](crate::sidecar::requests::allowed) answer it. Pure.

use crate::model::explanation::{DecidedBy, Degraded, Verdict};
use crate::model::freshness::Freshness;

/// What the local directory says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Yes.
    Yes,
    /// Yes, but to somebody who is not known, or about a path of before: the primary is asked first.
    UncertainYes,
    /// Yes, but the primary has said no since.
    DeniedYes,
    /// No. Given while the primary fails, and of a key or user while it is fresh.
    No,
    /// No, in a way that must not show what exists: the primary's to give.
    HiddenNo,
    /// Nothing may be answered from it.
    Nothing,
}

/// What the local directory says, and how far that may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalEvidence {
    /// What it says.
    pub held: Held,
    /// What its age allows.
    pub freshness: Freshness,
    /// Whether a no may be given from it at all.
    pub may_deny: bool,
}

/// What is kept of the primary's answers to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptHeld {
    /// A yes that is given without asking.
    Fresh,
    /// A yes that is given if the primary fails.
    Stale,
    /// A yes that was taken back and is given, because the primary does not know most keys.
    GivenBack,
    /// The primary did not know the key a moment ago.
    NotKnown,
    /// Nothing that may be given.
    Nothing,
}

/// The kept answers to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptEvidence {
    /// What is kept.
    pub held: KeptHeld,
    /// Whether a yes would come back at the primary's no, because it does not know most keys.
    pub comes_back: bool,
}

/// What the primary says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrimaryReply {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It does not take the question, or counts too many.
    Rejected,
    /// It gave no answer.
    Failed,
    /// It was not asked.
    NotAsked,
}

/// A verdict, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Whose.
    pub decided_by: DecidedBy,
    /// Why it is given although the primary does not give it.
    pub degraded: Option<Degraded>,
}

impl Judgement {
    const fn new(verdict: Verdict, decided_by: DecidedBy) -> Self {
        Self { verdict, decided_by, degraded: None }
    }

    const fn degraded(self) -> Self {
        Self { degraded: Some(Degraded::PrimaryUnreachable), ..self }
    }

    const NOBODY: Self = Self::new(Verdict::Unknown, DecidedBy::Nobody);
    const LOCAL_YES: Self = Self::new(Verdict::Yes, DecidedBy::Directory);
    const LOCAL_NO: Self = Self::new(Verdict::No, DecidedBy::Directory);
    const KEPT_YES: Self = Self::new(Verdict::Yes, DecidedBy::KeptAnswer);
    const GIVEN_BACK: Self = Self { degraded: Some(Degraded::MassNegative), ..Self::KEPT_YES };
}

/// Judges a question about a key or a user by the directory that this host follows.
#[must_use]
pub fn of_directory(local: LocalEvidence, asked: PrimaryReply) -> Judgement {
    match (local.held, local.freshness) {
        (Held::Yes, Freshness::Fresh) => return Judgement::LOCAL_YES,
        (Held::No, Freshness::Fresh) if local.may_deny => return Judgement::LOCAL_NO,
        _ => {}
    }
    of_asked(asked).unwrap_or(match local.held {
        Held::Yes => Judgement::LOCAL_YES.degraded(),
        Held::No | Held::HiddenNo | Held::UncertainYes | Held::DeniedYes | Held::Nothing => Judgement::NOBODY,
    })
}

/// Judges a question about access by the directory that this host follows. Its no is the primary's to give. What the primary is not asked,
/// because that could change something there, is judged by the rules here.
#[must_use]
pub fn of_access(local: LocalEvidence, asked: PrimaryReply) -> Judgement {
    if local.held == Held::Yes && local.freshness == Freshness::Fresh {
        return Judgement::LOCAL_YES;
    }
    if asked == PrimaryReply::NotAsked {
        return match local.held {
            Held::Yes | Held::UncertainYes => Judgement::LOCAL_YES,
            Held::No | Held::HiddenNo => Judgement::LOCAL_NO,
            Held::DeniedYes | Held::Nothing => Judgement::NOBODY,
        };
    }
    of_asked(asked).unwrap_or(match local.held {
        Held::Yes | Held::UncertainYes => Judgement::LOCAL_YES.degraded(),
        Held::No if local.may_deny => Judgement::LOCAL_NO.degraded(),
        Held::No | Held::HiddenNo | Held::DeniedYes | Held::Nothing => Judgement::NOBODY,
    })
}

/// Judges a question by what is kept of the primary's answers.
#[must_use]
pub fn of_kept(kept: KeptEvidence, asked: PrimaryReply) -> Judgement {
    match kept.held {
        KeptHeld::Fresh => return Judgement::KEPT_YES,
        KeptHeld::GivenBack => return Judgement::GIVEN_BACK,
        KeptHeld::NotKnown => return Judgement::new(Verdict::No, DecidedBy::KeptAnswer),
        KeptHeld::Stale | KeptHeld::Nothing => {}
    }
    if asked == PrimaryReply::No && kept.comes_back {
        return Judgement::GIVEN_BACK;
    }
    of_asked(asked).unwrap_or(if kept.held == KeptHeld::Stale { Judgement::KEPT_YES.degraded() } else { Judgement::NOBODY })
}

/// Judges a question about a key or a user by the directory of a followed mirror, and by what is kept beside it.
#[must_use]
pub fn of_mirror(local: LocalEvidence, kept: KeptEvidence, asked: PrimaryReply) -> Judgement {
    match (local.held, local.freshness) {
        (Held::Yes, Freshness::Fresh) => Judgement::LOCAL_YES,
        (Held::Yes | Held::DeniedYes, _) => match kept.held {
            KeptHeld::Fresh | KeptHeld::GivenBack | KeptHeld::NotKnown => of_kept(kept, asked),
            KeptHeld::Stale | KeptHeld::Nothing if asked == PrimaryReply::Failed && local.held == Held::Yes => {
                Judgement::LOCAL_YES.degraded()
            }
            KeptHeld::Stale | KeptHeld::Nothing => of_kept(kept, asked),
        },
        _ => of_kept(kept, asked),
    }
}

/// Returns the judgement where only the primary's answer is given.
#[must_use]
pub fn of_primary_alone(asked: PrimaryReply) -> Judgement {
    of_asked(asked).unwrap_or(Judgement::NOBODY)
}

/// Returns the primary's own judgement, if it has one.
const fn of_asked(asked: PrimaryReply) -> Option<Judgement> {
    match asked {
        PrimaryReply::Yes => Some(Judgement::new(Verdict::Yes, DecidedBy::Primary)),
        PrimaryReply::No => Some(Judgement::new(Verdict::No, DecidedBy::Primary)),
        PrimaryReply::Rejected => Some(Judgement::new(Verdict::Unknown, DecidedBy::Primary)),
        PrimaryReply::Failed | PrimaryReply::NotAsked => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Judgement, KeptEvidence, KeptHeld, LocalEvidence, PrimaryReply, of_access, of_directory, of_kept, of_mirror};
    use crate::model::explanation::{DecidedBy, Verdict};
    use crate::model::freshness::Freshness;

    const fn local(held: Held, freshness: Freshness) -> LocalEvidence {
        LocalEvidence { held, freshness, may_deny: true }
    }

    const fn kept(held: KeptHeld) -> KeptEvidence {
        KeptEvidence { held, comes_back: false }
    }

    fn is(judgement: Judgement, verdict: Verdict, decided_by: DecidedBy, degraded: bool) {
        let Judgement { degraded: given, .. } = judgement;
        assert_eq!((judgement.verdict, judgement.decided_by, given.is_some()), (verdict, decided_by, degraded));
    }

    #[test]
    fn a_fresh_directory_decides_keys_and_a_stale_one_only_says_yes_while_the_primary_fails() {
        use DecidedBy::{Directory, Nobody, Primary};
        for asked in [PrimaryReply::Yes, PrimaryReply::No, PrimaryReply::Failed] {
            is(of_directory(local(Held::Yes, Freshness::Fresh), asked), Verdict::Yes, Directory, false);
            is(of_directory(local(Held::No, Freshness::Fresh), asked), Verdict::No, Directory, false);
        }
        is(of_directory(local(Held::Yes, Freshness::Stale), PrimaryReply::No), Verdict::No, Primary, false);
        is(of_directory(local(Held::Yes, Freshness::Stale), PrimaryReply::Failed), Verdict::Yes, Directory, true);
        for held in [Held::No, Held::DeniedYes, Held::Nothing] {
            is(of_directory(local(held, Freshness::Stale), PrimaryReply::Failed), Verdict::Unknown, Nobody, false);
        }
        let unverified = LocalEvidence { may_deny: false, ..local(Held::No, Freshness::Fresh) };
        is(of_directory(unverified, PrimaryReply::Failed), Verdict::Unknown, Nobody, false);
    }

    #[test]
    fn a_no_about_access_is_the_primary_s_and_a_degraded_no_shows_no_hidden_project() {
        use DecidedBy::{Directory, Nobody, Primary};
        is(of_access(local(Held::No, Freshness::Fresh), PrimaryReply::No), Verdict::No, Primary, false);
        is(of_access(local(Held::No, Freshness::Fresh), PrimaryReply::Yes), Verdict::Yes, Primary, false);
        is(of_access(local(Held::No, Freshness::Stale), PrimaryReply::Failed), Verdict::No, Directory, true);
        is(of_access(local(Held::HiddenNo, Freshness::Stale), PrimaryReply::Failed), Verdict::Unknown, Nobody, false);
        is(of_access(local(Held::UncertainYes, Freshness::Fresh), PrimaryReply::Failed), Verdict::Yes, Directory, true);
        is(of_access(local(Held::DeniedYes, Freshness::Fresh), PrimaryReply::Failed), Verdict::Unknown, Nobody, false);
        is(of_access(local(Held::HiddenNo, Freshness::Fresh), PrimaryReply::NotAsked), Verdict::No, Directory, false);
    }

    #[test]
    fn what_is_kept_is_given_by_its_age_and_comes_back_from_a_primary_that_lost_its_keys() {
        use DecidedBy::{KeptAnswer, Nobody, Primary};
        is(of_kept(kept(KeptHeld::Fresh), PrimaryReply::No), Verdict::Yes, KeptAnswer, false);
        is(of_kept(kept(KeptHeld::Stale), PrimaryReply::No), Verdict::No, Primary, false);
        is(of_kept(kept(KeptHeld::Stale), PrimaryReply::Failed), Verdict::Yes, KeptAnswer, true);
        is(of_kept(kept(KeptHeld::NotKnown), PrimaryReply::Yes), Verdict::No, KeptAnswer, false);
        is(of_kept(KeptEvidence { held: KeptHeld::Nothing, comes_back: true }, PrimaryReply::No), Verdict::Yes, KeptAnswer, true);
        is(of_kept(kept(KeptHeld::Nothing), PrimaryReply::Failed), Verdict::Unknown, Nobody, false);
    }

    #[test]
    fn a_mirror_s_fresh_yes_decides_and_its_no_is_asked_of_the_gitlab() {
        use DecidedBy::{Directory, KeptAnswer, Primary};
        is(of_mirror(local(Held::Yes, Freshness::Fresh), kept(KeptHeld::NotKnown), PrimaryReply::No), Verdict::Yes, Directory, false);
        is(of_mirror(local(Held::No, Freshness::Fresh), kept(KeptHeld::Nothing), PrimaryReply::Yes), Verdict::Yes, Primary, false);
        is(of_mirror(local(Held::Yes, Freshness::Stale), kept(KeptHeld::Nothing), PrimaryReply::Failed), Verdict::Yes, Directory, true);
        is(of_mirror(local(Held::Yes, Freshness::Stale), kept(KeptHeld::Fresh), PrimaryReply::Failed), Verdict::Yes, KeptAnswer, false);
        is(of_mirror(local(Held::DeniedYes, Freshness::Fresh), kept(KeptHeld::Nothing), PrimaryReply::No), Verdict::No, Primary, false);
    }
}
