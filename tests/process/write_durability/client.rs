//! A client: what it writes next, what it has written, and whether that is what is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use sidegate::model::digest::Digest;

use super::observed_state::ObservedState;
use super::write::{ClientIds, ClientState, WRITE_KINDS, WriteOperation};
use crate::support::contract_directory::agent_record;
use crate::support::env::TestEnv;
use crate::support::generated_directory::{generated_key_line, user_line};
use crate::support::http::{Request, Response};
use crate::support::random::Random;

/// What all clients share while they write.
pub struct Progress {
    pub answered_count: AtomicU64,
    pub primary_killed: AtomicBool,
}

/// One who writes, one write after another.
pub struct WriteClient {
    pub ids: ClientIds,
    random: Random,
    /// What must be there, by all that was answered.
    pub expected: ClientState,
    /// What was sent last, if no answer came.
    unanswered_write: Option<WriteOperation>,
    /// Said again first.
    retry: Option<WriteOperation>,
    /// The tokens that were given, and their names.
    tokens: Vec<(String, String)>,
    /// How many of them were given before this round.
    older_tokens: usize,
    /// The repositories of the projects.
    repositories: BTreeMap<String, String>,
    next_number: u64,
    /// Uses that were reported in this round: answered, and not.
    pub usage_reports: [u64; 2],
    write_counts: [u64; WRITE_KINDS.len()],
}

impl WriteClient {
    pub fn new(number: u64, random: Random) -> Self {
        let own = ClientIds(number);
        Self {
            ids: own,
            random,
            expected: ClientState::default(),
            unanswered_write: None,
            retry: None,
            tokens: Vec::new(),
            older_tokens: 0,
            repositories: [(base_project_path(own), own.repository())].into(),
            next_number: 1,
            usage_reports: [0; 2],
            write_counts: [0; WRITE_KINDS.len()],
        }
    }

    /// The lines of the directory that are about it.
    pub fn directory(&self) -> String {
        let (own, id) = (self.ids, self.ids.user_id());
        let mut lines = Vec::new();
        if own.0 == 0 {
            lines.push(
                json!({"kind": "settings", "host": "git.example.com", "web_url": "https://git.example.com", "operations_per_minute": 0}),
            );
            lines.push(json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock"}));
        }
        lines.push(json!({"kind": "namespace", "id": 100 + own.0, "type": "user", "path": own.namespace_path(), "name": own.namespace_path(), "owner_id": id}));
        for number in (0..=5).chain(10..20) {
            let path = format!("group-{}", own.group_id(number));
            lines.push(json!({"kind": "namespace", "id": own.group_id(number), "type": "group", "path": path, "name": path}));
        }
        lines.push(json!({"kind": "project", "id": id, "namespace_id": 100 + own.0, "path": base_project_path(own), "name": "base", "relative_path": format!("{id}.git")}));
        lines.push(agent_record(id, &own.agent_token(), id));
        let person = user_line(id).replace("}\n", ",\"two_factor\":true}\n");
        lines.iter().map(|line| format!("{line}\n")).collect::<String>() + &person + &generated_key_line(id, id)
    }

    /// Writes until no answer comes, which must be because the primary was killed.
    pub fn write_until_killed(&mut self, env: &TestEnv, running: &Progress) {
        loop {
            let write = self.retry.take().unwrap_or_else(|| self.choose_write());
            let answered = write.request(env, self.ids).try_send(&env.primary_socket()).ok().filter(is_complete);
            let Some(answer) = answered else {
                assert!(running.primary_killed.load(Ordering::SeqCst), "{write:?} had no answer of a primary that lives");
                self.usage_reports[1] += u64::from(write == WriteOperation::ReportUsage);
                self.unanswered_write = Some(write);
                return;
            };
            write.assert_answer(&answer, &self.expected, self.ids);
            self.write_counts[write.kind_index()] += 1;
            self.expected = write.applied(&self.expected, self.ids);
            self.record_answer(&write, &answer);
            running.answered_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What only the answer tells.
    fn record_answer(&mut self, write: &WriteOperation, answer: &Response) {
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        match write {
            WriteOperation::RecoveryCodes => {
                let codes = answer.json()["recovery_codes"].as_array().unwrap().clone();
                self.expected.codes = codes.iter().map(|code| Digest::of(code.as_str().unwrap().as_bytes()).to_string()).collect();
            }
            WriteOperation::PersonalAccessToken(number) => self.tokens.push((text("token"), self.ids.label(*number))),
            WriteOperation::CreateProject(path) => drop(self.repositories.insert(path.clone(), text("gl_repository"))),
            WriteOperation::ReportUsage => self.usage_reports[0] += 1,
            _ => {}
        }
    }

    /// The next write; one that would change nothing by itself is chosen again.
    fn choose_write(&mut self) -> WriteOperation {
        loop {
            let kind = WRITE_KINDS[usize::try_from(self.random.below(WRITE_KINDS.len() as u64)).unwrap()];
            if let Some(write) = self.choose_of_kind(kind) {
                return write;
            }
        }
    }

    fn choose_of_kind(&mut self, kind: &str) -> Option<WriteOperation> {
        self.next_number += 1;
        let (number, own) = (self.next_number, self.ids);
        let waiting = self.expected.waiting_messages.first().cloned();
        Some(match kind {
            // A sentence that waits must be fetched within minutes.
            "create" if self.expected.waiting_messages.len() >= 3 => return self.choose_of_kind("push ends"),
            "create" => WriteOperation::CreateProject(format!("{}/made-{number}", own.namespace_path())),
            "push begins" => {
                let made =
                    waiting.map(|path| self.repositories[&path].clone()).filter(|made| !self.expected.open_pushes.contains_key(made));
                WriteOperation::PreReceive(made.filter(|_| self.random.below(2) == 0).unwrap_or_else(|| own.repository()))
            }
            "push ends" => {
                let announced = self.expected.projects.last().filter(|path| !self.expected.waiting_messages.contains(*path)).cloned();
                let ended = (self.expected.open_pushes.get(&own.repository()) > Some(&0)).then(|| base_project_path(own));
                let path = waiting.or_else(|| if self.random.below(4) == 0 { announced } else { ended })?;
                WriteOperation::PostReceive(self.repositories[&path].clone(), path)
            }
            "codes" => WriteOperation::RecoveryCodes,
            // A person may have so many.
            "token" => (self.expected.tokens.len() < 950).then_some(WriteOperation::PersonalAccessToken(number))?,
            "event" => WriteOperation::AuditEvent(number),
            "packs" => WriteOperation::AddMinutePacks(number, 1 + self.random.below(3)),
            "move" => WriteOperation::MoveMinutePacks(usize::from(self.expected.packs[0].is_empty())),
            "subscribe" => {
                let free = (10..20).map(|number| own.group_id(number)).find(|group| !self.expected.subscriptions.contains_key(group));
                WriteOperation::Subscribe(free?, number)
            }
            "resubscribe" => WriteOperation::Resubscribe(*pick_any(&mut self.random, self.expected.subscriptions.keys())?, number),
            "reconcile" => {
                let first = self.random.below(4);
                WriteOperation::Reconcile([own.group_id(2 + first), own.group_id(2 + (first + 1) % 4)], number)
            }
            "take back" => WriteOperation::DeleteReconciliation(*pick_any(&mut self.random, self.expected.reconciliations.keys())?),
            "found" => WriteOperation::ReportVulnerability(self.random.below(60)),
            "scanned" => WriteOperation::ScanResult((0..60).filter(|_| self.random.below(3) > 0).collect()),
            "used" => WriteOperation::ReportUsage,
            "configure" => WriteOperation::Configure(number),
            "apply" => WriteOperation::Apply(number),
            "revoke" => WriteOperation::RevokeKey(pick_any(&mut self.random, self.expected.keys.iter())? - own.applied_id(0)),
            "block" => {
                let active = self.expected.accounts.iter().filter(|(_, blocked)| !**blocked).map(|(id, _)| id);
                WriteOperation::BlockUser(pick_any(&mut self.random, active)? - own.applied_id(0))
            }
            other => panic!("{other} is no kind of write"),
        })
    }

    /// All that was answered is there, and of what was not all or nothing; whether it was there, if there was one.
    pub fn check(&mut self, env: &TestEnv, seen: &ObservedState) -> Option<bool> {
        let there = seen.state_of(env, self.ids).sorted();
        let before = std::mem::take(&mut self.expected).sorted();
        let Some(write) = self.unanswered_write.take() else {
            assert_eq!(there, before, "client {}\n{}", self.ids.0, env.logs());
            self.expected = there;
            return None;
        };
        let mut after = write.applied(&before, self.ids).sorted();
        if write == WriteOperation::RecoveryCodes && there.codes != before.codes {
            assert!(there.codes.len() == 10 && there.codes.is_disjoint(&before.codes), "a whole new set, without the old one");
            after.codes.clone_from(&there.codes);
        }
        let differs = |from: &ClientState| {
            format!("{from:#?}").lines().zip(format!("{there:#?}").lines()).find(|(a, b)| a != b).map(|(a, b)| format!("{a} is {b}"))
        };
        assert!(
            there == before || there == after,
            "client {}, unanswered {write:?}: without it {:?}, with it {:?}\n{}",
            self.ids.0,
            differs(&before),
            differs(&after),
            env.logs()
        );
        let took_effect = there != before;
        for (path, repository) in seen.created_repositories(self.ids) {
            let known = self.repositories.entry(path.clone()).or_insert_with(|| repository.clone());
            assert_eq!(*known, repository, "{path} is the project that was answered");
        }
        self.expected = there;
        self.retry = write.is_idempotent().then_some(write);
        self.check_tokens(env);
        Some(took_effect)
    }

    /// The tokens of this round and some older ones are good, and are what was answered.
    fn check_tokens(&mut self, env: &TestEnv) {
        let older = self.older_tokens;
        let some: Vec<usize> = (0..10).filter(|_| older > 0).map(|_| usize::try_from(self.random.below(older as u64)).unwrap()).collect();
        for (token, name) in some.into_iter().chain(older..self.tokens.len()).map(|place| &self.tokens[place]) {
            let itself = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", token).send(&env.primary_socket());
            let body = itself.json();
            let expected = (200, Some(name.as_str()), Some(self.ids.user_id()), &json!(["read_user"]), &Value::Bool(true));
            assert_eq!(
                (itself.status, body["name"].as_str(), body["user_id"].as_u64(), &body["scopes"], &body["active"]),
                expected,
                "{body}"
            );
        }
        self.older_tokens = self.tokens.len();
    }

    /// What counts for one round is counted anew.
    pub fn reset_round(&mut self) {
        self.usage_reports = [0; 2];
    }

    pub fn sum_write_counts(mut sums: [u64; WRITE_KINDS.len()], client: &Self) -> [u64; WRITE_KINDS.len()] {
        sums.iter_mut().zip(client.write_counts).for_each(|(sum, count)| *sum += count);
        sums
    }
}

fn base_project_path(own: ClientIds) -> String {
    format!("{}/base", own.namespace_path())
}

fn pick_any<'a, T>(random: &mut Random, of: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let all: Vec<&T> = of.collect();
    (!all.is_empty()).then(|| all[usize::try_from(random.below(all.len() as u64)).unwrap()])
}

/// Whether an answer came to its end. One that was cut off may as well not have come.
fn is_complete(answer: &Response) -> bool {
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    answer.status == 204 || length == Some(answer.body.len())
}
