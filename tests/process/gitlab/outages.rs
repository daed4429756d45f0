//! A GitLab that fails, in every way that we know: nobody is let in whom it did not mean, nobody reads that a key does not exist, nothing
//! happens twice, and it is asked again as soon as it is back.

use serde_json::json;

use crate::gitlab::{GitlabEnv, Reach};
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::gitlab::outage::{Outage, PLAIN_OUTAGES};
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

const SHORT: &str = "timeout = \"300ms\"\nforward_timeout = \"600ms\"";

fn started(reach: Reach) -> GitlabEnv {
    let it = GitlabEnv::start(GitlabVersion::V18, reach, SHORT, "");
    *it.gitlab.directory() = GitlabDirectory::of_size(3);
    it.gitlab.other_instance().add_user(900);
    it
}

fn new_token(it: &GitlabEnv) -> Request {
    let body = json!({"key_id": "1", "name": "a-token", "scopes": ["read_api"]});
    it.shell(Request::post("/api/v4/internal/personal_access_token", &body))
}

/// What is answered to questions that were never asked before: a look-up, a pull, a write.
fn statuses(it: &GitlabEnv) -> [u16; 3] {
    let requests = [lookup_request(&key_blob(1)), it.pull(1, "group/project-1.git"), new_token(it)];
    requests.map(|request| {
        let response = it.ask(request);
        assert!(response.status == 200 || !response.json()["message"].is_null(), "no message: {}", response.text());
        response.status
    })
}

/// What each outage must look like.
fn expected(outage: Outage) -> [&'static [u16]; 3] {
    match outage {
        // Another instance answers as a GitLab does: what it says cannot be told from the truth here.
        Outage::OtherInstance => [&[404], &[404], &[200]],
        Outage::TooManyRequests => [&[424], &[401], &[429]],
        // The write was answered with a 2xx or with JSON: relayed.
        Outage::EmptyObject | Outage::Null => [&[424], &[424], &[200, 424]],
        Outage::OtherSecret => [&[424], &[424], &[401, 424]],
        _ => [&[424], &[424], &[424, 501]],
    }
}

fn assert_outage(it: &mut GitlabEnv, outage: Outage) {
    it.gitlab.fail(outage);
    let found = statuses(it);
    for (status, allowed) in found.iter().zip(expected(outage)) {
        assert!(allowed.contains(status), "{outage:?}: {found:?}\n{}", it.env.logs());
    }
    it.gitlab.recover();
    wait_until_asked(it, outage);
}

/// Waits until a question is answered by the GitLab again.
fn wait_until_asked(it: &GitlabEnv, outage: Outage) {
    let deadline = std::time::Instant::now() + crate::support::TIMEOUT;
    while it.ask(lookup_request(&key_blob(2))).status != 200 {
        assert!(std::time::Instant::now() < deadline, "{outage:?}: not back\n{}", it.env.logs());
        std::thread::yield_now();
    }
}

#[test]
fn an_outage_lets_nobody_in_and_looks_like_no_wrong_key() {
    for outage in PLAIN_OUTAGES {
        let mut it = started(Reach::Http);
        assert_outage(&mut it, outage);
    }
}

#[test]
fn an_expired_certificate_is_an_outage() {
    let mut it = started(Reach::Tls);
    assert_outage(&mut it, Outage::ExpiredCertificate);
}

#[test]
fn no_outage_makes_a_token_twice() {
    for outage in PLAIN_OUTAGES {
        let mut it = started(Reach::Unix);
        it.gitlab.fail(outage);
        let status = it.ask(new_token(&it)).status;
        it.gitlab.recover();
        wait_until_asked(&it, outage);
        let made = it.gitlab.directory().tokens.len();
        assert!(made <= 1, "{outage:?}: {made} tokens, status {status}");
    }
}
