//! What is there after a kill: by what the restarted primary says, and, of what it shows nobody (the hashes of recovery codes and tokens, packs,
//! reconciliations, sentences that wait), by its store as the kill left it, which is copied and opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sidegate::store::generations::generation::StoreOptions;
use sidegate::store::primary::primary_store::PrimaryStore;

use super::write::{ClientIds, ClientState, subscription_version};
use crate::support::contract_directory::ADMIN_TOKEN;
use crate::support::env::TestEnv;
use crate::support::http::Request;

/// All of it.
pub struct ObservedState {
    export: Vec<Value>,
    kubernetes: Value,
    status: Value,
    events: Vec<String>,
    private_store: BTreeMap<&'static str, Vec<(Vec<u8>, Value)>>,
}

/// What is read from the store itself.
const PRIVATE_STORE_PREFIXES: [&str; 6] = ["codes/", "token/sha256/", "token/of/", "minutes/", "reconciliation/", "message/"];

/// The store as it lies there, beside it.
pub fn copy_store(env: &TestEnv) -> PathBuf {
    let (store, copy) = (env.path().join("primary"), env.path().join("copy"));
    let _ = std::fs::remove_dir_all(&copy);
    assert!(Command::new("cp").arg("-a").arg(&store).arg(&copy).status().unwrap().success());
    copy
}

impl ObservedState {
    pub fn read_after_restart(env: &TestEnv, copy: &Path) -> Self {
        let fetch = |target: &str| Request::get(target).send(&env.primary_socket());
        let store = PrimaryStore::open(copy, StoreOptions { page_cache_bytes: 16 << 20, record_cache_entries: 1_024 }).unwrap();
        let read = |place: &'static str| {
            let found = store.private_store().scan_prefix(place.as_bytes()).unwrap().into_iter();
            let found = found.map(|(key, value)| (key[place.len()..].to_vec(), serde_json::from_slice(&value).unwrap_or(Value::Null)));
            (place, found.collect())
        };
        let events = audit_labels(env);
        Self {
            export: fetch("/-/admin/export").text().lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            kubernetes: fetch("/-/admin/kubernetes").json(),
            status: env.primary_status(),
            events,
            private_store: PRIVATE_STORE_PREFIXES.into_iter().map(read).collect(),
        }
    }

    /// What there is of a client's.
    pub fn state_of(&self, env: &TestEnv, own: ClientIds) -> ClientState {
        let mut stored =
            ClientState { open_pushes: self.open_pushes(own), waiting_messages: self.waiting_messages(own), ..ClientState::default() };
        self.read_private_store(own, &mut stored);
        self.read_directory(own, &mut stored);
        stored.events = self.events.iter().filter(|mark| is_label_of(mark, own)).cloned().collect();
        for group in (10..20).map(|number| own.group_id(number)) {
            let target = format!("/api/v4/namespaces/{group}/gitlab_subscription");
            let response = Request::get(&target).header("PRIVATE-TOKEN", ADMIN_TOKEN).send(&env.primary_socket());
            assert_eq!(response.status, 200, "{}", response.text());
            stored.subscriptions.extend(subscription_version(&response.json()).map(|version| (group, version)));
        }
        let findings = self.kubernetes["findings"][own.user_id().to_string()].as_object().into_iter().flatten();
        stored.findings = findings.map(|(uuid, state)| (uuid.clone(), state == "detected")).collect();
        let mut configurations =
            self.kubernetes["configurations"].as_array().unwrap().iter().filter(|one| one["agent_id"] == own.user_id());
        stored.configuration = configurations.next().map(|one| {
            assert_eq!(one["ci_access"]["projects"], serde_json::json!([own.user_id()]), "{one}");
            one["config"]["number"].as_u64().unwrap()
        });
        assert_eq!(configurations.next(), None, "an agent has one configuration");
        stored
    }

    fn read_private_store(&self, own: ClientIds, state: &mut ClientState) {
        let words = |value: &Value| value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
        for (user, codes) in &self.private_store["codes/"] {
            if leading_number(user) == own.user_id() {
                state.codes = words(&codes["sha256"]);
            }
        }
        for (_, token) in &self.private_store["token/sha256/"] {
            if token["user_id"] == own.user_id() {
                state.tokens.push(token["name"].as_str().unwrap().to_owned());
            }
        }
        for (place, pack) in &self.private_store["minutes/"] {
            let (group, xid) = (leading_number(place), String::from_utf8_lossy(&place[8..]).into_owned());
            for which in [0, 1] {
                if group == own.group_id(which) {
                    state.packs[usize::try_from(which).unwrap()].insert(xid.clone(), pack["number_of_minutes"].as_i64().unwrap());
                }
            }
        }
        for (place, one) in &self.private_store["reconciliation/"] {
            if (2..=5).any(|group| own.group_id(group) == leading_number(place)) {
                assert_eq!(one["next_reconciliation_date"], one["display_alert_from"], "{one}");
                state.reconciliations.insert(leading_number(place), one["next_reconciliation_date"].as_str().unwrap().to_owned());
            }
        }
    }

    fn read_directory(&self, own: ClientIds, state: &mut ClientState) {
        state.projects = self.created_repositories(own).into_iter().map(|(path, _)| path).collect();
        state.keys = self.records("key").filter_map(|key| applied_number(key, own)).collect();
        state.accounts = self.records("user").filter_map(|user| Some((applied_number(user, own)?, user["state"] == "blocked"))).collect();
        let number = |kind, id: u64, field: &str| {
            let word = self.records(kind).find(|record| record["id"] == id).map(|record| record[field].as_str().unwrap());
            word.map_or(0, |word| word.strip_prefix("Number ").unwrap().parse().unwrap())
        };
        state.applied = number("user", own.renamed_user_id(), "name");
        assert_eq!(
            number("broadcast", own.user_id(), "message"),
            state.applied,
            "a file is applied wholly, also where it goes into two databases"
        );
    }

    fn records(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.export.iter().filter(move |record| record["kind"] == kind)
    }

    fn open_pushes(&self, own: ClientIds) -> BTreeMap<String, u64> {
        let mut mine: BTreeSet<String> = self.created_repositories(own).into_iter().map(|(_, repository)| repository).collect();
        mine.insert(own.repository());
        let counted = self.status["kept"]["pushes_under_way"].as_object().unwrap().iter();
        counted
            .filter(|(repository, _)| mine.contains(*repository))
            .map(|(repository, count)| (repository.clone(), count.as_u64().unwrap()))
            .collect()
    }

    /// The projects that its pushes made, each as often as it is there, in the order of their numbers.
    pub fn created_repositories(&self, own: ClientIds) -> Vec<(String, String)> {
        let prefix = format!("{}/made-", own.namespace_path());
        let path = |project: &Value| project["path"].as_str().unwrap().to_owned();
        let made = self.records("project").filter(|project| path(project).starts_with(&prefix));
        made.map(|project| (path(project), format!("project-{}", project["id"]))).collect()
    }

    /// The paths of those whose sentence waits. One of a project that was never made is nobody's.
    fn waiting_messages(&self, own: ClientIds) -> BTreeSet<String> {
        let waits = |repository: &str| {
            self.private_store["message/"].iter().any(|(place, _)| {
                leading_number(place) == own.user_id()
                    && place[8..].strip_prefix(repository.as_bytes()).is_some_and(|rest| rest == [b'/', 1])
            })
        };
        self.created_repositories(own).into_iter().filter(|(_, repository)| waits(repository)).map(|(path, _)| path).collect()
    }

    /// What the restarted primary counts is what the clients hold, together.
    pub fn assert_totals_match(&self, expected: &[&ClientState], when: &str) {
        let sum = |count: fn(&ClientState) -> usize| expected.iter().map(|state| count(state)).sum::<usize>();
        let kept = &self.status["kept"];
        for (name, stored) in [
            ("recovery_codes", sum(|stored| usize::from(!stored.codes.is_empty()))),
            ("personal_access_tokens", sum(|stored| stored.tokens.len())),
            ("subscriptions", sum(|stored| stored.subscriptions.len())),
            ("packs_of_minutes", sum(|stored| stored.packs[0].len() + stored.packs[1].len())),
            ("reconciliations", sum(|stored| stored.reconciliations.len())),
            ("audit_events", sum(|stored| stored.events.len())),
            ("withheld_records", sum(|stored| usize::from(stored.applied > 0))),
        ] {
            assert_eq!(kept[name].as_u64(), Some(stored as u64), "{when}: {name} in {kept}");
        }
        assert_eq!(self.private_store["token/of/"].len(), self.private_store["token/sha256/"].len(), "{when}: each token is its person's");
        let ids: BTreeSet<u64> = self.records("project").map(|project| project["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), self.records("project").count(), "{when}: each project has a number of its own");
    }

    /// How often agents were used by now: as often as was answered since `before`, and at most once more for each that was not.
    pub fn assert_usage_within(&self, before: u64, [answered, unanswered]: [u64; 2], client_count: u64) -> u64 {
        let usage = |name: &str| self.kubernetes["usage"][name].as_u64().unwrap_or(0);
        let uses = usage("gitops_sync") / 2;
        assert_eq!((usage("gitops_sync"), usage("k8s_api_proxy_request")), (uses * 2, uses * 3), "both counters of one request, or none");
        assert!((before + answered..=before + answered + unanswered).contains(&uses), "{uses} of {before} + {answered} + {unanswered}");
        assert!(usage("agent_users_using_ci_tunnel") <= client_count);
        uses
    }
}

/// What marks each audit event, in the order of their numbers, which go on one by one.
fn audit_labels(env: &TestEnv) -> Vec<String> {
    let mut marks = Vec::new();
    loop {
        let body = Request::get(&format!("/-/admin/audit?from={}", marks.len())).send(&env.primary_socket()).json();
        for event in body["events"].as_array().unwrap() {
            assert_eq!(event["number"].as_u64(), Some(marks.len() as u64));
            marks.push(event["event"]["changes"].as_str().unwrap().to_owned());
        }
        if body["next"].as_u64() == Some(marks.len() as u64) {
            return marks;
        }
    }
}

fn is_label_of(mark: &str, own: ClientIds) -> bool {
    mark.starts_with(&format!("client-{}-", own.0))
}

fn applied_number(record: &Value, own: ClientIds) -> Option<u64> {
    record["id"].as_u64().filter(|id| (own.applied_id(0)..own.applied_id(100_000)).contains(id))
}

/// The number that a place in the store begins with.
fn leading_number(place: &[u8]) -> u64 {
    u64::from_be_bytes(place[..8].try_into().unwrap())
}

impl ClientState {
    /// With what may be there twice in an order of its own.
    pub fn sorted(mut self) -> Self {
        for list in [&mut self.tokens, &mut self.events, &mut self.projects] {
            list.sort_unstable();
        }
        self
    }
}
