//! The same day at a GitLab with 1, 10 and 200 hosts behind its mirror: GitLab gets the same requests.

use std::collections::BTreeMap;

use crate::mirror::{MirrorEnv, WALKS_ONCE};
use crate::mirror_load::light_host::LightHost;
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::http::Request;

const USERS: u64 = 200;
const KEYS: u64 = 300;
/// The keys from the first one on that people use at every host.
const USED_KEYS: u64 = 50;
/// The keys that are destroyed, none of them in use.
const DESTROYED: std::ops::RangeInclusive<u64> = 101..=120;
const ADDED: std::ops::RangeInclusive<u64> = 1001..=1020;
const RENAMED: std::ops::RangeInclusive<u64> = 11..=20;

/// What GitLab was asked, and what the mirror was told.
struct Counted {
    hosts: usize,
    /// By endpoint, without the question with which the mirror looks now and then whether GitLab is there.
    requests: BTreeMap<&'static str, usize>,
    reports: usize,
    followers: u64,
}

impl Counted {
    fn total(&self) -> usize {
        self.requests.values().sum()
    }
}

/// A first walk, all hosts report what was used, keys and users change, a second walk, and all hosts have all changes.
fn day_with(count: usize) -> Counted {
    let mirror = MirrorEnv::start(generated::instance(1, USERS, KEYS), WALKS_ONCE);
    let hosts: Vec<LightHost> = (1..=count).map(|number| LightHost::start(&mirror, number)).collect();
    mirror.wait_for("all hosts to follow", || mirror.status()["followers"].as_u64() == Some(count as u64));
    let followers = mirror.status()["followers"].as_u64().unwrap();
    hosts.iter().for_each(|host| host.report_uses(1..=USED_KEYS));
    let verified = || mirror.status()["verification"].clone();
    mirror.wait_for("all used keys to be verified", || verified()["asked"].as_u64() >= Some(USED_KEYS) && verified()["waiting"] == 0);
    DESTROYED.for_each(|key| mirror.gitlab.delete_key(key));
    for line in ADDED {
        mirror.gitlab.add_key(line - 1000, &key_line(line));
    }
    RENAMED.for_each(|user| mirror.gitlab.rename_user(user, &format!("renamed-{user}")));
    mirror.gitlab.hooks().flush();
    mirror.wait_for("all hooks to be settled", || mirror.status()["hooks"]["waiting"] == 0 && mirror.published() == mirror.expected());
    assert_eq!(Request::post("/-/admin/accept-loss", &serde_json::json!({})).send(&mirror.socket()).status, 200);
    mirror.wait_for("the second full walk", || mirror.full_walks() == 2);
    let seq = mirror.seq();
    mirror.wait_for("all hosts to have all changes", || hosts.iter().all(|host| host.acknowledged() >= seq));
    let mut requests = BTreeMap::new();
    for arrival in mirror.gitlab.take_arrivals().iter().filter(|arrival| !["probe", "check"].contains(&arrival.endpoint)) {
        *requests.entry(arrival.endpoint).or_default() += 1;
    }
    Counted { hosts: count, requests, reports: count * usize::try_from(USED_KEYS).unwrap(), followers }
}

#[test]
fn gitlab_is_asked_the_same_for_1_for_10_and_for_200_hosts() {
    let counted = [1, 10, 200].map(day_with);
    eprintln!("| hosts | follow | uses reported | requests to GitLab | by endpoint |");
    eprintln!("| --- | --- | --- | --- | --- |");
    for day in &counted {
        eprintln!("| {} | {} | {} | {} | {:?} |", day.hosts, day.followers, day.reports, day.total(), day.requests);
    }
    let [one, ten, many] = counted.map(|day| day.total());
    // Two questions about one user may or may not become one.
    let most = one + one / 50;
    assert!(ten <= most && many <= most, "{one} requests with one host, {ten} with 10, {many} with 200");
}
