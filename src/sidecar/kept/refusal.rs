//! Whom a no of the primary takes everything back from, besides the answer to its own question.
//!
//! A 404 for a key that was known is about all of that key; a 401 that names the key or the account is about the actor. Any other no is about
//! its question alone, also `null` for a user who was known: a proxy that says `null` to everything would take all from everybody.

use serde_json::Value;

use crate::model::kept_answer::{KeptKind, KeptSubject};
use crate::rules::refusal_reason::{RefusedParty, refused_party};
use crate::sidecar::kept::index::KeptIndex;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::upstream::decision::Decision;

/// Returns the subjects of which nothing is kept any more, and why.
#[must_use]
pub fn refused_subjects(question: &KeptQuestion, decision: &Decision, index: &KeptIndex) -> (Vec<KeptSubject>, EvictionReason) {
    let known = index.find(question.key).map(|place| &place.answer);
    match question.kind {
        KeptKind::AuthorizedKeys => {
            let key = known.and_then(|answer| answer.key_id()).map(KeptSubject::Key);
            (key.into_iter().collect(), EvictionReason::Key)
        }
        KeptKind::Pull | KeptKind::Push if decision.status.as_u16() == 401 => {
            (refused_actor(question, decision, index), EvictionReason::Actor)
        }
        KeptKind::Discover | KeptKind::AuthorizedCerts | KeptKind::Pull | KeptKind::Push => (Vec::new(), EvictionReason::Answer),
    }
}

/// Returns the actor of a refusal, if its message is about them: the key that asked; for an account, also the user that is known of who
/// asked.
fn refused_actor(question: &KeptQuestion, decision: &Decision, index: &KeptIndex) -> Vec<KeptSubject> {
    let Some(asker) = &question.asker else { return Vec::new() };
    let body: Value = serde_json::from_slice(&decision.body).unwrap_or_default();
    let Some(party) = body["message"].as_str().and_then(refused_party) else { return Vec::new() };
    let mut subjects = vec![asker.clone()];
    if party == RefusedParty::Account {
        let is_user = |subject: &&KeptSubject| matches!(subject, KeptSubject::User(_) | KeptSubject::Username(_));
        subjects.extend(index.about(asker).flat_map(|place| place.answer.subjects.iter()).filter(is_user).cloned());
    }
    subjects.sort();
    subjects.dedup();
    subjects
}
