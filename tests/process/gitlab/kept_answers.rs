//! What a host keeps of its GitLab's answers, through every way in which a GitLab fails: who is known logs in, pulls and begins a push.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::gitlab::{GitlabEnv, Reach};
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::gitlab::outage::{Outage, PLAIN_OUTAGES};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;
use crate::support::{StopOnDrop, TIMEOUT};

const SHORT: &str = "timeout = \"300ms\"\nforward_timeout = \"600ms\"\noperations_per_minute = 0";
/// Every question is asked; a kept yes is given where GitLab fails.
const STALE: &str = "keys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
const FRESH: &str = "keys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n";

fn started(reach: Reach, freshness: &str) -> GitlabEnv {
    let it = GitlabEnv::start(GitlabVersion::V18, reach, SHORT, &format!("[freshness]\n{freshness}"));
    *it.gitlab.directory() = GitlabDirectory::of_size(3);
    it
}

fn known_questions(it: &GitlabEnv) -> [Request; 4] {
    let discover = it.shell(Request::get("/api/v4/internal/discover?key_id=1"));
    [lookup_request(&key_blob(1)), discover, it.pull(1, "group/project-1.git"), it.push(1, "group/project-1.git")]
}

/// Asks all of them once, and returns what was said.
fn ask_known(it: &GitlabEnv) -> Vec<Response> {
    known_questions(it).into_iter().map(|request| it.ask(request)).collect()
}

fn bodies(responses: &[Response]) -> Vec<(u16, String)> {
    responses.iter().map(|response| (response.status, response.text())).collect()
}

/// Whoever was let in before is let in, with the same answers; another key is not.
fn assert_outage_is_survived(it: &mut GitlabEnv, outage: Outage) {
    let before = bodies(&ask_known(it));
    assert!(before.iter().all(|(status, _)| *status == 200), "{before:?}");
    it.gitlab.fail(outage);
    let mut meanwhile = ask_known(it);
    let mut expected = before;
    if outage == Outage::Null {
        // To `discover` a null says that there is no such user.
        drop((meanwhile.remove(1), expected.remove(1)));
    }
    assert_eq!(bodies(&meanwhile), expected, "{outage:?}\n{}", it.env.logs());
    for response in meanwhile {
        assert_eq!(response.header("x-sidegate-answer"), Some("cached"), "{outage:?}");
        assert_eq!(response.header("x-sidegate-degraded"), Some("primary-unreachable"), "{outage:?}");
    }
    let unknown = it.ask(lookup_request(&key_blob(2))).status;
    assert_eq!(unknown, 424, "{outage:?}: a key that was never asked for");
    it.gitlab.recover();
    it.env.wait_for("GitLab to be asked again", || it.ask(lookup_request(&key_blob(1))).header("x-sidegate-answer") == Some("forwarded"));
}

#[test]
fn who_is_known_is_let_in_however_gitlab_fails() {
    // Another instance says no as a GitLab does, and a limit is a decision about one person; both are tested apart.
    let decides = [Outage::OtherInstance, Outage::TooManyRequests];
    for outage in PLAIN_OUTAGES.into_iter().filter(|outage| !decides.contains(outage)) {
        let mut it = started(Reach::Http, STALE);
        assert_outage_is_survived(&mut it, outage);
    }
    let mut it = started(Reach::Tls, STALE);
    assert_outage_is_survived(&mut it, Outage::ExpiredCertificate);
}

#[test]
fn a_limit_of_gitlabs_stops_an_operation_with_its_sentence_and_nobodys_login() {
    let mut it = started(Reach::Http, STALE);
    let before = bodies(&ask_known(&it));
    it.gitlab.fail(Outage::TooManyRequests);
    let meanwhile = bodies(&ask_known(&it));
    assert_eq!(meanwhile[..2], before[..2], "whose key it is, and who that is");
    let sentence = "This endpoint has been requested too many times. Try again later.";
    for (status, body) in &meanwhile[2..] {
        assert_eq!((*status, body.contains(sentence)), (401, true), "gitlab-shell asks three times on a 429: {body}");
    }
    it.gitlab.recover();
    assert_eq!(bodies(&ask_known(&it)), before, "a limit takes nothing back");
}

#[test]
fn a_gitlab_that_is_back_gets_no_burst() {
    let mut it = started(Reach::Unix, FRESH);
    ask_known(&it);
    it.gitlab.fail(Outage::Hung);
    it.env.wait_for("the probe to fail", || {
        it.ask(lookup_request(&key_blob(2)));
        it.env.status()["primary"]["breaker"] == "open"
    });
    let (asked, probes) = (it.gitlab.all_questions(), it.gitlab.questions("probe"));
    // While it fails nothing but the probe is asked, however many come.
    for _ in 0..500 {
        assert_eq!(it.ask(lookup_request(&key_blob(1))).status, 200);
        assert_eq!(it.ask(lookup_request(&key_blob(3))).status, 424);
    }
    assert_eq!(it.gitlab.all_questions(), asked);
    it.gitlab.recover();
    it.env.wait_for("the probe to be answered", || it.env.status()["primary"]["breaker"] == "closed");
    assert_eq!(it.gitlab.all_questions(), asked, "nothing was saved up to be asked at once");
    assert!(it.gitlab.questions("probe") > probes);
    assert_eq!(it.ask(lookup_request(&key_blob(3))).status, 200);
    assert_eq!(it.gitlab.all_questions(), asked + 1);
}

#[test]
fn a_thousand_who_ask_a_slow_gitlab_for_one_key_are_one_question() {
    let it = GitlabEnv::start(GitlabVersion::V15, Reach::Http, "", &format!("[freshness]\n{FRESH}"));
    *it.gitlab.directory() = GitlabDirectory::of_size(1);
    it.gitlab.count_only();
    it.gitlab.set_delay(std::time::Duration::from_millis(400));
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            scope.spawn(|| assert_eq!(it.ask(lookup_request(&key_blob(1))).status, 200));
        }
    });
    it.gitlab.wait_for_questions("authorized_keys", 1);
    assert_eq!(it.gitlab.questions("authorized_keys"), 1);
    assert!(it.gitlab.take_requests().is_empty());
}

#[test]
fn a_hung_gitlab_costs_nobody_who_is_known_any_wait() {
    let mut it = started(Reach::Unix, FRESH);
    ask_known(&it);
    let idle = slowest_of(&it, 2000);
    it.gitlab.fail(Outage::Hung);
    let stop = AtomicBool::new(false);
    let hung = std::thread::scope(|scope| {
        for stranger in 0..4 {
            let (it, stop) = (&it, &stop);
            scope.spawn(move || {
                let _stopped = StopOnDrop(stop);
                for key in 100.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    assert_eq!(it.ask(lookup_request(&key_blob(1000 * stranger + key))).status, 424);
                }
            });
        }
        let _stopped = StopOnDrop(&stop);
        it.gitlab.wait_for_questions("authorized_keys", 2);
        slowest_of(&it, 2000)
    });
    assert!(idle < TIMEOUT && hung < TIMEOUT);
    eprintln!("p99 of known questions: idle {idle:?}, with a hung GitLab and strangers {hung:?}");
}

/// Asks known questions one after the other, each of which must be answered from what is kept; returns the time of the slowest hundredth.
fn slowest_of(it: &GitlabEnv, count: usize) -> std::time::Duration {
    let questions = known_questions(it);
    let mut times: Vec<std::time::Duration> = (0..count)
        .map(|number| {
            let start = std::time::Instant::now();
            let response = it.ask(questions[number % 3].clone());
            assert_eq!((response.status, response.header("x-sidegate-answer")), (200, Some("cached")));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[count * 99 / 100]
}

#[test]
fn a_moved_project_a_deploy_key_and_a_refused_address_are_decided_by_gitlab() {
    let it = started(Reach::Http, FRESH);
    it.gitlab.directory().add_deploy_key(50, 2, false);
    assert_eq!(it.ask(it.pull(50, "group/project-2.git")).status, 200);
    assert_eq!(it.ask(it.push(50, "group/project-2.git")).status, 401);
    assert_eq!(it.ask(it.pull(50, "group/project-2.git")).header("x-sidegate-answer"), Some("cached"));
    it.gitlab.directory().move_project(3, "group/moved-3");
    for _ in 0..2 {
        let former = it.ask(it.pull(3, "group/project-3.git"));
        assert_eq!((former.status, former.header("x-sidegate-answer")), (200, Some("forwarded")), "the person is told that it moved");
    }
    let lookups = it.gitlab.questions("allowed");
    it.gitlab.directory().refused_addresses.push("192.0.2.7".to_owned());
    assert_eq!(it.ask(it.pull(3, "group/moved-3.git")).status, 404);
    assert_eq!(it.gitlab.questions("allowed"), lookups + 1);
}
