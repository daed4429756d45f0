//! How much kept answers take.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::model::clock;
use crate::model::digest::Digest;
use crate::model::kept_answer::KeptAnswerStore as _;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::record::YesOutcome;
use crate::sidecar::kept::tests::fixture::{HungStore, POLICY, access_question, access_yes, config, decision, put, run};
use crate::sidecar::upstream::decision::DecisionKind;
use crate::store::kept::kept_store::KeptStore;

const ANSWERS: u64 = 100_000;

/// Keeps 100,000 answers as long as a GitLab's, of 10,000 keys to 10 projects each; returns the mean length of their bodies.
fn fill(kept: &KeptAnswers) -> usize {
    let mut bytes = 0;
    for number in 0..ANSWERS {
        let (key, project) = (1 + number / 10, 1 + number % 10);
        let mut yes: Value = serde_json::from_slice(&access_yes(key, project, 0).body).unwrap();
        let repository = json!({"storage_name": "default", "relative_path": format!("@hashed/{}.git", Digest::of(&project.to_be_bytes())),
            "git_object_directory": "", "git_alternate_object_directories": [], "gl_repository": format!("project-{project}"),
            "gl_project_path": format!("g/p{project}")});
        let features: Value = (0..10).map(|flag| (format!("gitaly-feature-number-{flag}"), json!("true"))).collect::<Map<_, _>>().into();
        yes["gitaly"] = json!({"repository": repository, "address": "tcp://gitaly-1.internal:8075", "token": "a-token-of-gitaly",
            "features": features});
        yes["gl_console_messages"] = json!([]);
        bytes += yes.to_string().len();
        assert_eq!(put(kept, &access_question(key, project), &decision(DecisionKind::Yes, 200, &yes)), YesOutcome::Valid);
    }
    bytes / usize::try_from(ANSWERS).unwrap()
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "prints what 100,000 kept answers take in memory and on disk; asserts nothing"]
#[expect(clippy::print_stdout, reason = "the figures are printed")]
fn print_memory_and_disk_of_100_000_answers() {
    let before = resident();
    let kept = KeptAnswers::new(&config(Arc::new(HungStore)), POLICY, &mut Registry::default());
    let body = fill(&kept);
    let counted = kept.with_index(|index, _| index.bytes());
    println!("{ANSWERS} bodies of {body} bytes: counted {} MiB, in memory {} MiB", counted >> 20, (resident() - before) >> 20);
    let folder = tempfile::tempdir().unwrap();
    let store = KeptStore::prepare(folder.path(), 32 << 20).unwrap();
    let on_disk = KeptAnswers::new(&config(Arc::clone(&store) as Arc<_>), POLICY, &mut Registry::default());
    let (before, answers) = (resident(), Arc::clone(&on_disk));
    store.start(Box::new(move |loaded| answers.restore(loaded))).unwrap();
    run(on_disk.wait_until_open());
    fill(&on_disk);
    run(store.flush());
    println!("with the database: in memory {} MiB, on disk {} MiB", (resident() - before) >> 20, store.status().disk_bytes >> 20);
    drop(on_disk);
    let begun = clock::boot_time();
    store.stop();
    drop(store);
    let store = KeptStore::prepare(folder.path(), 32 << 20).unwrap();
    let (sender, loaded) = std::sync::mpsc::channel();
    store.start(Box::new(move |answers| assert!(sender.send(answers.len()).is_ok()))).unwrap();
    println!("stopped and read again: {} answers in {:?}", loaded.recv().unwrap(), clock::boot_time().since(begun));
}
