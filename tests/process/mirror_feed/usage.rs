//! The mirror hears which keys are used.

use crate::mirror_feed::{FRESH, Site};
use crate::support::link::{Delivery, Traffic};

const REPORTS: &str = "sidegate/usage";

#[test]
fn the_first_use_of_a_key_is_reported_and_no_other_of_that_key() {
    let site = Site::start(3, FRESH);
    for _ in 0..20 {
        assert_eq!(site.look_up(1).status, 200);
    }
    site.env.wait_for("the report of key 1", || site.link().count_requests(REPORTS) == 1);
    site.env.wait_for("it to be taken", || site.env.status()["usage"]["reported"] == 1);
    assert_eq!(site.look_up(1).status, 200);
    assert_eq!(site.pull(2).status, 200);
    site.env.wait_for("the report of key 2", || site.env.status()["usage"]["reported"] == 2);
    assert_eq!(site.link().count_requests(REPORTS), 2, "key 1 was reported already");
    assert_eq!(site.feed_status()["uses_reported_every"], "day", "as a mirror wants it that says no more than 204");
}

#[test]
fn a_report_that_did_not_arrive_is_sent_again() {
    let site = Site::start(3, FRESH);
    site.link().deliver(Traffic::Feed, Delivery::Cut);
    assert_eq!(site.look_up(1).status, 200);
    site.env.wait_for("a report to be tried", || site.link().count_requests(REPORTS) >= 1);
    site.link().deliver(Traffic::Feed, Delivery::Prompt);
    site.env.wait_for("the report", || site.env.status()["usage"]["reported"] == 1);
}
