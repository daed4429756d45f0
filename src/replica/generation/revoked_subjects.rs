//! Whom the changes of a commit take something from: the keys and users about whom nothing may be kept any more by whoever keeps answers
//! beside the directory.
//!
//! A user who is new and active is not named: nothing is taken from anybody, and a mirror that walks its GitLab for the first time brings a
//! hundred thousand of them. A deleted key or user is named by its id. What a changed record is called now and what it was called before are both named: a user's
//! former name, and the former id of a key that came back under another.

use serde::Deserialize;

use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::enums::UserState;
use crate::model::id::Id;
use crate::model::kept_answer::KeptSubject;
use crate::model::record::{Key, Record};
use crate::model::record_identity::RecordIdentity;
use crate::store::generations::generation::Generation;

/// Returns whom `changes` concern, compared with what `generation` holds before any of them. Each is named once. Blocks.
pub fn revoked_subjects(generation: &Generation, changes: &[Change]) -> Vec<KeptSubject> {
    let taking: Vec<Change> = changes.iter().filter(|change| !is_new_active_user(generation, change)).cloned().collect();
    let mut subjects = named_subjects(&taking);
    for change in &taking {
        match change {
            Change::Put(entry) => match entry.record().map(AsRef::as_ref) {
                Some(Record::User(user)) => subjects.extend(former_name(generation, user.id)),
                Some(Record::Key(key)) => subjects.extend(former_id(generation, key)),
                _ => {}
            },
            Change::Delete(identity) => subjects.extend(user_id(identity).and_then(|user| former_name(generation, user))),
        }
    }
    KeptSubject::distinct(subjects)
}

/// Returns whom `changes` name themselves.
pub fn named_subjects(changes: &[Change]) -> Vec<KeptSubject> {
    let mut subjects = Vec::new();
    for change in changes {
        match change {
            Change::Put(entry) => match entry.record().map(AsRef::as_ref) {
                Some(Record::User(user)) => {
                    subjects.extend([KeptSubject::User(user.id), username(&user.username)]);
                }
                Some(Record::Key(key)) => subjects.push(KeptSubject::Key(key.id)),
                _ => {}
            },
            Change::Delete(RecordIdentity::Key(id)) => subjects.push(KeptSubject::Key(*id)),
            Change::Delete(identity) => subjects.extend(user_id(identity).map(KeptSubject::User)),
        }
    }
    KeptSubject::distinct(subjects)
}

fn is_new_active_user(generation: &Generation, change: &Change) -> bool {
    let Change::Put(entry) = change else { return false };
    let Some(Record::User(user)) = entry.record().map(AsRef::as_ref) else { return false };
    user.state == UserState::Active && matches!(generation.user(user.id), Ok(None))
}

fn former_name(generation: &Generation, user: Id) -> Option<KeptSubject> {
    generation.user(user).ok().flatten().map(|user| username(&user.username))
}

fn former_id(generation: &Generation, key: &Key) -> Option<KeptSubject> {
    let former = generation.key_by_fingerprint(&key.key.fingerprint()).ok().flatten()?;
    Some(KeptSubject::Key(former.id))
}

fn username(name: &str) -> KeptSubject {
    KeptSubject::Username(name.to_lowercase().into())
}

/// Returns the user that a delete names, if it names one.
fn user_id(identity: &RecordIdentity) -> Option<Id> {
    #[derive(Deserialize)]
    struct Named<'a> {
        kind: &'a str,
        id: Id,
    }
    let RecordIdentity::Other(_, text) = identity else { return None };
    serde_json::from_str::<Named<'_>>(text).ok().filter(|named| named.kind == "user").map(|named| named.id)
}

#[cfg(test)]
mod tests {
    use super::{named_subjects, revoked_subjects};
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::model::kept_answer::KeptSubject;
    use crate::model::record_identity::RecordIdentity;
    use crate::replica::tests::test_replica::{STORE_OPTIONS, delete_key, key_entry, put_entry, user_and_keys, user_entry};
    use crate::store::error::StoreError;
    use crate::store::generations::generation::Generation;

    fn key(number: u64) -> KeptSubject {
        KeptSubject::Key(number.try_into().unwrap())
    }

    #[test]
    fn each_change_names_its_key_or_user_as_it_is_and_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = user_and_keys(1..=3);
        entries.sort_by(|one, other| one.sort_key().cmp(other.sort_key()));
        let user: Entry = entries.iter().find(|entry| entry.text().contains(r#""kind":"user""#)).unwrap().clone();
        let generation = Generation::create(folder.path(), &STORE_OPTIONS, entries.into_iter().map(Ok::<_, StoreError>)).unwrap();
        let value: serde_json::Value = serde_json::from_str(user.text()).unwrap();
        let (id, name) = (value["id"].as_u64().unwrap(), value["username"].as_str().unwrap().to_owned());
        let (by_id, by_name) = (KeptSubject::User(id.try_into().unwrap()), KeptSubject::Username(name.clone().into()));
        let delete_user = Change::Delete(RecordIdentity::parse(&format!(r#"{{"kind":"user","id":{id}}}"#)).unwrap());
        let renamed = Entry::parse(&user.text().replace(&format!(r#""username":"{name}""#), r#""username":"Other""#)).unwrap();
        let with_other_id = Entry::parse(&key_entry(2, "t").text().replacen(r#""id":2,"#, r#""id":70,"#, 1)).unwrap();
        let settings = Entry::parse(r#"{"kind":"settings","http_enabled":false}"#).unwrap();
        let new_user =
            |state| Entry::parse(&format!(r#"{{"kind":"user","id":70,"username":"New","name":"n","state":"{state}"}}"#)).unwrap();
        for (change, expected) in [
            (delete_key(1), vec![key(1)]),
            (delete_key(99), vec![key(99)]),
            (delete_user, vec![by_id.clone(), by_name.clone()]),
            (put_entry(user_entry(r#","state":"blocked""#)), vec![by_id.clone(), by_name.clone()]),
            (put_entry(renamed), vec![by_id, KeptSubject::Username("other".into()), by_name]),
            (put_entry(with_other_id), vec![key(2), key(70)]),
            (put_entry(settings), vec![]),
            (put_entry(new_user("active")), vec![]),
            (put_entry(new_user("blocked")), vec![KeptSubject::User("70".parse().unwrap()), KeptSubject::Username("new".into())]),
        ] {
            let mut expected = expected;
            expected.sort();
            let found = revoked_subjects(&generation, std::slice::from_ref(&change));
            assert_eq!(found, expected, "{change:?}");
            assert!(expected.is_empty() || named_subjects(&[change]).iter().all(|named| found.contains(named)));
        }
    }
}
