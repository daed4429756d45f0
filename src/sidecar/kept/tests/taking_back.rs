//! What a no takes back, what an operator does, and what nothing brings back.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::api::request::RequestTime;
use crate::model::access_request::{AllowedRequest, ClaimedActor};
use crate::model::clock;
use crate::model::freshness::ProofTime;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptAnswerStore as _, KeptKind, KeptSubject};
use crate::model::kept_body::KeptBody;
use crate::model::time::{BootTime, Time};
use crate::sidecar::config::{KeptConfig, KeptMode};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::invalidate::{Invalidated, KeptSelector};
use crate::sidecar::kept::load::WarmCounts;
use crate::sidecar::kept::metrics::EvictionReason;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::question::tests::{allowed, request};
use crate::sidecar::kept::record::{AskedAt, YesOutcome};
use crate::sidecar::kept::tests::fixture::{
    ALL, HOUR, HungStore, NONE, POLICY, ROOMY, TestStore, access_no, access_question, access_yes, config, decision, filled, held, id,
    is_held, is_pending_at_first, kept, kept_in, key_no, key_question, key_yes, put, refuse, run,
};
use crate::sidecar::upstream::decision::DecisionKind;

#[test]
fn a_no_removes_what_it_is_about() {
    for (question, no, left) in [
        (key_question(11), key_no(), [NONE, ALL, ALL]),
        (access_question(11, 1), access_no(404, "The project you were looking for could not be found."), [[true, false, true], ALL, ALL]),
        (
            access_question(11, 1),
            access_no(401, "You are not allowed to download code from this project."),
            [[true, false, true], ALL, ALL],
        ),
        (access_question(11, 1), access_no(401, "Your SSH key has expired."), [NONE, ALL, ALL]),
        (access_question(11, 1), access_no(401, "Your account has been blocked."), [NONE, [true, false, false], ALL]),
        (access_question(11, 3), access_no(401, "Your account has been blocked."), [NONE, [true, false, false], ALL]),
        (key_question(99), key_no(), [ALL, ALL, ALL]),
    ] {
        let kept = filled();
        refuse(&kept, &question, &no);
        assert_eq!(held(&kept), left, "{no:?}");
    }
}

#[test]
fn an_operator_removes_what_they_name() {
    for (selector, left) in [
        (KeptSelector::All, [NONE, NONE, NONE]),
        (KeptSelector::Subject(KeptSubject::Key(id(11))), [NONE, ALL, ALL]),
        (KeptSelector::Question(key_question(12).key), [ALL, NONE, ALL]),
        (KeptSelector::Subject(KeptSubject::User(id(2))), [NONE, NONE, ALL]),
        (KeptSelector::Subject(KeptSubject::Username("user2".into())), [NONE, NONE, ALL]),
        (KeptSelector::Subject(KeptSubject::Project(id(1))), [[true, false, true]; 3]),
        (KeptSelector::Subject(KeptSubject::Path("g/p2".into())), [[true, true, false]; 3]),
    ] {
        let kept = filled();
        let removed = left.iter().flatten().filter(|held| !**held).count();
        assert_eq!(run(kept.invalidate(&selector)), Invalidated { answers: removed, negatives: 0, is_off_disk: true }, "{selector:?}");
        assert_eq!(held(&kept), left, "{selector:?}");
    }
}

#[test]
fn a_key_that_comes_back_under_another_id_takes_everything_of_the_former_one_along() {
    let kept = filled();
    assert_eq!(put(&kept, &key_question(11), &key_yes(11, 31, 0, Value::Null)), YesOutcome::Valid);
    assert_eq!(held(&kept), [[true, false, false], ALL, ALL]);
    assert_eq!(kept.metrics.evictions(EvictionReason::Key), 3);
}

#[test]
fn a_yes_that_may_not_be_kept_takes_the_place_of_the_one_that_was() {
    let kept = filled();
    let redirected = decision(DecisionKind::Yes, 200, &json!({"status": true, "gl_project_path": "g/moved", "gl_id": "user-2"}));
    assert_eq!(put(&kept, &access_question(11, 1), &redirected), YesOutcome::Valid);
    assert_eq!(held(&kept), [[true, false, true], ALL, ALL]);
}

#[test]
fn a_key_that_has_expired_binds_its_answers_in_every_state() {
    let end: Time = "2030-01-01T00:00:00Z".parse().unwrap();
    let at = |wall: &str| RequestTime { wall: wall.parse().unwrap(), boot: clock::boot_time() };
    let (before, after) = (at("2029-12-31T23:59:59Z"), at("2030-01-01T00:00:00Z"));
    let is_given = |kept: &KeptAnswers, question: &KeptQuestion, time| matches!(kept.find(question, time), Found::Fresh(_));
    for key_comes_first in [true, false] {
        let kept = kept();
        let key = || assert_eq!(put(&kept, &key_question(11), &key_yes(11, 11, 0, json!(end))), YesOutcome::Valid);
        let access = || assert_eq!(put(&kept, &access_question(11, 1), &access_yes(11, 1, 0)), YesOutcome::Valid);
        if key_comes_first {
            (key(), access())
        } else {
            (access(), key())
        };
        for question in [key_question(11), access_question(11, 1)] {
            assert!(is_given(&kept, &question, before) && !is_given(&kept, &question, after), "{:?}", question.kind);
        }
    }
}

#[test]
fn a_flood_of_unknown_keys_pushes_out_nothing_that_is_kept() {
    let kept = filled();
    for key in 100..400 {
        refuse(&kept, &key_question(key), &key_no());
    }
    assert_eq!(held(&kept), [ALL, ALL, ALL]);
    assert!(matches!(kept.find(&key_question(399), RequestTime::now()), Found::Unknown(_)));
    assert_eq!(put(&kept, &key_question(399), &key_yes(399, 399, 0, Value::Null)), YesOutcome::Valid);
    assert!(is_held(&kept, &key_question(399)), "a key that was added is no longer unknown");
}

#[test]
fn what_is_too_old_to_be_given_is_removed() {
    let kept = filled();
    kept.purge(clock::boot_time());
    assert_eq!(held(&kept), [ALL, ALL, ALL]);
    kept.purge(BootTime(clock::boot_time().0 + 2 * HOUR));
    assert_eq!((held(&kept), kept.metrics.evictions(EvictionReason::Age)), ([NONE, NONE, NONE], 9));
}

#[test]
fn in_shadow_mode_an_equal_yes_renews_only_what_would_be_asked_for_again() {
    let config = KeptConfig { mode: KeptMode::Shadow, ..config(Arc::<TestStore>::default()) };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (age, key_id, is_renewed) in [(5, 11, false), (50, 11, false), (55, 11, true), (5, 12, true)] {
        let kept = KeptAnswers::new(&config, POLICY, &mut Registry::default());
        kept.restore(Vec::new());
        let proven_at = ProofTime::before(clock::boot_time(), minutes(age));
        let first = key_yes(11, 11, 0, Value::Null);
        let asked = AskedAt { proven_at, ..kept.begin_question(clock::boot_time()) };
        assert_eq!(kept.record_yes(&key_question(11), &first, asked, RequestTime::now()), YesOutcome::Valid);
        assert_eq!(put(&kept, &key_question(11), &key_yes(11, key_id, 1, Value::Null)), YesOutcome::Valid);
        let Found::Fresh(held) = kept.find(&key_question(11), RequestTime::now()) else { panic!("{age}") };
        assert_eq!(held.age < minutes(age), is_renewed, "{age} minutes old, another answer with id {key_id}");
    }
}

#[test]
fn a_no_counts_at_once_and_waits_for_the_disk_before_it_is_answered() {
    let config = config(Arc::new(HungStore));
    let kept = KeptAnswers::new(&config, POLICY, &mut Registry::default());
    kept.restore(Vec::new());
    assert_eq!(put(&kept, &key_question(11), &key_yes(11, 11, 0, Value::Null)), YesOutcome::Valid);
    let (question, no) = (key_question(11), key_no());
    assert!(is_pending_at_first(kept.record_no(&question, &no, ProofTime::at(clock::boot_time()), RequestTime::now())));
    assert!(!is_held(&kept, &key_question(11)));
}

#[test]
fn a_file_does_not_make_a_key_outlive_the_end_that_the_primary_told() {
    let kept = kept();
    let yes = key_yes(11, 11, 0, json!("2050-01-01T00:00:00.000Z"));
    assert_eq!(put(&kept, &key_question(11), &yes), YesOutcome::Valid);
    let subjects = [KeptSubject::Key(id(11))].into();
    let answer = KeptAnswer {
        kind: KeptKind::AuthorizedKeys,
        body: KeptBody::new(&yes.body).unwrap(),
        proven_at: ProofTime::at(BootTime(clock::boot_time().0 + HOUR)),
        expires_at: None,
        subjects,
        origin: AnswerOrigin::File,
    };
    let mut counts = WarmCounts::default();
    kept.warm(vec![(key_question(11).key, answer)], &mut counts);
    assert_eq!(counts, WarmCounts { kept: 1, ..WarmCounts::default() });
    let after_its_end = RequestTime { wall: "2051-01-01T00:00:00Z".parse::<Time>().unwrap(), ..RequestTime::now() };
    assert_eq!(kept.find(&key_question(11), after_its_end), Found::Nothing);
    assert!(matches!(kept.find(&key_question(11), RequestTime::now()), Found::Stale(_)));
}

#[test]
fn a_project_s_path_stands_for_its_wiki_too() {
    let kept = filled();
    let claimed_actor = ClaimedActor::Key(Some(id(11)));
    let wiki = allowed(&AllowedRequest { claimed_actor, project: Some("g/p1.wiki".to_owned()), ..request() }).unwrap();
    let yes = json!({"status": true, "gl_project_path": "g/p1.wiki", "gl_repository": "wiki-1", "gl_id": "user-2", "gl_project_id": 1,
        "gl_key_type": "key", "gl_key_id": 11});
    assert_eq!(put(&kept, &wiki, &decision(DecisionKind::Yes, 200, &yes)), YesOutcome::Valid);
    assert!(is_held(&kept, &wiki));
    run(kept.invalidate(&KeptSelector::Subject(KeptSubject::Path("g/p1".into()))));
    assert!(!is_held(&kept, &wiki));
    assert_eq!(held(&kept), [[true, false, true]; 3]);
}

#[test]
fn what_is_taken_back_before_the_disk_is_read_does_not_come_back_from_it() {
    let store = Arc::new(TestStore::default());
    let before = kept_in(&store, ROOMY);
    assert_eq!(put(&before, &key_question(11), &key_yes(11, 11, 0, Value::Null)), YesOutcome::Valid);
    assert_eq!(put(&before, &access_question(11, 1), &access_yes(11, 1, 0)), YesOutcome::Valid);
    run(store.flush());
    let loaded = store.after_crash();
    let config = config(Arc::clone(&store) as Arc<_>);
    let kept = KeptAnswers::new(&config, POLICY, &mut Registry::default());
    let (question, no) = (key_question(11), key_no());
    assert!(is_pending_at_first(kept.record_no(&question, &no, ProofTime::at(clock::boot_time()), RequestTime::now())));
    kept.restore(loaded);
    assert!(!is_held(&kept, &key_question(11)));
    assert!(!is_held(&kept, &access_question(11, 1)), "what the key was allowed goes with it, though whose it was was not read yet");
    run(store.flush());
    assert_eq!(store.after_crash().len(), 0);
}
