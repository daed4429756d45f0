//! Properties of the screen for any status that the daemons can send, and for much that they cannot.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::examples::well;
use crate::cli::status::daemon_screen::screen_of;
use crate::cli::status::screen::{Colour, Level, MOST_LINES};

const TIMES: [&str; 3] = ["2026-01-31T11:00:00.000Z", "2026-01-31T12:07:00.000Z", "2026-01-31T12:10:00.000Z"];

fn time() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), proptest::sample::select(&TIMES[..]).prop_map(Value::from)]
}

fn text() -> impl Strategy<Value = String> {
    ".{0,60}"
}

fn class() -> impl Strategy<Value = Value> {
    let verdict = proptest::sample::select(&["fresh", "stale", "expired"][..]);
    let state = proptest::sample::select(&["fresh", "stale", "expired", "kept", "shadow"][..]);
    (verdict, state, time(), proptest::option::of(0.0..1e9_f64), any::<u32>(), proptest::option::of(any::<u32>())).prop_map(
        |(verdict, state, since, age, seconds, hold)| {
            json!({"state": state, "verdict": verdict, "verdict_since": if verdict == "fresh" { Value::Null } else { since }, "age_seconds": age,
                "ttl_seconds": seconds / 10, "hedged_seconds": seconds, "max_stale_seconds": seconds, "hold_seconds": hold,
                "expires_in_seconds": age.map(|_| seconds)})
        },
    )
}

fn alarms() -> impl Strategy<Value = Value> {
    let alarm = ("[a-z_]{1,20}", time(), text(), text())
        .prop_map(|(kind, since, message, remedy)| json!({"kind": kind, "since": since, "message": message, "remedy": remedy}));
    proptest::collection::vec(alarm, 0..30).prop_map(Value::from)
}

fn primary() -> impl Strategy<Value = Value> {
    let address = (text(), proptest::sample::select(&["answers", "fails", "not asked yet"][..]), time())
        .prop_map(|(url, state, since)| json!({"url": url, "state": state, "since": since, "failure": null, "answers": 1, "failures": 2}));
    let addresses = proptest::collection::vec(address, 0..20);
    (proptest::sample::select(&["answers", "slow", "not_asked", "silent", "refuses", "fails"][..]), time(), time(), addresses, any::<u32>()).prop_map(|(state, since, hedged, addresses, count)| {
        let fails = matches!(state, "silent" | "refuses" | "fails");
        json!({"url": "https://primary", "state": state, "last_answer_seconds": null, "failing_since": if fails { since } else { Value::Null },
            "failure": if fails { json!("reason") } else { Value::Null }, "addresses": addresses, "questions_under_way": count,
            "questions_waiting": count, "answers_hedged": count, "last_hedged": hedged, "late_denials": count, "denials_kept": count,
            "hedge_milliseconds": count})
    })
}

fn follower() -> impl Strategy<Value = Value> {
    let seq = || proptest::option::of(any::<u32>()).prop_map(|seq| json!(seq.map(|seq| json!({"seq": seq}))));
    (time(), time(), seq(), seq(), proptest::option::of(text()), any::<[bool; 2]>(), any::<u32>()).prop_map(
        |(connected, lost, cursor, primary, resyncing, [whole, equal], count)| {
            let lost = if connected.is_null() { lost } else { Value::Null };
            json!({"connected_since": connected, "lost_since": lost, "cursor": cursor, "primary": primary, "flushed": cursor, "whole": whole,
                "digest_equal": equal, "proof": "wall_clocks", "max_stale_seconds": count, "confirmed_max_stale_seconds": count / 2,
                "counts": {"key": count}, "foreign": count, "invalid_records": count, "store_bytes": count, "resyncing": resyncing,
                "resyncing_since": null, "last_error": {"message": "an error\nin two lines"}})
        },
    )
}

fn kept() -> impl Strategy<Value = Value> {
    let questions = || proptest::collection::btree_map("[a-z_]{1,12}", Just(json!({"answers": 1, "stale": 0, "hit_rate": 0.5})), 0..9);
    (any::<[bool; 2]>(), questions(), questions(), any::<u32>()).prop_map(|([keeps, shadows], questions, shadow, count)| {
        let shadow = if shadows { json!(shadow) } else { Value::Null };
        let kept = json!({"answers": count, "most_answers": count, "bytes": count, "most_bytes": count, "questions": questions,
            "evictions": {"room": count}, "mass_negative": {"ends_in_seconds": null}, "store": {"state": "open", "pending": 0}, "shadow": shadow});
        if keeps { kept } else { Value::Null }
    })
}

fn feed() -> impl Strategy<Value = Value> {
    proptest::option::of(proptest::sample::select(&["primary", "mirror"][..]))
        .prop_map(|of| of.map_or(Value::Null, |of| json!({"url": "https://feed", "of": of, "covers": null})))
}

fn sidecar() -> impl Strategy<Value = Value> {
    let classes = [class(), class(), class()];
    (classes, alarms(), primary(), follower(), kept(), feed()).prop_map(|([keys, reads, push], alarms, primary, follower, kept, feed)| {
        let mut status = well();
        status["freshness"] = json!({"keys": keys, "reads": reads, "push_precheck": push});
        // A host that keeps nothing follows.
        status["feed"] = if kept.is_null() && feed.is_null() { json!({"url": "https://feed", "of": "primary"}) } else { feed };
        (status["alarms"], status["primary"], status["follower"], status["kept"]) = (alarms, primary, follower, kept);
        status
    })
}

proptest! {
    #[test]
    fn the_first_line_of_a_host_holds_its_four_words_and_the_screen_fits(status in sidecar()) {
        let screen = screen_of(&status).unwrap();
        let lines = screen.lines(Colour::Off);
        prop_assert!(lines.len() <= MOST_LINES);
        let first = &lines[0];
        prop_assert!(first.starts_with("serving: "), "{first}");
        prop_assert!(["fresh", "stale since ", "expired"].iter().any(|word| first.contains(word)), "{first}");
        let follows = status["feed"].is_object();
        let is_connected = !status["follower"]["connected_since"].is_null();
        prop_assert_eq!(first.contains(", following, ") || first.contains(", following"), follows && is_connected, "{}", first);
        prop_assert_eq!(first.contains("not following since "), follows && !is_connected, "{}", first);
        prop_assert!(follows || ["asking GitLab", "GitLab has not answered", "GitLab refuses", "GitLab has given no usable answer"].iter().any(|word| first.contains(word)), "{first}");
        let alarms = status["alarms"].as_array().unwrap().len();
        prop_assert!(first.ends_with(&format!(", {alarms} alarms")), "{first}");
    }

    #[test]
    fn the_exit_code_is_as_bad_as_the_worst_that_the_first_line_says(status in sidecar()) {
        let screen = screen_of(&status).unwrap();
        let first = &screen.lines(Colour::Off)[0];
        prop_assert_eq!(screen.level == Level::Away, first.contains("expired"), "{}", first);
        if screen.level == Level::Well {
            prop_assert!(first.ends_with(", 0 alarms") && !first.contains("since"), "{first}");
        }
    }

    #[test]
    fn every_alarm_that_is_shown_has_its_remedy_below_it(alarms in alarms()) {
        let mut status = well();
        status["alarms"] = alarms.clone();
        let lines = screen_of(&status).unwrap().lines(Colour::Off);
        let shown: Vec<usize> = (0..lines.len()).filter(|number| lines[*number].starts_with("ALARM ")).collect();
        for (number, alarm) in shown.iter().zip(alarms.as_array().unwrap()) {
            let has_remedy = !alarm["remedy"].as_str().unwrap().is_empty();
            prop_assert_eq!(lines[number + 1].starts_with("  to do: "), has_remedy);
        }
    }

    #[test]
    fn a_primary_s_screen_fits_whatever_it_says(alarms in alarms(), away in 0..50_u64, hosts in 0..2000_u64) {
        let named: Vec<Value> = (0..away.min(8)).map(|host| json!({"host": format!("ssh-{host}"), "may_answer_seconds": host})).collect();
        for daemon in ["primary", "mirror"] {
            let status = json!({"daemon": daemon, "alarms": alarms, "hosts": hosts, "hosts_away": away, "away": named, "serves_feed": true});
            let screen = screen_of(&status).unwrap();
            let lines = screen.lines(Colour::Off);
            prop_assert!(lines.len() <= MOST_LINES);
            let count = format!(", {} alarms", alarms.as_array().unwrap().len());
            prop_assert!(lines[0].starts_with("serving: ") && lines[0].ends_with(&count));
            prop_assert_eq!(screen.level == Level::Well, away == 0 && alarms.as_array().unwrap().is_empty());
        }
    }
}
