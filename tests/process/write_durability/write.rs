//! The writes: how each is sent, what it makes of what a client holds, and what its answer must be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sidegate::model::clock;
use sidegate::model::finding::{ClusterLocation, VulnerabilityFinding};
use sidegate::rules::kubernetes_vulnerability;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::contract_directory::{ADMIN_TOKEN, KAS_SECRET};
use crate::support::env::TestEnv;
use crate::support::generated_directory::generated_key_line;
use crate::support::http::{Request, Response};

const MODULE: &str = "/api/v4/internal/kubernetes/modules/starboard_vulnerability";
const RECONCILIATIONS: &str = "/api/v4/internal/upcoming_reconciliations";
pub const PUSHED_CHANGES: &str = "0000000000000000000000000000000000000000 fd9e76b9136bdd9fe217061b497745792fe5a5ee refs/tags/x\n";

/// One write of a client's. Numbers are the client's own, each used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOperation {
    PreReceive(String),
    /// Of a repository, which is that of the project at a path.
    PostReceive(String, String),
    RecoveryCodes,
    PersonalAccessToken(u64),
    AuditEvent(u64),
    /// Packs: so many with this number.
    AddMinutePacks(u64, u64),
    /// All packs of one of the two namespaces to the other.
    MoveMinutePacks(usize),
    Subscribe(u64, u64),
    Resubscribe(u64, u64),
    /// Two reconciliations on this day.
    Reconcile([u64; 2], u64),
    DeleteReconciliation(u64),
    ReportVulnerability(u64),
    /// A scan that found these only.
    ScanResult(Vec<u64>),
    ReportUsage,
    Configure(u64),
    CreateProject(String),
    Apply(u64),
    RevokeKey(u64),
    BlockUser(u64),
}

/// Their names.
pub const WRITE_KINDS: [&str; 19] = [
    "push begins",
    "push ends",
    "codes",
    "token",
    "event",
    "packs",
    "move",
    "subscribe",
    "resubscribe",
    "reconcile",
    "take back",
    "found",
    "scanned",
    "used",
    "configure",
    "create",
    "apply",
    "revoke",
    "block",
];

/// All that a client has written, as it must be found again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientState {
    /// How many pushes are under way to which repository.
    pub open_pushes: BTreeMap<String, u64>,
    /// The hashes of the recovery codes that count.
    pub codes: BTreeSet<String>,
    /// The names of tokens; one that is there twice stands here twice.
    pub tokens: Vec<String>,
    /// What marks each audit event; the same.
    pub events: Vec<String>,
    /// The packs of the two namespaces, and of how many minutes they are.
    pub packs: [BTreeMap<String, i64>; 2],
    /// Which version of a subscription a namespace has.
    pub subscriptions: BTreeMap<u64, u64>,
    pub reconciliations: BTreeMap<u64, String>,
    /// The findings by UUID: whether they are still detected.
    pub findings: BTreeMap<String, bool>,
    /// The last configuration of the agent.
    pub configuration: Option<u64>,
    /// The paths of projects that pushes made; the same.
    pub projects: Vec<String>,
    /// Those of them whose sentence waits.
    pub waiting_messages: BTreeSet<String>,
    /// The last file that was applied: it names a person and a broadcast so, which lie in two databases.
    pub applied: u64,
    pub keys: BTreeSet<u64>,
    /// Accounts that were applied, and which are blocked.
    pub accounts: BTreeMap<u64, bool>,
}

/// The numbers of things of one client.
#[derive(Clone, Copy, Debug)]
pub struct ClientIds(pub u64);

impl ClientIds {
    /// The person; also the number of the person's key, project, agent and broadcast.
    pub const fn user_id(self) -> u64 {
        self.0 + 1
    }

    pub fn namespace_path(self) -> String {
        format!("person-{}", self.user_id())
    }

    /// Who is named anew by each file that is applied.
    pub const fn renamed_user_id(self) -> u64 {
        500 + self.0
    }

    /// One of its groups: 0 and 1 for packs, 2 to 5 for reconciliations, 10 to 19 for subscriptions.
    pub const fn group_id(self, number: u64) -> u64 {
        1_000 + self.0 * 100 + number
    }

    /// The key, and the account, that a file brings.
    pub const fn applied_id(self, number: u64) -> u64 {
        100_000 * self.user_id() + number
    }

    pub fn repository(self) -> String {
        format!("project-{}", self.user_id())
    }

    pub fn agent_token(self) -> String {
        format!("the-token-of-client-{}", self.0)
    }

    pub fn label(self, number: u64) -> String {
        format!("client-{}-{number}-end", self.0)
    }

    fn finding(self, number: u64) -> VulnerabilityFinding {
        let word = |text: &str| text.to_owned();
        let location = ClusterLocation { namespace: word("n"), kind: word("pod"), name: word("x"), container: None, package: None };
        VulnerabilityFinding {
            identifier: (word("cve"), format!("CVE-{number}")),
            location,
            vulnerability: Map::new(),
            scanner: Map::new(),
        }
    }

    pub fn uuid(self, number: u64) -> String {
        kubernetes_vulnerability::finding_uuid(self.user_id().to_string().parse().unwrap(), &self.finding(number)).to_string()
    }
}

/// A day out of a number, for reconciliations.
fn date_from(number: u64) -> String {
    format!("{}-{:02}-{:02}", 2100 + number / 336, 1 + number / 28 % 12, 1 + number % 28)
}

impl WriteOperation {
    pub const fn kind_index(&self) -> usize {
        match self {
            Self::PreReceive(_) => 0,
            Self::PostReceive(..) => 1,
            Self::RecoveryCodes => 2,
            Self::PersonalAccessToken(_) => 3,
            Self::AuditEvent(_) => 4,
            Self::AddMinutePacks(..) => 5,
            Self::MoveMinutePacks(_) => 6,
            Self::Subscribe(..) => 7,
            Self::Resubscribe(..) => 8,
            Self::Reconcile(..) => 9,
            Self::DeleteReconciliation(_) => 10,
            Self::ReportVulnerability(_) => 11,
            Self::ScanResult(_) => 12,
            Self::ReportUsage => 13,
            Self::Configure(_) => 14,
            Self::CreateProject(_) => 15,
            Self::Apply(_) => 16,
            Self::RevokeKey(_) => 17,
            Self::BlockUser(_) => 18,
        }
    }

    /// Whether a client that had no answer may say it again.
    pub const fn is_idempotent(&self) -> bool {
        !matches!(
            self,
            Self::PreReceive(_)
                | Self::PostReceive(..)
                | Self::RecoveryCodes
                | Self::PersonalAccessToken(_)
                | Self::AuditEvent(_)
                | Self::ReportUsage
        )
    }

    /// As it is sent.
    pub fn request(&self, env: &TestEnv, own: ClientIds) -> Request {
        let shell = |path: &str, body: Value| {
            Request::post(&format!("/api/v4/internal/{path}"), &body).header("Gitlab-Shell-Api-Request", &env.shell_token())
        };
        let sold = |method: &str, path: &str, body: Value| {
            let request = Request::new(method, path).header("Content-Type", "application/json").body(body.to_string());
            request.header("PRIVATE-TOKEN", ADMIN_TOKEN)
        };
        let namespace = |number: u64, rest: &str| format!("/api/v4/namespaces/{number}/{rest}");
        let kas = |method: &str, path: &str, body: Value| {
            let request = Request::new(method, path).header("Content-Type", "application/json").body(body.to_string());
            let request = request.header(
                "Gitlab-Kas-Api-Request",
                &issue_token(Issuer::Kas, None, &Secret::from_bytes(&KAS_SECRET).unwrap(), clock::wall_time()),
            );
            request.header("Authorization", &format!("Bearer {}", own.agent_token()))
        };
        let version =
            |seats: u64| json!({"start_date": "2026-01-01", "plan": format!("plan-{seats}"), "seats": seats, "max_seats_used": seats + 1});
        match self {
            Self::PreReceive(repository) => shell("pre_receive", json!({"gl_repository": repository})),
            Self::PostReceive(repository, _) => {
                let identifier = format!("user-{}", own.user_id());
                shell("post_receive", json!({"gl_repository": repository, "identifier": identifier, "changes": PUSHED_CHANGES}))
            }
            Self::RecoveryCodes => shell("two_factor_recovery_codes", json!({"key_id": own.user_id()})),
            Self::PersonalAccessToken(number) => {
                shell("personal_access_token", json!({"key_id": own.user_id(), "name": own.label(*number), "scopes": ["read_user"]}))
            }
            Self::AuditEvent(number) => {
                let event = json!({"action": "git-receive-pack", "gl_repository": own.repository(), "changes": own.label(*number)});
                shell("shellhorse/git_audit_event", event)
            }
            Self::AddMinutePacks(number, count) => {
                let packs: Vec<Value> = own
                    .minute_packs(*number, *count)
                    .map(|(xid, minutes)| json!({"purchase_xid": xid, "number_of_minutes": minutes, "expires_at": "2099-01-01"}))
                    .collect();
                sold("POST", &namespace(own.group_id(0), "minutes"), json!({"packs": packs}))
            }
            Self::MoveMinutePacks(from) => {
                let (from, to) = if *from == 0 { (own.group_id(0), own.group_id(1)) } else { (own.group_id(1), own.group_id(0)) };
                sold("PATCH", &namespace(from, &format!("minutes/move/{to}")), json!({}))
            }
            Self::Subscribe(group, seats) => sold("POST", &namespace(*group, "gitlab_subscription"), version(*seats)),
            Self::Resubscribe(group, seats) => sold("PUT", &namespace(*group, "gitlab_subscription"), version(*seats)),
            Self::Reconcile(groups, on) => {
                let one = |group: &u64| json!({"namespace_id": group, "next_reconciliation_date": date_from(*on), "display_alert_from": date_from(*on)});
                sold("PUT", RECONCILIATIONS, json!({"upcoming_reconciliations": groups.iter().map(one).collect::<Vec<_>>()}))
            }
            Self::DeleteReconciliation(group) => sold("DELETE", &format!("{RECONCILIATIONS}?namespace_id={group}"), json!({})),
            Self::ReportVulnerability(number) => {
                let finding = own.finding(*number);
                let vulnerability = json!({
                    "name": "a hole", "severity": "high", "confidence": "unknown",
                    "location": {"kubernetes_resource": {"namespace": "n", "kind": "pod", "name": "x"}},
                    "identifiers": [{"type": "cve", "name": finding.identifier.1, "value": finding.identifier.1}],
                });
                kas("PUT", MODULE, json!({"vulnerability": vulnerability, "scanner": {"id": "s", "name": "S", "vendor": "V"}}))
            }
            Self::ScanResult(stay) => {
                let uuids: Vec<String> = stay.iter().map(|number| own.uuid(*number)).collect();
                kas("POST", &format!("{MODULE}/scan_result"), json!({"uuids": uuids}))
            }
            Self::ReportUsage => {
                let usage = json!({"counters": {"gitops_sync": 2, "k8s_api_proxy_request": 3}, "unique_counters": {"agent_users_using_ci_tunnel": [own.user_id()]}});
                kas("POST", "/api/v4/internal/kubernetes/usage_metrics", usage)
            }
            Self::Configure(number) => {
                let config = json!({"number": number, "ci_access": {"projects": [{"id": format!("{}/base", own.namespace_path())}]}});
                kas("POST", "/api/v4/internal/kubernetes/agent_configuration", json!({"agent_id": own.user_id(), "agent_config": config}))
            }
            Self::CreateProject(path) => {
                let push =
                    json!({"key_id": own.user_id(), "project": path, "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
                shell("allowed", push)
            }
            Self::Apply(number) => Request::new("POST", "/-/admin/apply").body(own.directory_file(*number)),
            Self::RevokeKey(number) => Request::post("/-/admin/revoke-key", &json!({"id": own.applied_id(*number)})),
            Self::BlockUser(number) => {
                Request::post("/-/admin/block-user", &json!({"username": format!("brought-{}", own.applied_id(*number))}))
            }
        }
    }

    /// What it makes of what is held; codes are known only by the answer.
    pub fn applied(&self, state: &ClientState, own: ClientIds) -> ClientState {
        let mut state = state.clone();
        match self {
            Self::PreReceive(repository) => *state.open_pushes.entry(repository.clone()).or_default() += 1,
            Self::PostReceive(repository, path) => {
                let left = state.open_pushes.remove(repository).unwrap_or(0).saturating_sub(1);
                if left > 0 {
                    state.open_pushes.insert(repository.clone(), left);
                }
                state.waiting_messages.remove(path);
            }
            Self::RecoveryCodes | Self::ReportUsage => {}
            Self::PersonalAccessToken(number) => state.tokens.push(own.label(*number)),
            Self::AuditEvent(number) => state.events.push(own.label(*number)),
            Self::AddMinutePacks(number, count) => {
                for (xid, minutes) in own.minute_packs(*number, *count) {
                    state.packs[0].entry(xid).or_insert(minutes);
                }
            }
            Self::MoveMinutePacks(from) => {
                let mut moved = std::mem::take(&mut state.packs[*from]);
                let target = &mut state.packs[1 - *from];
                moved.retain(|xid, _| !target.contains_key(xid));
                target.append(&mut moved);
            }
            Self::Subscribe(group, seats) => drop(state.subscriptions.entry(*group).or_insert(*seats)),
            Self::Resubscribe(group, seats) => drop(state.subscriptions.insert(*group, *seats)),
            Self::Reconcile(groups, on) => state.reconciliations.extend(groups.iter().map(|group| (*group, date_from(*on)))),
            Self::DeleteReconciliation(group) => drop(state.reconciliations.remove(group)),
            Self::ReportVulnerability(number) => drop(state.findings.insert(own.uuid(*number), true)),
            Self::ScanResult(stay) => {
                let stay: BTreeSet<String> = stay.iter().map(|number| own.uuid(*number)).collect();
                state.findings.iter_mut().filter(|(uuid, _)| !stay.contains(*uuid)).for_each(|(_, detected)| *detected = false);
            }
            Self::Configure(number) => state.configuration = Some(*number),
            Self::CreateProject(path) if state.projects.contains(path) => {}
            Self::CreateProject(path) => {
                state.projects.push(path.clone());
                state.waiting_messages.insert(path.clone());
            }
            Self::Apply(number) => {
                state.applied = *number;
                state.keys.insert(own.applied_id(*number));
                state.accounts.insert(own.applied_id(*number), false);
            }
            Self::RevokeKey(number) => drop(state.keys.remove(&own.applied_id(*number))),
            Self::BlockUser(number) => drop(state.accounts.insert(own.applied_id(*number), true)),
        }
        state
    }

    /// Fails unless the answer is the one of this write upon what was held.
    pub fn assert_answer(&self, answer: &Response, before: &ClientState, own: ClientIds) {
        let expected = match self {
            Self::AddMinutePacks(..) => 201,
            Self::MoveMinutePacks(_) => 202,
            Self::Subscribe(group, _) if before.subscriptions.contains_key(group) => 400,
            Self::Subscribe(..) => 201,
            Self::DeleteReconciliation(group) if !before.reconciliations.contains_key(group) => 404,
            Self::DeleteReconciliation(_) | Self::ReportUsage | Self::Configure(_) => 204,
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{self:?}: {}", answer.text());
        match self {
            Self::PreReceive(_) => assert_eq!(answer.json(), json!({"reference_counter_increased": true})),
            Self::PostReceive(_, path) => {
                let body = answer.json();
                assert_eq!(body["reference_counter_decreased"], true);
                let made = body["messages"].as_array().unwrap().iter();
                let made = made.filter(|one| one["message"].as_str().unwrap().contains("was successfully created")).count();
                assert_eq!(made, usize::from(before.waiting_messages.contains(path)), "{self:?}: the creation is announced once: {body}");
            }
            Self::RecoveryCodes => assert_eq!(answer.json()["recovery_codes"].as_array().map(Vec::len), Some(10), "{}", answer.text()),
            Self::PersonalAccessToken(_) | Self::AuditEvent(_) => {
                let body = answer.json();
                assert!(body["success"] == true || body["status"] == true, "{body}");
            }
            Self::AddMinutePacks(number, count) => {
                let body = answer.json();
                let body: Vec<_> = body
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|pack| (pack["purchase_xid"].as_str().unwrap().to_owned(), pack["number_of_minutes"].as_i64().unwrap()))
                    .collect();
                assert_eq!(body, own.minute_packs(*number, *count).collect::<Vec<_>>(), "as they were bought, however often they are sent");
            }
            Self::Resubscribe(_, seats) => assert_eq!(subscription_version(&answer.json()), Some(*seats)),
            Self::ReportVulnerability(number) => assert_eq!(answer.json()["uuid"], own.uuid(*number)),
            Self::CreateProject(path) => assert_eq!(answer.json()["gl_project_path"], *path),
            _ => {}
        }
    }
}

/// Which version of a subscription this is; `None`: there is none. A mixture is a failure.
pub fn subscription_version(body: &Value) -> Option<u64> {
    let seats = body["usage"]["seats_in_subscription"].as_u64();
    match seats {
        None => assert!(body["plan"]["code"].is_null() && body["billing"]["subscription_start_date"].is_null(), "{body}"),
        Some(seats) => {
            assert_eq!((&body["plan"]["code"], &body["usage"]["max_seats_used"]), (&json!(format!("plan-{seats}")), &json!(seats + 1)));
        }
    }
    seats
}

impl ClientIds {
    fn minute_packs(self, number: u64, count: u64) -> impl Iterator<Item = (String, i64)> {
        (0..count).map(move |part| (format!("{}-{part}", self.label(number)), i64::try_from(number * 10 + part + 1).unwrap()))
    }

    /// What is applied: a name and a broadcast of this number, a key, and an account.
    fn directory_file(self, number: u64) -> String {
        let brought = self.applied_id(number);
        let lines = [
            json!({"kind": "user", "id": self.renamed_user_id(), "username": format!("named-{}", self.0), "name": format!("Number {number}")}),
            json!({"kind": "user", "id": brought, "username": format!("brought-{brought}"), "name": "Brought"}),
            json!({"kind": "broadcast", "id": self.user_id(), "message": format!("Number {number}"), "target_path": "no/such/place",
                "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z"}),
        ];
        lines.iter().map(|line| format!("{line}\n")).collect::<String>() + &generated_key_line(brought, self.user_id())
    }
}
