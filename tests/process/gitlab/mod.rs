//! A sidecar in front of a GitLab: `feed = "none"`. The GitLab is one that replays the contract, since a real one cannot be run here.

mod kept_answers;
mod outage_table;
mod outages;
mod wording;

use std::path::PathBuf;

use serde_json::json;

use crate::support::env::{SHELL_SECRET, TestEnv};
use crate::support::gitlab::{FakeGitlab, GitlabVersion};
use crate::support::http::{Request, Response};

/// A GitLab, a sidecar in front of it, and their folder.
pub struct GitlabEnv {
    /// Dropped first: the sidecar ends before its GitLab.
    pub env: TestEnv,
    pub gitlab: FakeGitlab,
}

/// How a sidecar reaches its GitLab.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    Unix,
    Http,
    /// Below `/gitlab`, by a certificate of a private authority.
    Tls,
}

impl GitlabEnv {
    /// Starts both; `limits` are more lines of `[primary]`, and `sections` more sections.
    pub fn start(version: GitlabVersion, reach: Reach, limits: &str, sections: &str) -> Self {
        let mut env = TestEnv::with_config("", sections);
        let ca_file: PathBuf = env.path().join("ca.pem");
        let gitlab = match reach {
            Reach::Unix => FakeGitlab::on_unix(&env.primary_socket(), version, SHELL_SECRET),
            Reach::Http => FakeGitlab::on_tcp("", version, SHELL_SECRET),
            Reach::Tls => FakeGitlab::on_tls(&ca_file, "/gitlab", version, SHELL_SECRET),
        };
        let ca = if matches!(reach, Reach::Tls) { format!("ca_file = \"{}\"\n", ca_file.display()) } else { String::new() };
        let former = format!("url = \"http+unix://{}\"\nfeed = \"sidegate\"\n", env.primary_socket().display());
        let url = gitlab.url();
        env.replace_in_file("sidegate.toml", &former, &format!("url = \"{url}\"\nfeed = \"none\"\n{ca}{limits}\n"));
        env.start_sidecar();
        Self { env, gitlab }
    }

    /// What the sidecar answers.
    pub fn ask(&self, request: Request) -> Response {
        request.send(&self.env.sidecar_socket())
    }

    /// A pull of a project by a key, as gitlab-shell asks.
    pub fn pull(&self, key: u64, project: &str) -> Request {
        self.access("git-upload-pack", key, project)
    }

    /// A push of it, before it begins.
    pub fn push(&self, key: u64, project: &str) -> Request {
        self.access("git-receive-pack", key, project)
    }

    /// A question of gitlab-shell's, with its token.
    pub fn shell(&self, request: Request) -> Request {
        request.header("Gitlab-Shell-Api-Request", &self.env.shell_token())
    }

    fn access(&self, action: &str, key: u64, project: &str) -> Request {
        let body = json!({
            "action": action, "project": project, "changes": "_any", "protocol": "ssh", "key_id": key.to_string(),
            "check_ip": "192.0.2.7", "env": "",
        });
        self.shell(Request::post("/api/v4/internal/allowed", &body))
    }
}
