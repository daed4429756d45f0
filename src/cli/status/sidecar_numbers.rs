//! The numbers of a sidecar's status, with their units, each beside what it is a number of.

use crate::cli::status::kept::kept_lines;
use crate::cli::status::view::{AddressView, ClassView, FeedView, FollowerView, PrimaryContact, SidecarView, SocketsView};
use crate::cli::units::{bytes_text, count_text, duration_text, interval_text, since_text, time_text};
use crate::model::time::Time;

/// Returns the lines.
#[must_use]
pub fn numbers(view: &SidecarView) -> Vec<String> {
    let classes = [("keys", &view.freshness.keys), ("reads", &view.freshness.reads), ("push_precheck", &view.freshness.push_precheck)];
    let mut lines: Vec<String> = classes.iter().map(|(name, class)| class_line(name, class, view)).collect();
    lines.extend(view.feed.as_ref().map(|feed| feed_line(feed, view)));
    lines.extend(view.feed.as_ref().filter(|feed| feed.of == "mirror").map(misses_line));
    lines.extend(view.feed.as_ref().and_then(|_| store_line(view)));
    lines.push(primary_line(view));
    if view.primary.addresses.len() > 1 {
        lines.extend(view.primary.addresses.iter().map(|address| format!("  {}", address_text(address))));
    }
    lines.extend(kept_lines(&view.kept));
    lines.push(sockets_line(&view.sockets));
    let memory = view.memory_bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    let (version, host) = (&view.version, &view.host);
    let up = view.since.map_or_else(String::new, |since| format!(", up since {}", since_text(since, view.now())));
    lines.push(format!("sidegate {version} on {host}{up}; {memory} of memory"));
    lines
}

/// Returns how old a class is, and for how long it is answered without asking, from a slow primary, and from one that fails.
fn class_line(name: &str, class: &ClassView, view: &SidecarView) -> String {
    let is_by_answer = matches!(class.state.as_str(), "kept" | "shadow");
    let age = match class.age_seconds {
        Some(age) => format!("{}, {} old", class.state, interval_text(age)),
        None if is_by_answer => format!("{}, each answer by its own age", class.state),
        None => format!("{}, never proven current", class.state),
    };
    let given = if class.state == "shadow" { "after a switch given" } else { "given" };
    let [ttl, hedged, most] = [class.ttl_seconds, class.hedged_seconds, class.max_stale_seconds].map(duration_text);
    let hold = match class.hold_seconds {
        Some(hold @ 1..) => {
            format!(", and for {} after its no while it does not know most keys, but never above {most} old", duration_text(hold))
        }
        _ => String::new(),
    };
    let (slow, asked) = (view.primary.hedge_milliseconds, view.primary_name());
    format!(
        "{name}: {age}; {given} without asking up to {ttl}, while {asked} is slower than {slow} ms up to {hedged}, while it fails up to {most}{hold}"
    )
}

/// Returns whose feed is followed, and how far.
fn feed_line(feed: &FeedView, view: &SidecarView) -> String {
    let follower = &view.follower;
    let connection = match follower.connected_since {
        Some(since) => format!("connected since {}", time_text(since)),
        None => "not connected".to_owned(),
    };
    let position =
        follower.cursor.as_ref().map_or_else(|| "no commit is here yet".to_owned(), |cursor| format!("at commit {}", cursor.seq));
    let compared = compared_text(follower);
    let covers = match (feed.of.as_str(), &feed.covers) {
        ("mirror", Some(covers)) if !covers.is_empty() => format!(" ({})", covers.join(", ")),
        ("mirror", _) => " (nothing yet)".to_owned(),
        _ => String::new(),
    };
    format!("feed: {}{covers}: {connection}; {position}{compared}", feed.url)
}

/// Returns what the primary has, and whether it is the same: of a feed that is lost, as it was before, since it may have gone back meanwhile.
fn compared_text(follower: &FollowerView) -> String {
    let digest = follower.digest_equal.map(|equal| if equal { "digest equal" } else { "digest NOT equal" });
    let of = follower.primary.as_ref().filter(|_| follower.cursor.is_some()).map(|primary| format!("of {}", primary.seq));
    let parts: Vec<String> = of.into_iter().chain(digest.map(str::to_owned)).collect();
    match (parts.is_empty(), follower.connected_since) {
        (true, _) => String::new(),
        (false, Some(_)) if follower.cursor.is_some() => format!(" {}", parts.join(", ")),
        (false, Some(_)) => format!(", {}", parts.join(", ")),
        (false, None) => format!(" (when last connected: {})", parts.join(", ")),
    }
}

/// Returns what was asked of the GitLab that the followed mirror does not have.
fn misses_line(feed: &FeedView) -> String {
    format!(
        "  {} unknown keys and users asked of the GitLab, {} refused as more than {} a second; {} kept answers not given, because it refuses who asks",
        feed.misses_asked, feed.misses_refused, feed.misses_per_second, feed.kept_answers_not_given
    )
}

/// Returns what the store has; `None` where there is none yet.
fn store_line(view: &SidecarView) -> Option<String> {
    let follower = &view.follower;
    follower.cursor.as_ref()?;
    let shown = ["user", "key", "project"].map(|kind| count_text(follower.counts.get(kind).copied().unwrap_or(0), kind));
    let all: u64 = follower.counts.values().sum();
    let flushed = follower.flushed.as_ref().map_or_else(String::new, |head| format!(", on disk up to commit {}", head.seq));
    let instance = follower.instance.as_ref().map_or_else(String::new, |instance| format!("; instance {instance}"));
    Some(format!("store: {} ({}), {}{flushed}{instance}", count_text(all, "record"), shown.join(", "), bytes_text(follower.store_bytes)))
}

/// Returns whether the primary answers, dated: nobody may have asked it for long.
fn primary_line(view: &SidecarView) -> String {
    let primary = &view.primary;
    let name = if view.primary_name() == "GitLab" { "GitLab" } else { "primary" };
    let last = match primary.last_answer_seconds {
        Some(ago) => format!("its last answer came {} ago", interval_text(ago)),
        None => "it has answered no question since the start".to_owned(),
    };
    let state = match primary.state {
        PrimaryContact::Answers => format!("answers, {last}"),
        PrimaryContact::Slow => format!("answers slowly, {last}"),
        PrimaryContact::NotAsked => "has not been asked since the start".to_owned(),
        PrimaryContact::Silent => format!("does not answer, {last}"),
        PrimaryContact::Fails => format!("gives no usable answer, {last}"),
        PrimaryContact::Refuses => format!("refuses this host, {last}"),
    };
    let slow = match (primary.answers_hedged, primary.late_denials, primary.denials_kept) {
        (0, 0, 0) => String::new(),
        (hedged, late, kept) => format!("; {hedged} answers given while it was slow, {late} denials came after, {kept} kept"),
    };
    format!("{name}: {state}; {} questions under way, {} waiting{slow}", primary.questions_under_way, primary.questions_waiting)
}

/// Returns how one address of the primary is.
fn address_text(address: &AddressView) -> String {
    let since = address.since.map_or_else(|| "an unknown time".to_owned(), time_text);
    match address.state.as_str() {
        "fails" => {
            format!("{}: has not answered since {since}: {}", address.url, address.failure.as_deref().unwrap_or("no reason is known"))
        }
        "answers" => {
            format!("{}: answers since {since}; {} answers, {} failures", address.url, address.answers, address.failures)
        }
        _ => format!("{}: has not been asked since the start", address.url),
    }
}

/// Returns how many connections are open, what was refused before it was routed, and the last of it with its peer.
#[must_use]
pub fn sockets_line(sockets: &SocketsView) -> String {
    let open = count_text(sockets.connections_open, "connection");
    if sockets.refused.is_empty() {
        return format!("sockets: {open} open, nothing refused");
    }
    let counts: Vec<String> = sockets.refused.iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " "))).collect();
    let last = sockets.last_refused.as_ref().map_or_else(String::new, |last| {
        format!("; the last from {} at {}", last.peer, last.at.map_or_else(|| "an unknown time".to_owned(), |at: Time| time_text(at)))
    });
    format!("sockets: {open} open, refused before they were routed: {}{last}", counts.join(", "))
}
