//! Access is taken away while it is asked for, from all sides: once the removal is in force, not one yes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::StopOnDrop;
use crate::support::contract_directory::{allowed, contract_public_key, key_actor, settings_line};
use crate::support::env::TestEnv;
use crate::support::http::Request;
use crate::support::random::pseudo_random;
use crate::support::scaled;

/// How many ask at once.
const CLIENT_THREADS: u64 = 3;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    Key,
    Block,
    Membership,
    Expiry,
    Share,
    MadePrivate,
    DeployGrant,
}

const REMOVALS: [Removal; 7] =
    [Removal::Key, Removal::Block, Removal::Membership, Removal::Expiry, Removal::Share, Removal::MadePrivate, Removal::DeployGrant];

/// Somebody with one way to one project.
struct GrantedAccess {
    number: u64,
    removal: Removal,
    /// Set once the removal is in force.
    revoked: AtomicBool,
}

/// The records as they stand at the primary, each under a name of ours.
type Records = BTreeMap<String, Value>;

impl GrantedAccess {
    fn new(number: u64) -> Self {
        let removal = REMOVALS[usize::try_from(number).unwrap() % REMOVALS.len()];
        Self { number, removal, revoked: AtomicBool::new(false) }
    }

    fn request(&self, push: bool) -> Request {
        let action = if push && self.removal != Removal::MadePrivate { "git-receive-pack" } else { "git-upload-pack" };
        allowed(&key_actor(self.number), action, &format!("root/p{}", self.number)).to_json_request()
    }

    fn add_records(&self, records: &mut Records) {
        let id = self.number;
        let mut put = |name: &str, record: Value| records.insert(format!("{name} {id}"), record);
        let visibility = if self.removal == Removal::MadePrivate { "public" } else { "private" };
        put(
            "5 project",
            json!({"kind": "project", "id": id, "namespace_id": 1, "path": format!("root/p{id}"), "name": "p", "visibility": visibility, "relative_path": format!("{id}.git")}),
        );
        put("3 user", json!({"kind": "user", "id": id, "username": format!("u{id}"), "name": "U"}));
        let deploy = self.removal == Removal::DeployGrant;
        put(
            "9 key",
            json!({"kind": "key", "id": id, "user_id": id, "title": "t", "key": contract_public_key(id), "deploy": deploy, "created_at": "2026-01-31T12:00:00Z"}),
        );
        match self.removal {
            Removal::Share => {
                let group = id + 1_000_000;
                put("4 group", json!({"kind": "namespace", "id": group, "type": "group", "path": format!("g{id}"), "name": "g"}));
                put("6 member", json!({"kind": "member", "namespace_id": group, "user_id": id, "access_level": 40}));
                put("7 share", json!({"kind": "share", "project_id": id, "with_namespace_id": group, "access_level": 30}));
            }
            Removal::DeployGrant => {
                put("8 grant", json!({"kind": "deploy_grant", "key_id": id, "project_id": id, "can_push": true}));
            }
            Removal::MadePrivate => {}
            Removal::Key | Removal::Block | Removal::Membership | Removal::Expiry => {
                put("6 member", json!({"kind": "member", "project_id": id, "user_id": id, "access_level": 30}));
            }
        }
    }

    /// Takes the access away, and returns once it is in force at the sidecar.
    fn revoke(&self, env: &TestEnv, records: &mut Records) {
        let id = self.number;
        let name = |kind: &str| format!("{kind} {id}");
        match self.removal {
            Removal::Key => {
                records.remove(&name("9 key"));
                run_and_assert_propagated(env, &["revoke-key", &id.to_string(), "--wait"]);
            }
            Removal::Block => {
                records.get_mut(&name("3 user")).unwrap()["state"] = json!("blocked");
                run_and_assert_propagated(env, &["block-user", &format!("u{id}"), "--wait"]);
            }
            Removal::Membership => remove_record(env, records, &name("6 member")),
            Removal::Share => remove_record(env, records, &name("7 share")),
            Removal::DeployGrant => remove_record(env, records, &name("8 grant")),
            Removal::Expiry => change_record(env, records, &name("6 member"), "expires_at", json!("2026-01-01T00:00:00Z")),
            Removal::MadePrivate => change_record(env, records, &name("5 project"), "visibility", json!("private")),
        }
    }
}

fn run_and_assert_propagated(env: &TestEnv, words: &[&str]) {
    let output = env.run_admin(words);
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && message.contains("in force on ssh-1"),
        "{words:?}: {message}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The whole directory without this record.
fn remove_record(env: &TestEnv, records: &mut Records, name: &str) {
    assert!(records.remove(name).is_some(), "{name}");
    env.apply_with_args(&directory_text(records), &["--prune"]);
    wait_until_applied(env);
}

fn change_record(env: &TestEnv, records: &mut Records, name: &str, field: &str, value: Value) {
    let record = records.get_mut(name).unwrap();
    record[field] = value;
    env.apply(&format!("{record}\n"));
    wait_until_applied(env);
}

/// Waits until the commit shows in the sidecar's status.
fn wait_until_applied(env: &TestEnv) {
    let seq = env.primary_status()["head"]["seq"].as_u64().unwrap();
    env.wait_for("the commit to show in the status", || env.status()["follower"]["cursor"]["seq"].as_u64() >= Some(seq));
}

fn directory_text(records: &Records) -> String {
    let head = json!({"kind": "namespace", "id": 1, "type": "group", "path": "root", "name": "root"});
    let storage = json!({"kind": "storage", "name": "default", "address": "unix:/g"});
    let records: String = records.values().map(|record| format!("{record}\n")).collect();
    format!("{}{storage}\n{head}\n{records}", settings_line(&json!({})))
}

#[test]
fn no_access_is_granted_once_a_removal_is_in_force() {
    let subjects: Vec<GrantedAccess> = (1..=scaled(42, 1_000)).map(GrantedAccess::new).collect();
    let mut records = Records::new();
    subjects.iter().for_each(|subject| subject.add_records(&mut records));
    let env = TestEnv::running(&directory_text(&records));
    let (request, yes, late) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let ended = AtomicBool::new(false);

    std::thread::scope(|scope| {
        for asker in 0..CLIENT_THREADS {
            let (env, subjects, request, yes, late, ended) = (&env, &subjects, &request, &yes, &late, &ended);
            scope.spawn(move || {
                let mut random = asker;
                while !ended.load(Ordering::SeqCst) {
                    random = pseudo_random(random);
                    let subject = &subjects[usize::try_from(random % subjects.len() as u64).unwrap()];
                    let gone = subject.revoked.load(Ordering::SeqCst);
                    let status = env.request_sidecar(subject.request(random & 1 << 40 != 0)).status;
                    request.fetch_add(1, Ordering::Relaxed);
                    yes.fetch_add(u64::from(status == 200), Ordering::Relaxed);
                    late.fetch_add(u64::from(status == 200 && gone), Ordering::Relaxed);
                }
            });
        }
        let ending = StopOnDrop(&ended);
        for subject in shuffled(&subjects) {
            assert_eq!(env.request_sidecar(subject.request(true)).status, 200, "{:?} {} before", subject.removal, subject.number);
            subject.revoke(&env, &mut records);
            subject.revoked.store(true, Ordering::SeqCst);
            for push in [false, true] {
                let answer = env.request_sidecar(subject.request(push));
                assert_ne!(answer.status, 200, "{:?} {} after: {}", subject.removal, subject.number, answer.text());
            }
        }
        drop(ending);
    });

    let [request, yes, late] = [request, yes, late].map(AtomicU64::into_inner);
    eprintln!("{} removals while {request} questions were asked, {yes} answered with yes, {late} of them too late", subjects.len());
    assert_eq!(late, 0);
    for subject in &subjects {
        for answer in [env.request_sidecar(subject.request(false)), env.request_primary(subject.request(false))] {
            assert_ne!(answer.status, 200, "{:?} {} at the end", subject.removal, subject.number);
        }
    }
}

fn shuffled(subjects: &[GrantedAccess]) -> Vec<&GrantedAccess> {
    let mut order: Vec<&GrantedAccess> = subjects.iter().collect();
    order.sort_by_key(|subject| pseudo_random(subject.number));
    order
}
