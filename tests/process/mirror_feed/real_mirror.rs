//! A GitLab, its real mirror and a host behind both: what GitLab changes is in force on the host as soon as the mirror knows of it.

use serde_json::json;

use crate::mirror::{MirrorEnv, VERIFIES, WALKS_ONCE, WALKS_RECENT};
use crate::mirror_feed::source_of;
use crate::support::env::TestEnv;
use crate::support::gitlab_api::delivery::Delivery;
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::instance::records::blob_of;
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

/// Answers are fresh for an hour, so that nothing but the feed takes them back.
const FRESH: &str = "keys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n";

/// A mirror of a GitLab, and a host that follows it.
struct Host {
    /// Dropped first.
    env: TestEnv,
    mirror: MirrorEnv,
}

impl Host {
    fn start(walk: &str) -> Self {
        let mirror = MirrorEnv::start(generated::instance(1, 20, 60), walk);
        let mut env = TestEnv::with_config("", &format!("[freshness]\n{FRESH}"));
        let former = format!("url = \"http+unix://{}\"\nfeed = \"sidegate\"\n", env.primary_socket().display());
        env.replace_in_file("sidegate.toml", &former, &format!("url = \"{}\"\nfeed = \"none\"\n", mirror.gitlab.url()));
        let feed = format!("[feed]\nurl = \"http+unix://{}\"\n[store]\n", mirror.socket().display());
        env.replace_in_file("sidegate.toml", "[store]\n", &feed);
        env.start_sidecar();
        let host = Self { env, mirror };
        host.wait_until_followed();
        host
    }

    fn wait_until_followed(&self) {
        self.env.wait_for("the host to be where the mirror is", || {
            let status = self.env.status();
            status["cursor"]["seq"] == self.mirror.seq()
                && status["follower"]["whole"] == true
                && status["freshness"]["keys"]["state"] == "fresh"
        });
    }

    fn look_up(&self, line: &str) -> Response {
        lookup_request(blob_of(line)).send(&self.env.sidecar_socket())
    }

    fn line(&self, key: u64) -> String {
        self.mirror.gitlab.instance().key(key).unwrap().line.clone()
    }
}

#[test]
fn a_destroyed_key_and_a_new_one_count_on_the_host_as_soon_as_their_hooks_have_come() {
    let host = Host::start(WALKS_ONCE);
    let (removed, stays) = (host.line(7), host.line(8));
    assert_eq!([source_of(&host.look_up(&removed)), source_of(&host.look_up(&stays))], ["200 local", "200 local"]);
    assert_eq!(host.env.status()["feed"]["covers"], json!(["settings", "user", "key"]), "as the mirror's head says");
    host.mirror.gitlab.delete_key(7);
    host.env.wait_for("the key to be refused", || host.look_up(&removed).status == 404);
    let added = key_line(1000);
    host.mirror.gitlab.add_key(3, &added);
    assert_eq!(host.look_up(&added).status, 200, "at once, whether or not its hook has come");
    host.env.wait_for("it to come by the feed", || source_of(&host.look_up(&added)) == "200 local");
    assert_eq!(source_of(&host.look_up(&stays)), "200 local");
}

#[test]
fn a_removal_whose_hook_was_lost_is_found_where_the_key_is_used() {
    let host = Host::start(VERIFIES);
    let removed = host.line(7);
    host.mirror.gitlab.hooks().set_delivery(Some(Delivery { lost: 100, ..host.mirror.delivery() }));
    host.mirror.gitlab.delete_key(7);
    assert_eq!(source_of(&host.look_up(&removed)), "200 local", "nobody has told");
    host.env.wait_for("its use to have it verified", || host.look_up(&removed).status == 404);
    assert_eq!(host.env.status()["feed"]["uses_reported_every"], 1, "as the mirror says");
}

#[test]
fn a_block_that_a_short_walk_finds_takes_the_kept_access_of_the_user_along() {
    let host = Host::start(WALKS_RECENT);
    let key = host.mirror.gitlab.instance().keys().find(|key| key.user == Some(3) && key.deploy.is_none()).unwrap().id;
    let body = json!({"action": "git-upload-pack", "project": "group/project.git", "changes": "_any", "protocol": "ssh", "key_id": key.to_string()});
    let pull = || {
        let request = Request::post("/api/v4/internal/allowed", &body).header("Gitlab-Shell-Api-Request", &host.env.shell_token());
        request.send(&host.env.sidecar_socket())
    };
    assert_eq!([source_of(&pull()), source_of(&pull())], ["200 forwarded", "200 cached"]);
    host.mirror.gitlab.set_state(3, "blocked");
    host.env.wait_for("the block to count", || source_of(&pull()) == "401 forwarded");
    host.mirror.gitlab.set_state(3, "active");
    assert_eq!(pull().status, 200, "the GitLab is asked, whatever its mirror knows");
    host.env.wait_for("its answer to be kept again", || source_of(&pull()) == "200 cached");
}
