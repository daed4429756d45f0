//! A directory with changes on top decides as one that holds them.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::model::change::Change;
use crate::model::changed_directory::{ChangeSet, ChangedDirectory};
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::rules::tests::access_directions::{Question, changed_record, random_record, without};
use crate::rules::tests::properties::{GeneratedDirectory, SeededRng};

const PEOPLE: u64 = 40;
const SETS_PER_DIRECTORY: u64 = 40;
const QUESTIONS_PER_CHANGE: u64 = 20;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn changes_on_top_of_a_directory_decide_as_if_it_held_them(seed: u64) {
        let generated = GeneratedDirectory::generate(seed, PEOPLE);
        let (rng, runner) = (&mut SeededRng(seed ^ 8), &mut TestRunner::deterministic());
        for _ in 0..SETS_PER_DIRECTORY {
            let (mut changes, mut changed, mut subjects) = (ChangeSet::default(), generated.directory.clone(), Vec::new());
            for _ in 0..1 + rng.below(5) {
                let old = random_record(rng, &changed);
                changed = without(&changed, &old);
                let identity = RecordIdentity::from_entry(&Entry::from_record(old.clone()).unwrap());
                match changed_record(rng, runner, &old).filter(|_| rng.one_in(2)) {
                    Some(new) => {
                        changes.add(&Change::Put(Entry::from_record(new.clone()).unwrap()));
                        changed.put(new.clone());
                        subjects.push(new);
                    }
                    None => changes.add(&Change::Delete(identity)),
                }
                subjects.push(old);
            }
            let on_top = ChangedDirectory::new(Arc::new(generated.directory.clone()), Arc::new(changes));
            for subject in &subjects {
                for _ in 0..QUESTIONS_PER_CHANGE {
                    let question = Question::random(rng, &generated, subject);
                    prop_assert_eq!(question.yes(&on_top), question.yes(&changed), "{:?}\n after {:?}", question, subjects);
                }
            }
        }
    }
}

#[test]
fn a_record_that_is_not_understood_is_not_there_and_is_reported() {
    let mut changes = ChangeSet::default();
    changes.add(&Change::Put(Entry::parse(r#"{"kind":"user","id":1,"username":"zoe","name":"Z"}"#).unwrap()));
    assert!(!changes.has_unknown_parts());
    changes.add(&Change::Put(Entry::parse(r#"{"kind":"user","id":1,"username":"zoe","name":"Z","shoe":38}"#).unwrap()));
    changes.add(&Change::Put(Entry::parse(r#"{"kind":"robot","id":1}"#).unwrap()));
    assert!(changes.has_unknown_parts());
    let directory = ChangedDirectory::new(Arc::new(crate::model::memory_directory::MemoryDirectory::default()), Arc::new(changes));
    let found = crate::model::directory::Directory::user_by_username(&directory, "ZOE").unwrap().unwrap();
    assert!(matches!(Record::parse(r#"{"kind":"user","id":1,"username":"zoe","name":"Z"}"#), Ok(Record::User(user)) if user == *found));
}
