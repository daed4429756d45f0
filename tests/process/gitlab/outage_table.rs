//! Each way in which a GitLab fails: what is answered, what `sidegate status`, the log and the metrics say, and how it is asked when it is
//! back. `docs/troubleshooting.md` has the same table, and is held to this one.

use crate::gitlab::{GitlabEnv, Reach};
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::gitlab::outage::{Outage, PLAIN_OUTAGES};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

const SHORT: &str = "timeout = \"300ms\"\nforward_timeout = \"600ms\"\noperations_per_minute = 0";
/// Every question is asked; a kept yes is given where GitLab fails.
const STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
const TROUBLESHOOTING: &str = include_str!("../../../docs/troubleshooting.md");

/// What is seen of an outage.
struct Row {
    /// What is answered about a kept key, a kept pull, a key that is not kept, and a pull that is not.
    statuses: [u16; 4],
    /// What status and log give as the reason; `None` where nothing is found to fail.
    reason: Option<&'static str>,
    /// What the documentation calls it.
    documented: &'static str,
}

fn row(outage: Outage) -> Row {
    let fails = |documented, reason| Row { statuses: [200, 200, 424, 424], reason: Some(reason), documented };
    let decides = |documented, statuses| Row { statuses, reason: None, documented };
    match outage {
        Outage::Refused => fails("refuses connections", "cannot connect to"),
        Outage::Hung => fails("accepts and never answers", "within 300ms"),
        Outage::CutShort => fails("ends connections within its answers", "the body was cut off"),
        Outage::ErrorPage(500) => fails("500, 502, 503 with a page", "status 500 without a JSON body"),
        Outage::ErrorPage(502) => fails("500, 502, 503 with a page", "status 502 without a JSON body"),
        Outage::ErrorPage(_) => fails("500, 502, 503 with a page", "status 503 without a JSON body"),
        Outage::DefaultHost => fails("404 of the proxy's default host", "status 404 without a JSON body"),
        Outage::LoginRedirect => fails("redirects to a login page", "status 302 without a JSON body"),
        Outage::EmptyObject | Outage::Null => fails("`200 {}` or `200 null`", "status 200 is no answer to this question"),
        Outage::ExpiredCertificate => fails("certificate has expired", "certificate expired"),
        Outage::OtherSecret => fails("has another shell secret", "it refused our token: are the shell secrets the same?"),
        Outage::OtherInstance => decides("another instance", [404, 404, 404, 404]),
        Outage::TooManyRequests => decides("429", [200, 401, 424, 401]),
    }
}

fn started(reach: Reach) -> GitlabEnv {
    let it = GitlabEnv::start(GitlabVersion::V18, reach, SHORT, STALE);
    *it.gitlab.directory() = GitlabDirectory::of_size(3);
    it
}

fn questions(it: &GitlabEnv, person: u64) -> [Request; 2] {
    [lookup_request(&key_blob(person)), it.pull(person, &format!("group/project-{person}.git"))]
}

fn ask(it: &GitlabEnv, person: u64) -> [Response; 2] {
    questions(it, person).map(|request| it.ask(request))
}

/// Returns the value of a metric; 0 if it is not there yet.
fn metric(it: &GitlabEnv, name: &str) -> u64 {
    let metrics = it.ask(Request::get("/-/metrics")).text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// One line of status, one of the log, and the metrics.
fn assert_is_seen(it: &GitlabEnv, outage: Outage, reason: &str) {
    it.env.wait_for("the probe to fail", || it.env.status()["primary"]["failing_since"].is_string());
    let status = it.env.status()["primary"].clone();
    assert_eq!(
        (status["breaker"].as_str(), status["failure"].as_str().unwrap().contains(reason)),
        (Some("open"), true),
        "{outage:?}: {status}"
    );
    let (printed, code) = it.env.status_screen();
    let said = ["GitLab has not answered since ", "GitLab refuses this host since ", "GitLab has given no usable answer since "];
    let is_said = |line: &str| said.iter().any(|said| line.starts_with(said)) && line.contains(reason);
    assert!(printed.lines().any(is_said) && code == Some(1), "{outage:?}: {code:?} {printed}");
    it.env.wait_for("the log to say it", || it.env.logs().contains("primary stopped answering"));
    let log = it.env.logs();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("primary stopped answering")).collect();
    assert!(said.len() == 1 && said[0].contains(reason), "{outage:?}: {said:?}");
    assert_eq!(metric(it, "sidegate_primary_probe_failing"), 1, "{outage:?}");
    assert!(metric(it, "sidegate_primary_probes_total{outcome=\"failed\"}") > 0, "{outage:?}");
    for question in ["authorized_keys", "pull"] {
        let given = format!("sidegate_kept_lookups_total{{question=\"{question}\",outcome=\"stale\"}}");
        assert!(metric(it, &given) > 0, "{outage:?}: {question}");
    }
}

/// It is found by a question of the host's own or two, and nothing was saved up.
fn assert_comes_back_without_a_burst(it: &mut GitlabEnv, outage: Outage) {
    let (asked, probes) = (it.gitlab.all_questions(), it.gitlab.questions("probe"));
    it.gitlab.recover();
    it.env.wait_for("the probe to be answered", || it.env.status()["primary"]["breaker"] == "closed");
    let probed = it.gitlab.questions("probe") - probes;
    assert!(
        it.gitlab.all_questions() == asked && probed <= 2,
        "{outage:?}: {} questions, {probed} probes",
        it.gitlab.all_questions() - asked
    );
    it.env.wait_for("the log to say that it is back", || it.env.logs().contains("primary answers again after"));
    assert_eq!(it.ask(lookup_request(&key_blob(3))).header("x-sidegate-answer"), Some("forwarded"), "{outage:?}");
}

fn assert_row(it: &mut GitlabEnv, outage: Outage) {
    let row = row(outage);
    assert!(ask(it, 1).iter().all(|answer| answer.status == 200), "{outage:?}");
    it.gitlab.fail(outage);
    let answers = [ask(it, 1), ask(it, 2)].concat();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, row.statuses, "{outage:?}\n{}", it.env.logs());
    assert!(TROUBLESHOOTING.lines().any(|line| line.starts_with("| ") && line.contains(row.documented)), "{outage:?} is not in the table");
    let Some(reason) = row.reason else {
        assert!(it.env.status()["primary"]["failing_since"].is_null(), "{outage:?} is a decision");
        return;
    };
    let is_documented = |line: &str| line.contains(row.documented) && line.contains(reason);
    assert!(TROUBLESHOOTING.lines().any(is_documented), "{outage:?}: the table does not say `{reason}`");
    assert_is_seen(it, outage, reason);
    assert_comes_back_without_a_burst(it, outage);
}

#[test]
fn each_outage_is_answered_shown_logged_and_counted_as_its_row_says_and_ends_without_a_burst() {
    for outage in PLAIN_OUTAGES {
        assert_row(&mut started(Reach::Http), outage);
    }
    assert_row(&mut started(Reach::Tls), Outage::ExpiredCertificate);
}
