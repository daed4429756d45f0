//! What the tests of kept answers share: a disk, questions about keys and access, and answers to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::api::request::RequestTime;
use crate::model::access_request::{AllowedRequest, ClaimedActor};
use crate::model::clock;
use crate::model::freshness::{FreshnessLimits, ProofTime};
use crate::model::id::Id;
use crate::model::kept_answer::{FlushFuture, KeptAnswer, KeptAnswerStore, KeptStoreStatus, QuestionKey};
use crate::model::key::PublicKey;
use crate::model::memory_directory::ed25519_public_key;
use crate::sidecar::config::{CheckIp, FreshnessPolicy, KeptBounds, KeptConfig, KeptMode, MassNegative};
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::question::tests::{allowed, query, request};
use crate::sidecar::kept::record::YesOutcome;
use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const LIMITS: FreshnessLimits = FreshnessLimits { ttl: HOUR, max_stale: HOUR };
pub const POLICY: FreshnessPolicy = FreshnessPolicy { keys: LIMITS, reads: LIMITS, push_precheck: LIMITS, hedge: HOUR };
pub const GUARD: MassNegative = MassNegative { at_least: 20, share: 0.5, hold: HOUR };
pub const ROOMY: KeptBounds = KeptBounds { answers: 100_000, bytes: usize::MAX };

pub type DiskMap = HashMap<QuestionKey, Arc<KeptAnswer>>;

/// A disk that has what was flushed, and loses the rest in a crash.
#[derive(Default)]
pub struct TestStore(Mutex<TestDisk>);

#[derive(Default)]
pub struct TestDisk {
    waiting: Vec<(QuestionKey, Option<Arc<KeptAnswer>>)>,
    disk: DiskMap,
    unflushed_removals: bool,
}

impl TestStore {
    /// Loses what was not flushed, and returns the rest.
    pub fn after_crash(&self) -> Vec<(QuestionKey, KeptAnswer)> {
        let mut disk = self.0.lock().unwrap();
        (disk.waiting, disk.unflushed_removals) = (Vec::new(), false);
        disk.disk.iter().map(|(key, answer)| (*key, KeptAnswer::clone(answer))).collect()
    }
}

impl KeptAnswerStore for TestStore {
    fn put(&self, key: QuestionKey, answer: Arc<KeptAnswer>) {
        self.0.lock().unwrap().waiting.push((key, Some(answer)));
    }

    fn remove(&self, keys: &[QuestionKey]) {
        let mut disk = self.0.lock().unwrap();
        disk.waiting.extend(keys.iter().map(|key| (*key, None)));
        disk.unflushed_removals |= !keys.is_empty();
    }

    fn has_unflushed_removals(&self) -> bool {
        self.0.lock().unwrap().unflushed_removals
    }

    fn flush(&self) -> FlushFuture {
        let mut disk = self.0.lock().unwrap();
        disk.unflushed_removals = false;
        for (key, answer) in std::mem::take(&mut disk.waiting) {
            match answer {
                Some(answer) => disk.disk.insert(key, answer),
                None => disk.disk.remove(&key),
            };
        }
        Box::pin(std::future::ready(()))
    }

    fn status(&self) -> KeptStoreStatus {
        KeptStoreStatus::default()
    }
}

/// A disk that never answers.
pub struct HungStore;

impl KeptAnswerStore for HungStore {
    fn put(&self, _: QuestionKey, _: Arc<KeptAnswer>) {}
    fn remove(&self, _: &[QuestionKey]) {}
    fn has_unflushed_removals(&self) -> bool {
        true
    }
    fn flush(&self) -> FlushFuture {
        Box::pin(std::future::pending())
    }
    fn status(&self) -> KeptStoreStatus {
        KeptStoreStatus::default()
    }
}

pub fn kept_in(store: &Arc<TestStore>, bounds: KeptBounds) -> Arc<KeptAnswers> {
    let store = Arc::clone(store);
    let loaded = store.after_crash();
    let answers = KeptAnswers::new(&KeptConfig { bounds, ..config(store) }, POLICY, &mut Registry::default());
    answers.restore(loaded);
    answers
}

/// Everything is kept for an hour, and answered.
pub fn config(store: Arc<dyn KeptAnswerStore>) -> KeptConfig {
    let (mode, mass_negative) = (KeptMode::Answer, GUARD);
    KeptConfig { bounds: ROOMY, negative_ttl: HOUR, check_ip: CheckIp::Matters, mode, mass_negative, store }
}

pub fn kept() -> Arc<KeptAnswers> {
    kept_in(&Arc::default(), ROOMY)
}

pub fn id(number: u64) -> Id {
    number.try_into().unwrap()
}

pub fn blob(key: u64) -> Vec<u8> {
    ed25519_public_key(key).parse::<PublicKey>().unwrap().blob().to_vec()
}

pub fn key_question(key: u64) -> KeptQuestion {
    KeptQuestion::authorized_keys(query(QueryKind::AuthorizedKeys(blob(key))))
}

pub fn access_question(key: u64, project: u64) -> KeptQuestion {
    let claimed_actor = ClaimedActor::Key(Some(id(key)));
    allowed(&AllowedRequest { claimed_actor, project: Some(format!("g/p{project}")), ..request() }).unwrap()
}

pub fn decision(kind: DecisionKind, status: u16, body: &Value) -> Decision {
    Decision { kind, status: StatusCode::from_u16(status).unwrap(), body: body.to_string().into(), decided_at: None }
}

pub fn key_yes(key: u64, key_id: u64, mark: usize, expires_at: Value) -> Decision {
    let line = format!("{} somebody", ed25519_public_key(key));
    decision(DecisionKind::Yes, 200, &json!({"id": key_id, "key": line, "title": mark.to_string(), "expires_at": expires_at}))
}

/// Keys belong to the user of a tenth of their number.
pub fn access_yes(key: u64, project: u64, mark: usize) -> Decision {
    decision(
        DecisionKind::Yes,
        200,
        &json!({"status": true, "gl_project_path": format!("g/p{project}"), "gl_id": format!("user-{}", 1 + key / 10),
            "gl_username": format!("user{}", 1 + key / 10), "gl_key_type": "key", "gl_key_id": key, "gl_project_id": project, "mark": mark}),
    )
}

pub fn key_no() -> Decision {
    decision(DecisionKind::No, 404, &json!({"message": "404 Key Not Found"}))
}

pub fn access_no(status: u16, message: &str) -> Decision {
    decision(DecisionKind::No, status, &json!({"status": false, "message": message}))
}

pub fn is_held(kept: &KeptAnswers, question: &KeptQuestion) -> bool {
    matches!(kept.find(question, RequestTime::now()), Found::Fresh(_))
}

pub fn put(kept: &KeptAnswers, question: &KeptQuestion, yes: &Decision) -> YesOutcome {
    kept.record_yes(question, yes, kept.begin_question(clock::boot_time()), RequestTime::now())
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// Whether a future waits for something when it is polled once.
pub fn is_pending_at_first<T>(work: impl Future<Output = T>) -> bool {
    run(async {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await
    })
}

pub fn refuse(kept: &KeptAnswers, question: &KeptQuestion, no: &Decision) {
    run(kept.record_no(question, no, ProofTime::at(clock::boot_time()), RequestTime::now()));
}

/// Keeps the answers about key 11 and 12 of one user and key 21 of another, each to two projects.
pub fn filled() -> Arc<KeptAnswers> {
    let kept = kept();
    for key in [11, 12, 21] {
        assert_eq!(put(&kept, &key_question(key), &key_yes(key, key, 0, Value::Null)), YesOutcome::Valid);
        for project in [1, 2] {
            assert_eq!(put(&kept, &access_question(key, project), &access_yes(key, project, 0)), YesOutcome::Valid);
        }
    }
    kept
}

/// Whether each key is known, and its access to both projects.
pub fn held(kept: &KeptAnswers) -> [[bool; 3]; 3] {
    [11, 12, 21]
        .map(|key| [is_held(kept, &key_question(key)), is_held(kept, &access_question(key, 1)), is_held(kept, &access_question(key, 2))])
}

pub const ALL: [bool; 3] = [true; 3];
pub const NONE: [bool; 3] = [false; 3];
