//! A host in front of a GitLab that follows the feed of its mirror. The GitLab is one that replays the contract; the feed is an embedded
//! primary's, which publishes users and keys as a mirror does.

mod answers;
mod misses;
mod operation;
mod real_mirror;
mod revocation;
mod usage;

use serde_json::{Value, json};

use crate::support::env::{SHELL_SECRET, TestEnv};
use crate::support::generated_directory::{generated_key_line, key_blob, user_line};
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::gitlab::{FakeGitlab, GitlabVersion};
use crate::support::http::{Request, Response};
use crate::support::link::{Delivery, Link, Traffic};
use crate::support::lookup::lookup_request;

/// Limits of `[primary]` with which nobody waits long.
pub const SHORT: &str = "timeout = \"300ms\"\nforward_timeout = \"600ms\"\noperations_per_minute = 0";
/// Everything is fresh for an hour.
pub const FRESH: &str =
    "keys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
/// Nothing is fresh, and everything is given while what is asked fails.
pub const STALE: &str =
    "keys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
/// Keys have expired as soon as they are here.
pub const EXPIRED: &str = "keys = { ttl = \"1ms\", max_stale = \"1ms\" }\nnegative_ttl = \"0s\"\n";

/// A GitLab, its mirror, a host, and the way from the host to the mirror.
pub struct Site {
    /// Dropped first: it ends by a connection to a socket in the folder of `env`.
    pub link: Option<Link>,
    /// Dropped before the GitLab: the host ends before what it asks.
    pub env: TestEnv,
    pub gitlab: FakeGitlab,
}

impl Site {
    /// A GitLab with `keys` users, keys and projects of the same numbers, all of which the mirror has.
    pub fn start(keys: u64, freshness: &str) -> Self {
        let mut site = Self::prepare(keys, freshness);
        site.start_mirror(keys);
        site.env.start_sidecar();
        site.wait_until_followed();
        site
    }

    /// The same before the mirror and the host are started.
    pub fn prepare(keys: u64, freshness: &str) -> Self {
        let env = TestEnv::with_config("", &format!("[freshness]\n{freshness}"));
        let gitlab = FakeGitlab::on_tcp("", GitlabVersion::V18, SHELL_SECRET);
        *gitlab.directory() = GitlabDirectory::of_size(keys);
        let (mirror, link) = (env.primary_socket().display().to_string(), env.path().join("link.sock").display().to_string());
        env.replace_in_file(
            "sidegate.toml",
            &format!("url = \"http+unix://{mirror}\"\nfeed = \"sidegate\"\n"),
            &format!("url = \"{}\"\nfeed = \"none\"\n{SHORT}\n", gitlab.url()),
        );
        env.replace_in_file("sidegate.toml", "[store]\n", &format!("[feed]\nurl = \"http+unix://{link}\"\n[store]\n"));
        Self { env, link: None, gitlab }
    }

    pub fn start_mirror(&mut self, keys: u64) {
        self.env.start_primary();
        let lines: String = (1..=keys).map(|id| user_line(id) + &generated_key_line(id, id)).collect();
        self.env.apply(&lines);
        let (path, mirror) = (self.env.path().join("link.sock"), self.env.primary_socket());
        self.link = Some(Link::start(&path, &mirror));
    }

    pub fn link(&self) -> &Link {
        self.link.as_ref().unwrap()
    }

    /// Waits until the host stands where the mirror stands, on its disk too.
    pub fn wait_until_followed(&self) {
        self.env.wait_for("the host to be where the mirror is", || {
            let (here, there) = (self.env.status(), self.env.primary_status());
            let follower = &here["follower"];
            let head = &there["head"]["seq"];
            here["cursor"]["seq"] == *head
                && follower["acknowledged"]["seq"] == *head
                && follower["whole"] == true
                && follower["proof"] == "exchange"
        });
    }

    /// The mirror publishes these lines.
    pub fn publish(&self, lines: &str) {
        self.env.apply(lines);
        self.wait_until_followed();
    }

    /// Lets nothing through between host and mirror any more; what was there may still be given.
    pub fn cut_feed(&self) {
        self.link().deliver(Traffic::Feed, Delivery::Cut);
        self.env.wait_for("the feed to be lost", || self.env.status()["follower"]["lost_since"].is_string());
    }

    /// Waits until the GitLab is found not to answer.
    pub fn wait_until_failing(&self) {
        self.env.wait_for("the probe to fail", || {
            self.look_up(990_000);
            self.env.status()["primary"]["breaker"] == "open"
        });
    }

    /// Waits until it is found to answer.
    pub fn wait_until_answering(&self) {
        self.env.wait_for("the probe to be answered", || self.env.status()["primary"]["breaker"] == "closed");
    }

    /// Ends the host as systemd does, and starts it again.
    pub fn restart(&mut self) {
        self.env.sidecar.as_mut().unwrap().stop();
        self.env.start_sidecar();
        self.env.wait_for("the stores to be read", || self.env.status()["kept"]["store"]["state"] == "open");
    }

    pub fn ask(&self, request: Request) -> Response {
        request.send(&self.env.sidecar_socket())
    }

    pub fn look_up(&self, key: u64) -> Response {
        self.ask(lookup_request(&key_blob(key)))
    }

    pub fn discover(&self, query: &str) -> Response {
        self.ask(self.shell(Request::get(&format!("/api/v4/internal/discover?{query}"))))
    }

    pub fn pull(&self, key: u64) -> Response {
        let project = format!("group/project-{key}.git");
        let body =
            json!({"action": "git-upload-pack", "project": project, "changes": "_any", "protocol": "ssh", "key_id": key.to_string()});
        self.ask(self.shell(Request::post("/api/v4/internal/allowed", &body)))
    }

    fn shell(&self, request: Request) -> Request {
        request.header("Gitlab-Shell-Api-Request", &self.env.shell_token())
    }

    pub fn feed_status(&self) -> Value {
        self.env.status()["feed"].clone()
    }
}

/// The status of an answer and where it came from: `200 local`, `200 cached degraded`, `424`.
pub fn source_of(answer: &Response) -> String {
    let source = answer.header("x-sidegate-answer").map_or_else(String::new, |source| format!(" {source}"));
    let degraded = if answer.status == 200 && answer.header("x-sidegate-degraded").is_some() { " degraded" } else { "" };
    format!("{}{source}{degraded}", answer.status)
}
