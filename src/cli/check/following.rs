//! What the sidecar that runs here says of itself: which alarms stand, and whether it follows. What has the feed may take our token, and the
//! host not follow all the same, as after the primary was restored from an old copy.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::check::findings::Findings;
use crate::cli::status::fetch;
use crate::cli::status::sidecar_findings::standing_findings;
use crate::cli::status::view::SidecarView;

/// Asks the daemon behind a socket for its status. `None` where it did not answer before (`answered`), or where this user may not ask it.
#[must_use]
pub fn read(socket: &Path, answered: Option<u16>) -> Option<SidecarView> {
    answered?;
    parse(&fetch::try_fetch(socket).ok()?)
}

/// Reads a sidecar's status; `None` of another daemon, or of another version whose status is not understood.
fn parse(status: &Value) -> Option<SidecarView> {
    if status["daemon"] != "sidecar" {
        return None;
    }
    SidecarView::deserialize(status).ok()
}

/// Turns each alarm, and a feed that is lost, into a warning with its remedy.
pub fn judge(view: &SidecarView, found: &mut Findings) {
    let standing = standing_findings(view);
    if standing.is_empty() {
        return found.ok(if view.feed.is_some() { "daemon: it follows, and no alarm stands" } else { "daemon: no alarm stands" });
    }
    for finding in standing {
        let remedy = finding.remedy.unwrap_or_else(|| "see `sidegate status`".to_owned());
        found.warn(format!("daemon: {}", finding.text), remedy);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{judge, parse};
    use crate::cli::check::findings::{Finding, Findings, Level};

    fn judged(status: &Value) -> Vec<Finding> {
        let mut found = Findings::default();
        judge(&parse(status).unwrap(), &mut found);
        found.as_slice().to_vec()
    }

    #[test]
    fn each_alarm_and_a_lost_feed_are_a_warning_with_its_remedy() {
        let mut status = json!({"daemon": "sidecar", "now": "2026-01-31T12:10:00.000Z", "alarms": [], "kept": null,
            "feed": {"url": "https://primary", "of": "primary"}, "follower": {"connected_since": "2026-01-31T12:00:00.000Z"}});
        assert_eq!(judged(&status).iter().map(|one| one.level).collect::<Vec<_>>(), [Level::Ok]);
        status["alarms"] = json!([
            {"kind": "primary_went_back", "since": "2026-01-31T12:08:00.000Z", "message": "it went back", "remedy": "run `sidegate admin new-epoch` there"},
            {"kind": "socket_lost", "since": null, "message": "a socket", "remedy": "restart it"}
        ]);
        status["follower"] = json!({"connected_since": null, "lost_since": "2026-01-31T12:08:00.000Z", "last_error": {"message": "why"}});
        let found = judged(&status);
        assert!(found.len() == 3 && found.iter().all(|one| one.level == Level::Warning && one.remedy.is_some()), "{found:?}");
        assert!(found[0].what.starts_with("daemon: ALARM primary_went_back since 2026-01-31 12:08:00 UTC"), "{found:?}");
        assert_eq!(found[0].remedy.as_deref(), Some("run `sidegate admin new-epoch` there"));
        assert!(found[2].what.contains("the feed of the primary is not connected since 2026-01-31 12:08:00 UTC"), "{found:?}");
        status["feed"] = Value::Null;
        assert_eq!(judged(&status).len(), 2, "where none is followed none is lost");
    }

    #[test]
    fn another_daemon_at_the_socket_is_not_judged_as_a_sidecar() {
        assert!(parse(&json!({"daemon": "primary"})).is_none() && parse(&Value::Null).is_none());
    }
}
