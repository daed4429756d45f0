//! Hosts in front of the GitLab that follow its mirror.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::mirror::MirrorEnv;
use crate::support::env::{Daemon, TestEnv};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

/// Everything is fresh for an hour, and no no is kept.
pub const FRESH: &str =
    "keys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";

/// A host.
pub struct Host {
    daemon: Option<Daemon>,
    config: String,
    pub socket: PathBuf,
}

impl Host {
    /// Starts a host of this name; `freshness` are the lines of that section. `ssh-1` has the socket that the helper and sshd of the
    /// environment ask.
    pub fn start(mirror: &MirrorEnv, name: &str, freshness: &str) -> Self {
        let at = mirror.env.path().display();
        let socket = if name == "ssh-1" { mirror.env.sidecar_socket() } else { mirror.env.path().join(format!("{name}.sock")) };
        let (url, config) = (mirror.gitlab.url(), format!("{name}.toml"));
        mirror.env.write(
            &config,
            &format!(
                "host = \"{name}\"\n[socket]\npath = \"{}\"\n[auth]\nshell_secret_file = \"{at}/shell_secret\"\n[primary]\nurl = \"{url}\"\n\
                 feed = \"none\"\nsync_secret_file = \"{at}/sync_secret\"\noperations_per_minute = 0\n[feed]\n\
                 url = \"http+unix://{at}/mirror.sock\"\n[store]\npath = \"{at}/{name}\"\n[freshness]\n{freshness}[log]\nlevel = \"info\"\n",
                socket.display()
            ),
        );
        let mut host = Self { daemon: None, config, socket };
        host.restart(&mirror.env);
        host
    }

    /// `kill -9`, and starts it again.
    pub fn restart(&mut self, env: &TestEnv) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.daemon = Some(env.start_daemon("serve", &self.config));
    }

    pub fn status(&self) -> Value {
        Request::get("/-/admin/status").send(&self.socket).json()
    }

    /// Waits until it answers from this commit of the mirror.
    pub fn wait_for_seq(&self, mirror: &MirrorEnv, seq: u64) {
        mirror.wait_for("a host to be where the mirror is", || {
            let status = self.status();
            status["cursor"]["seq"].as_u64() >= Some(seq) && status["follower"]["whole"] == true
        });
    }

    /// Waits until it answers from the records that the mirror has now. An export may show a commit that the mirror's head does not count
    /// yet, so the records themselves are compared.
    pub fn wait_until_followed(&self, mirror: &MirrorEnv) {
        let digest = mirror.digest().to_string();
        mirror.wait_for("a host to have what the mirror has", || {
            let follower = &self.status()["follower"];
            follower["cursor"]["digest"] == digest && follower["whole"] == true
        });
    }

    /// Who has the key of this line?
    pub fn look_up(&self, line: &str) -> Response {
        lookup_request(line.split(' ').nth(1).unwrap()).send(&self.socket)
    }

    /// May whoever has this key read a project?
    pub fn pull(&self, mirror: &MirrorEnv, key: u64) -> Response {
        let body = json!({
            "action": "git-upload-pack", "project": "group/project", "changes": "_any", "protocol": "ssh", "key_id": key.to_string(),
            "check_ip": "192.0.2.7", "env": "",
        });
        let request = Request::post("/api/v4/internal/allowed", &body);
        request.header("Gitlab-Shell-Api-Request", &mirror.env.shell_token()).send(&self.socket)
    }

    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }
}

/// The status of an answer and where it came from: `200 local`, `404 forwarded`, `424`.
pub fn source_of(answer: &Response) -> String {
    let source = answer.header("x-sidegate-answer").map_or_else(String::new, |source| format!(" {source}"));
    format!("{}{source}", answer.status)
}
