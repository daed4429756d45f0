//! What a directory of users and keys says of whom a kept answer is about: whether it may still be given without asking.
//!
//! It never grants anything. Where the directory knows a refusal, the primary is asked.

use crate::model::directory::{Directory, DirectoryError};
use crate::model::kept_answer::KeptSubject;
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::rules::account::account_refusal;

/// What a directory says of a key or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SubjectState {
    /// It knows of no reason to refuse them. What is no actor is never refused.
    NotRefused,
    /// The user is blocked, or may not use Git for another reason of their account; or the key has expired.
    Refused,
    /// It has no such key or user.
    NotFound,
}

/// Judges one subject. The owner of a user's key counts, the creator of a deploy key does not.
pub fn judge(directory: &dyn Directory, subject: &KeptSubject, now: Time) -> Result<SubjectState, DirectoryError> {
    match subject {
        KeptSubject::Key(id) => directory.key(*id)?.map_or(Ok(SubjectState::NotFound), |key| judge_key(directory, &key, now)),
        KeptSubject::User(id) => judge_user(directory, directory.user(*id)?.as_deref(), now),
        KeptSubject::Username(name) => judge_user(directory, directory.user_by_username(name)?.as_deref(), now),
        KeptSubject::Project(_) | KeptSubject::Path(_) => Ok(SubjectState::NotRefused),
    }
}

/// Returns whether any of the subjects is refused. One that is not found is not: it may be a moment old.
pub fn is_any_refused<'a>(
    directory: &dyn Directory,
    subjects: impl IntoIterator<Item = &'a KeptSubject>,
    now: Time,
) -> Result<bool, DirectoryError> {
    for subject in subjects {
        if judge(directory, subject, now)? == SubjectState::Refused {
            return Ok(true);
        }
    }
    Ok(false)
}

fn judge_key(directory: &dyn Directory, key: &Key, now: Time) -> Result<SubjectState, DirectoryError> {
    if key.expires_at.is_some_and(|end| end <= now) {
        return Ok(SubjectState::Refused);
    }
    let owner = if key.deploy { None } else { key.user_id };
    let Some(owner) = owner.map(|owner| directory.user(owner)).transpose()?.flatten() else { return Ok(SubjectState::NotRefused) };
    judge_user(directory, Some(&owner), now)
}

fn judge_user(directory: &dyn Directory, user: Option<&User>, now: Time) -> Result<SubjectState, DirectoryError> {
    let Some(user) = user else { return Ok(SubjectState::NotFound) };
    let refusal = account_refusal(user, &*directory.settings()?, now);
    Ok(if refusal.is_some() { SubjectState::Refused } else { SubjectState::NotRefused })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SubjectState, is_any_refused, judge};
    use crate::model::enums::UserState;
    use crate::model::kept_answer::KeptSubject;
    use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
    use crate::model::time::Time;

    const STATES: [&str; 7] = ["active", "blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"];

    fn now() -> Time {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn directory(state: &str, key: &str) -> MemoryDirectory {
        let user = format!(r#"{{"kind":"user","id":7,"username":"Zoe","name":"Zoe","state":"{state}"}}"#);
        let blob = ed25519_public_key(1);
        let key = format!(r#"{{"kind":"key","id":11,"title":"t","key":"{blob}","created_at":"2026-01-01T00:00:00Z"{key}}}"#);
        MemoryDirectory::from_lines([user.as_str(), key.as_str()])
    }

    fn key(id: u64) -> KeptSubject {
        KeptSubject::Key(id.try_into().unwrap())
    }

    #[test]
    fn a_deploy_key_is_not_refused_for_who_made_it_and_an_expired_key_is() {
        for (state, fields, expected) in [
            ("blocked", r#","user_id":7"#, SubjectState::Refused),
            ("blocked", r#","user_id":7,"deploy":true"#, SubjectState::NotRefused),
            ("active", r#","user_id":7"#, SubjectState::NotRefused),
            ("active", r#","user_id":7,"expires_at":"2026-05-31T00:00:00Z""#, SubjectState::Refused),
            ("active", r#","deploy":true,"expires_at":"2026-06-01T00:00:00Z""#, SubjectState::Refused),
            ("active", r#","user_id":7,"expires_at":"2026-06-02T00:00:00Z""#, SubjectState::NotRefused),
        ] {
            assert_eq!(judge(&directory(state, fields), &key(11), now()), Ok(expected), "{state} {fields}");
        }
        assert_eq!(judge(&directory("active", ""), &key(12), now()), Ok(SubjectState::NotFound));
    }

    proptest! {
        #[test]
        fn whoever_is_named_is_refused_exactly_if_their_account_may_not_use_git(state in prop::sample::select(&STATES[..]), other in 1..100_u64) {
            let directory = directory(state, r#","user_id":7"#);
            let named = [key(11), KeptSubject::User("7".parse().unwrap()), KeptSubject::Username("zoe".into())];
            let refused = state != "active";
            prop_assert_eq!(refused, serde_json::from_value::<UserState>(state.into()).unwrap() != UserState::Active);
            for subject in &named {
                prop_assert_eq!(judge(&directory, subject, now()).unwrap() == SubjectState::Refused, refused);
                let all = [KeptSubject::Path("g/p".into()), key(11 + other), subject.clone()];
                prop_assert_eq!(is_any_refused(&directory, &all, now()), Ok(refused));
            }
            prop_assert_eq!(is_any_refused(&directory, &[KeptSubject::Path("g/p".into()), key(11 + other)], now()), Ok(false));
        }
    }
}
