//! How much kept answers take.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::model::clock;
use crate::model::digest::Digest;
use crate::model::kept_answer::KeptAnswerStore as _;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::record::YesOutcome;
use crate::sidecar::kept::tests::fixture::{POLICY, access_question, access_yes, config, decision, put, run};
use crate::sidecar::upstream::decision::DecisionKind;

#[test]
#[ignore = "prints what 100,000 kept answers take in memory and on disk; asserts nothing"]
#[expect(clippy::print_stdout, reason = "the figures are printed")]
fn print_memory_and_disk_of_100_000_answers() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::kept::kept_store::KeptStore::prepare(folder.path(), 32 << 20).unwrap();
    let config = config(Arc::clone(&store) as Arc<_>);
    let kept = KeptAnswers::new(&config, POLICY, &mut Registry::default());
    let answers = Arc::clone(&kept);
    store.start(Box::new(move |loaded| answers.restore(loaded))).unwrap();
    run(kept.wait_until_open());
    let (before, mut bodies) = (resident(), 0);
    for number in 0..100_000 {
        let (key, project) = (1 + number / 10, 1 + number % 10);
        let mut yes: Value = serde_json::from_slice(&access_yes(key, project, 0).body).unwrap();
        let path = format!("@hashed/{}.git", Digest::of(&project.to_be_bytes()));
        let repository = json!({"storage_name": "default", "relative_path": path, "git_object_directory": "",
            "git_alternate_object_directories": [], "gl_repository": format!("project-{project}"), "gl_project_path": format!("g/p{project}")});
        let features: Value = (0..10).map(|flag| (format!("gitaly-feature-number-{flag}"), json!("true"))).collect::<Map<_, _>>().into();
        yes["gitaly"] = json!({"repository": repository, "address": "tcp://gitaly-1.internal:8075", "token": "a-token-of-gitaly",
            "features": features});
        yes["gl_console_messages"] = json!([]);
        bodies += yes.to_string().len();
        assert_eq!(put(&kept, &access_question(key, project), &decision(DecisionKind::Yes, 200, &yes)), YesOutcome::Valid);
    }
    run(store.flush());
    let (counted, count) = kept.with_index(|index, _| (index.bytes(), index.len()));
    let memory = resident() - before;
    println!(
        "{count} answers of {} bytes: counted {} MiB, resident {} MiB, disk {} MiB",
        bodies / count,
        counted >> 20,
        memory >> 20,
        store.status().disk_bytes >> 20
    );
    drop((kept, config));
    let begun = clock::boot_time();
    store.stop();
    drop(store);
    let store = crate::store::kept::kept_store::KeptStore::prepare(folder.path(), 32 << 20).unwrap();
    let (sender, loaded) = std::sync::mpsc::channel();
    store.start(Box::new(move |answers| assert!(sender.send(answers.len()).is_ok()))).unwrap();
    println!("stopped and read again: {} answers in {:?}", loaded.recv().unwrap(), clock::boot_time().since(begun));
}
