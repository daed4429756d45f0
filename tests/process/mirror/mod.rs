//! A mirror beside a GitLab that replays the contract: what it publishes, by which way it learns of changes, and what it does not believe.

mod from_empty;
mod hooks;
pub mod host;
mod hostile_gitlab;
mod hosts;
mod lost_hooks;
mod operator;
mod random_events;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use serde_json::{Value, json};
use sidegate::model::digest::Digest;

use crate::support::TIMEOUT;
use crate::support::env::{Daemon, SHELL_SECRET, TestEnv};
use crate::support::gitlab_api::delivery::Delivery;
use crate::support::gitlab_api::instance::records::Instance;
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::gitlab_api::{ADMIN_TOKEN, GitlabApi};
use crate::support::http::Request;

/// The token that GitLab sends with each hook.
pub const HOOK_TOKEN: &str = "a-hook-token-of-thirty-two-letters";

/// Walks so seldom that a test sees the first one only; what it waits for comes another way.
pub const WALKS_ONCE: &str = "full = \"1h\"\nrecent = \"1h\"\nverify_every = \"1h\"\n";
/// Short walks all the time, and the full one only once.
pub const WALKS_RECENT: &str = "full = \"1h\"\nrecent = \"100ms\"\nverify_every = \"1h\"\n";
/// Full walks all the time.
pub const WALKS_FULLY: &str = "full = \"100ms\"\nrecent = \"1h\"\nverify_every = \"1h\"\n";
/// Used keys are verified all the time, and nothing is walked again.
pub const VERIFIES: &str = "full = \"1h\"\nrecent = \"1h\"\nverify_every = \"100ms\"\n";

/// A mirror, its GitLab, and their folder.
pub struct MirrorEnv {
    /// Dropped first, so that it writes nothing into a folder that is gone.
    pub mirror: Option<Daemon>,
    pub env: TestEnv,
    pub gitlab: GitlabApi,
    hooks_at: SocketAddr,
}

/// What is published: users by id, with username and state, and keys by id, with the owner and the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    pub users: BTreeMap<u64, (String, String)>,
    pub keys: BTreeMap<u64, (Option<u64>, String)>,
}

impl MirrorEnv {
    /// Starts both, and waits until the first walk has ended and hooks are sent. `walk` are the lines of `[walk]`.
    pub fn start(instance: Instance, walk: &str) -> Self {
        let mut env = Self::prepare(GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, instance), walk, "");
        env.start_mirror();
        env.wait_for_first_walk();
        env.gitlab.hooks().set_delivery(Some(env.delivery()));
        env
    }

    /// Writes the configuration of a mirror of this GitLab. Nothing runs yet, and no hooks are sent. `more` are more sections.
    pub fn prepare(gitlab: GitlabApi, walk: &str, more: &str) -> Self {
        let env = TestEnv::new();
        let hooks_at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        env.write("gitlab_token", ADMIN_TOKEN);
        env.write("hook_token", HOOK_TOKEN);
        let (at, url) = (env.path().display(), gitlab.url());
        let config = format!(
            "[socket]\npath = \"{at}/mirror.sock\"\n[auth]\nshell_secret_file = \"{at}/shell_secret\"\n\
             sync_secret_file = \"{at}/sync_secret\"\n[gitlab]\nurl = \"{url}\"\ntoken_file = \"{at}/gitlab_token\"\n\
             requests_per_second = 2000\n[hooks]\nlisten = \"{hooks_at}\"\ntoken_file = \"{at}/hook_token\"\n[walk]\n{walk}[store]\n\
             path = \"{at}/mirror\"\n[log]\nlevel = \"info\"\n{more}"
        );
        env.write("mirror.toml", &config);
        Self { mirror: None, env, gitlab, hooks_at }
    }

    pub fn start_mirror(&mut self) {
        self.mirror = Some(self.env.start_daemon("mirror", "mirror.toml"));
    }

    /// `kill -9`, and starts it again.
    pub fn crash_mirror(&mut self) {
        self.mirror.as_mut().unwrap().kill();
        self.start_mirror();
    }

    /// How hooks come to this mirror: all of them, in order, at once.
    pub fn delivery(&self) -> Delivery {
        Delivery::faithful(self.hooks_at, HOOK_TOKEN)
    }

    pub fn socket(&self) -> std::path::PathBuf {
        self.env.path().join("mirror.sock")
    }

    pub fn status(&self) -> Value {
        Request::get("/-/admin/status").send(&self.socket()).json()
    }

    /// The kinds of the alarms that stand.
    pub fn alarms(&self) -> Vec<String> {
        let alarms = self.status()["alarms"].as_array().unwrap().clone();
        alarms.iter().map(|alarm| alarm["kind"].as_str().unwrap().to_owned()).collect()
    }

    pub fn has_alarm(&self, reason: &str) -> bool {
        self.alarms().iter().any(|standing| standing == reason)
    }

    /// How many full walks have ended, by the log of the process that runs.
    pub fn full_walks(&self) -> usize {
        self.mirror.as_ref().unwrap().log().matches("a full walk has ended").count()
    }

    /// The last commit.
    pub fn seq(&self) -> u64 {
        self.status()["head"]["seq"].as_u64().unwrap()
    }

    /// The digest of what is published now.
    pub fn digest(&self) -> Digest {
        let records = Request::get("/-/admin/export").send(&self.socket()).text();
        records.lines().fold(Digest::default(), |sum, record| sum.plus(Digest::of(record.as_bytes())))
    }

    /// What is published now.
    pub fn published(&self) -> Published {
        let mut published = Published::default();
        for line in Request::get("/-/admin/export").send(&self.socket()).text().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| record[field].as_str().map(str::to_owned);
            match record["kind"].as_str() {
                Some("user") => {
                    let state = text("state").unwrap_or_else(|| "active".to_owned());
                    published.users.insert(record["id"].as_u64().unwrap(), (text("username").unwrap(), state));
                }
                Some("key") => {
                    assert_eq!(record["deploy"] == true, record["user_id"].is_null(), "{line}");
                    published.keys.insert(record["id"].as_u64().unwrap(), (record["user_id"].as_u64(), text("key").unwrap()));
                }
                kind => assert_eq!(kind, Some("settings"), "{line}"),
            }
        }
        published
    }

    /// What ought to be published, by what GitLab holds.
    pub fn expected(&self) -> Published {
        let instance = self.gitlab.instance();
        let state = |state: &str| {
            match state {
                "ldap_blocked" => "blocked",
                "blocked_pending_approval" => "pending_approval",
                other => other,
            }
            .to_owned()
        };
        let users = instance.users().map(|user| (user.id, (user.username.clone(), state(&user.state)))).collect();
        let logins = instance.keys().filter(|key| instance.is_login_key(key.id));
        let keys = logins.map(|key| (key.id, (key.user.filter(|_| key.deploy.is_none()), key.line.clone()))).collect();
        Published { users, keys }
    }

    /// Waits until what is published is what GitLab holds.
    pub fn wait_until_equal(&self) {
        self.wait_for("what is published to be what GitLab holds", || self.published() == self.expected());
    }

    pub fn wait_for_first_walk(&self) {
        self.wait_for("the first walk", || self.status()["serves_feed"] == true);
    }

    /// Waits until so many full walks have ended from now on.
    pub fn wait_for_full_walks(&self, count: usize) {
        let before = self.full_walks();
        self.wait_for("full walks", || self.full_walks() >= before + count);
    }

    /// A host reports that it has used a key.
    pub fn report_use(&self, key: u64) {
        let body = json!({ "keys": { key.to_string(): "2026-11-28" } });
        let request = Request::post("/api/v4/internal/sidegate/usage", &body);
        let response = request.header("Sidegate-Sync-Request", &self.env.sync_token("ssh-1")).send(&self.socket());
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// Waits until something is so; fails with the log of the mirror if it never is.
    pub fn wait_for(&self, what: &str, so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !so() {
            let log = || self.mirror.as_ref().map(Daemon::log).unwrap_or_default();
            assert!(begun.elapsed() < TIMEOUT, "waited in vain for {what}\n--- mirror\n{}\n{}", log(), self.env.logs());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
}
