//! `sidegate status`, `verify`, `invalidate`, `resync`: the commands of a host's operator about its sidecar.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{InvalidateArgs, SidecarArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::kept_status::{mass_negative_alarm, print_kept};
use crate::cli::mirror_status::print_mirror;
use crate::cli::output::{field_text, print_line};

/// How long computing the digest of a large store may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// Prints the status of the sidecar, or of a mirror.
pub fn run(sidecar: &SidecarArgs) -> CommandResult {
    let status = AdminClient::new(&sidecar.socket)?.get("/-/admin/status", REQUEST_TIMEOUT)?;
    if sidecar.json {
        print_line(&status.to_string());
    } else if status["daemon"] == "mirror" {
        print_mirror(&status);
    } else {
        print_status(&status);
    }
    Ok(Completion::Complete)
}

/// Compares the store with the primary.
pub fn verify(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/verify", &json!({}), VERIFY_TIMEOUT)
}

/// Removes cached answers of the primary; in front of a GitLab from disk too.
pub fn invalidate(arguments: &InvalidateArgs) -> CommandResult {
    post_and_print(&arguments.sidecar, "/-/admin/invalidate", &invalidation(arguments)?, REQUEST_TIMEOUT)
}

fn invalidation(arguments: &InvalidateArgs) -> Result<Value, CommandError> {
    match (arguments.what.as_str(), arguments.which.as_deref()) {
        ("all", Some(which)) => Err(CommandError(format!("`all` takes no name; did you mean `invalidate user {which}`?"))),
        (what, Some(which)) => Ok(json!({"what": what, "which": which})),
        (what, None) => Ok(json!({"what": what})),
    }
}

/// Makes the sidecar load a whole snapshot again.
pub fn resync(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/resync", &json!({}), REQUEST_TIMEOUT)
}

fn post_and_print(sidecar: &SidecarArgs, target: &str, body: &Value, timeout: Duration) -> CommandResult {
    let response = AdminClient::new(&sidecar.socket)?.post_json(target, body, timeout)?;
    match response["message"].as_str().filter(|_| !sidecar.json) {
        Some(message) => print_line(message),
        None => print_line(&response.to_string()),
    }
    Ok(Completion::Complete)
}

/// What this host answers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerSource {
    /// The directory of the primary that it follows.
    Directory,
    /// What it keeps of a GitLab's answers.
    KeptAnswers,
}

fn print_status(status: &Value) {
    let source = if status["kept"].is_object() { AnswerSource::KeptAnswers } else { AnswerSource::Directory };
    print_line(&format!(
        "sidegate {} on {}, up since {}",
        field_text(&status["version"]),
        field_text(&status["host"]),
        field_text(&status["since"])
    ));
    for class in ["keys", "reads", "push_precheck"] {
        print_line(&freshness_text(class, &status["freshness"][class], &status["primary"]["hedge_milliseconds"]));
    }
    for lost in status["sockets"]["lost"].as_array().into_iter().flatten() {
        print_line(&format!("ALARM since {}: {}", field_text(&lost["since"]), field_text(&lost["message"])));
    }
    if let Some(refused) = refused_text(&status["sockets"]) {
        print_line(&refused);
    }
    if let Some(alarm) = mass_negative_alarm(&status["kept"]) {
        print_line(&alarm);
    }
    print_primary(&status["primary"], source);
    if source == AnswerSource::KeptAnswers {
        print_kept(&status["kept"]);
    }
    let feed = feed_text(&status["feed"]);
    if let Some(feed) = &feed {
        print_line(feed);
    }
    if source == AnswerSource::Directory || feed.is_some() {
        print_follower(&status["follower"]);
    }
    let bytes = status["memory_bytes"].as_u64().unwrap_or(0);
    print_line(&format!("memory: {} MiB", bytes >> 20));
}

/// Returns whose feed of users and keys is followed in front of a GitLab, and how often that was asked about others; `None` where none is.
fn feed_text(feed: &Value) -> Option<String> {
    if feed["of"] != "mirror" {
        return None;
    }
    let covers: Vec<&str> = feed["covers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let covers = if covers.is_empty() { "nothing yet".to_owned() } else { covers.join(", ") };
    Some(format!(
        "feed: {} ({covers}); {} unknown keys and users asked of the GitLab, {} refused as more than {} a second; {} kept answers not given, because it refuses who asks",
        field_text(&feed["url"]),
        feed["misses_asked"],
        feed["misses_refused"],
        feed["misses_per_second"],
        feed["kept_answers_not_given"],
    ))
}

fn print_follower(follower: &Value) {
    if let Some(warning) = proof_warning(&follower["proof"]) {
        print_line(warning);
    }
    if let Some(warning) = bound_warning(follower) {
        print_line(&warning);
    }
    if let Some(warning) = unstored_warning(&follower["unstored"]) {
        print_line(&warning);
    }
    print_line("follower:");
    print_fields(follower, "  ");
}

/// Returns what was refused before it was routed, and the last of it with its peer; `None` if nothing was.
fn refused_text(sockets: &Value) -> Option<String> {
    let refused = sockets["refused"].as_object().filter(|refused| !refused.is_empty())?;
    let counts: Vec<String> = refused.iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " "))).collect();
    let last = &sockets["last_refused"];
    let (peer, at) = (field_text(&last["peer"]), field_text(&last["at"]));
    Some(format!("refused before they were routed: {}; the last from {peer} at {at}", counts.join(", ")))
}

/// Returns what to know of a proof that was not dated by an exchange: it makes nothing fresh.
fn proof_warning(proof: &Value) -> Option<&'static str> {
    match proof.as_str()? {
        "arrival" => Some(
            "the primary is of an older version, whose feed carries no clock: how old its data is cannot be proven, so every question is asked first; update the primary",
        ),
        "wall_clocks" => Some("the primary's clock has not been compared with this host's yet: until then every question is asked first"),
        _ => None,
    }
}

/// Returns what to know of a bound that the primary has not confirmed.
fn bound_warning(follower: &Value) -> Option<String> {
    let seconds = |name: &str| follower[name].as_u64();
    let (configured, confirmed) = (seconds("max_stale_seconds")?, seconds("confirmed_max_stale_seconds")?);
    (confirmed < configured).then(|| {
        format!(
            "the primary has not confirmed the largest max_stale of {configured} s yet: until it does, nothing older than {confirmed} s is answered"
        )
    })
}

/// Returns what to know of changes that the store could not take.
fn unstored_warning(unstored: &Value) -> Option<String> {
    let (since, changes) = (unstored["since"].as_str()?, unstored["changes"].as_u64()?);
    let then = match (unstored["complete"].as_bool(), unstored["survives_restart"].as_bool()) {
        (Some(true), Some(true)) => "they bind here, also after a restart",
        (Some(true), _) => "they bind here; after a restart nothing is answered without the primary",
        _ => "some are not known: nothing is answered without the primary",
    };
    Some(format!("store: since {since} {changes} changes that take access away are not in the store: {then}; make room on its disk"))
}

fn freshness_text(name: &str, class: &Value, hedge: &Value) -> String {
    let (never, given) = match class["state"].as_str() {
        Some("kept") => ("each answer by its own age", "answered"),
        Some("shadow") => ("each answer by its own age", "after a switch answered"),
        _ => ("never proven current", "answered"),
    };
    let age = class["age_seconds"].as_f64().map_or_else(|| never.to_owned(), |age| format!("{age:.1} s old"));
    let left = class["expires_in_seconds"].as_u64().map_or_else(String::new, |seconds| format!(" ({seconds} s left)"));
    format!(
        "{name}: {}, {age}; {given} without asking up to {} s, while the primary is slower than {hedge} ms up to {} s, while the primary fails up to {} s{left}{}",
        field_text(&class["state"]),
        class["ttl_seconds"],
        class["hedged_seconds"],
        class["max_stale_seconds"],
        hold_text(class),
    )
}

/// Returns by how much a GitLab that does not know most keys makes a bound longer.
fn hold_text(class: &Value) -> String {
    match class["hold_seconds"].as_u64() {
        Some(seconds) if seconds > 0 => format!(
            ", and for {seconds} s after its no while it does not know most keys, but never above {} s old",
            class["max_stale_seconds"]
        ),
        _ => String::new(),
    }
}

fn print_primary(primary: &Value, source: AnswerSource) {
    print_line(&primary_text(primary, source));
    let addresses = primary["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    if addresses.len() > 1 {
        addresses.iter().for_each(|address| print_line(&format!("  {}", address_text(address))));
    }
    let late = format!(
        "primary: {} answers given while it was slow, {} denials that came after",
        primary["answers_hedged"], primary["late_denials"]
    );
    match source {
        AnswerSource::Directory => {
            print_line(&format!("{late}; {} denials kept until the feed has caught up", primary["denials_kept"]));
        }
        AnswerSource::KeptAnswers => print_line(&late),
    }
}

/// Returns whether the primary answers. In front of a GitLab only what was asked shows that; a feed speaks by itself.
fn primary_text(primary: &Value, source: AnswerSource) -> String {
    if let Some(since) = primary["failing_since"].as_str() {
        return format!("primary: has not answered since {since} ({}); asked again every second", field_text(&primary["failure"]));
    }
    let mut addresses = primary["addresses"].as_array().into_iter().flatten();
    let was_asked = source == AnswerSource::Directory || addresses.any(|address| address["state"] != "not asked yet");
    let state = if was_asked { "answers" } else { "not asked yet" };
    format!("primary: {state}; {} questions under way, {} waiting", primary["questions_under_way"], primary["questions_waiting"])
}

/// Returns how one address of the primary is.
fn address_text(address: &Value) -> String {
    let (url, since) = (field_text(&address["url"]), field_text(&address["since"]));
    match address["state"].as_str() {
        Some("fails") => format!("{url}: has not answered since {since} ({})", field_text(&address["failure"])),
        Some("answers") => {
            format!("{url}: answers since {since}; {} answers, {} failures", address["answers"], address["failures"])
        }
        _ => format!("{url}: not asked yet"),
    }
}

fn print_fields(value: &Value, indent: &str) {
    let Some(fields) = value.as_object() else { return print_line(&format!("{indent}{}", field_text(value))) };
    for (name, field) in fields {
        match field {
            Value::Object(inner) if !inner.is_empty() => {
                print_line(&format!("{indent}{name}:"));
                print_fields(field, &format!("{indent}  "));
            }
            other => print_line(&format!("{indent}{name}: {}", field_text(other))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::{AnswerSource, bound_warning, freshness_text, hold_text, invalidation, primary_text, proof_warning, unstored_warning};
    use crate::cli::arguments::{Arguments, Command};

    fn body(words: &[&str]) -> Result<Value, String> {
        let arguments = Arguments::try_parse_from(["sidegate", "invalidate"].iter().chain(words)).map_err(|error| error.to_string())?;
        let Command::Invalidate(arguments) = arguments.command else { panic!("{words:?}") };
        invalidation(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_proof_by_an_exchange_needs_no_word() {
        assert!(proof_warning(&json!("arrival")).unwrap().contains("update the primary"));
        assert!(proof_warning(&json!("wall_clocks")).is_some());
        assert_eq!((proof_warning(&json!("exchange")), proof_warning(&Value::Null)), (None, None));
    }

    #[test]
    fn a_bound_that_is_not_confirmed_is_said() {
        let follower = |confirmed: u64| json!({"max_stale_seconds": 60, "confirmed_max_stale_seconds": confirmed});
        assert!(bound_warning(&follower(5)).unwrap().contains("nothing older than 5 s"));
        assert_eq!((bound_warning(&follower(60)), bound_warning(&json!({}))), (None, None));
    }

    #[test]
    fn changes_that_are_not_in_the_store_are_reported_with_what_to_do() {
        let unstored = |complete: bool, survives: bool| {
            unstored_warning(
                &json!({"since": "2026-01-31T12:00:00.000Z", "changes": 3, "complete": complete, "survives_restart": survives}),
            )
        };
        assert_eq!(unstored_warning(&Value::Null), None);
        for (complete, survives, said) in
            [(true, true, "also after a restart"), (true, false, "after a restart nothing"), (false, true, "some are not known")]
        {
            let warning = unstored(complete, survives).unwrap();
            assert!(warning.contains(said) && warning.contains("since 2026") && warning.contains("make room"), "{warning}");
        }
    }

    #[test]
    fn the_bound_says_the_hold_where_there_is_one_and_its_end() {
        let text = hold_text(&json!({"hold_seconds": 600, "max_stale_seconds": 86400}));
        assert!(text.contains("600 s after its no") && text.ends_with(", but never above 86400 s old"), "{text}");
        assert_eq!((hold_text(&json!({"hold_seconds": 0})), hold_text(&json!({}))), (String::new(), String::new()));
    }

    #[test]
    fn what_is_left_is_said_only_where_one_age_is_that_of_all() {
        let class = |state: &str, age: Value, left: Value| {
            json!({"state": state, "age_seconds": age, "ttl_seconds": 60, "hedged_seconds": 600, "max_stale_seconds": 3600,
                "expires_in_seconds": left, "hold_seconds": 0})
        };
        let text = |class: &Value| freshness_text("keys", class, &json!(150));
        assert!(text(&class("fresh", json!(1.5), json!(3598))).ends_with("while the primary fails up to 3600 s (3598 s left)"));
        let kept = text(&class("kept", Value::Null, Value::Null));
        assert!(kept.starts_with("keys: kept, each answer by its own age; answered without asking up to 60 s"), "{kept}");
        assert!(kept.ends_with("while the primary fails up to 3600 s"), "{kept}");
        let shadow = text(&class("shadow", Value::Null, Value::Null));
        assert!(shadow.contains("age; after a switch answered without asking up to 60 s"), "{shadow}");
    }

    #[test]
    fn a_gitlab_answers_only_once_it_was_asked() {
        let primary = |state: &str| json!({"addresses": [{"state": "not asked yet"}, {"state": state}], "questions_under_way": 0});
        let text = |state: &str, source| primary_text(&primary(state), source);
        assert!(text("not asked yet", AnswerSource::KeptAnswers).starts_with("primary: not asked yet; 0 questions"));
        assert!(text("answers", AnswerSource::KeptAnswers).starts_with("primary: answers; "));
        assert!(text("not asked yet", AnswerSource::Directory).starts_with("primary: answers; "), "its feed speaks");
        let fails = json!({"failing_since": "2026-01-31T12:00:00.000Z", "failure": "it refused our token"});
        assert!(primary_text(&fails, AnswerSource::KeptAnswers).contains("has not answered since 2026"));
    }

    #[test]
    fn invalidate_sends_what_it_was_asked_for() {
        assert_eq!(body(&[]), Ok(json!({"what": "all"})));
        assert_eq!(body(&["all"]), Ok(json!({"what": "all"})));
        assert_eq!(body(&["key", "5"]), Ok(json!({"what": "key", "which": "5"})));
        assert_eq!(body(&["user", "zoe"]), Ok(json!({"what": "user", "which": "zoe"})));
        assert_eq!(body(&["project", "tools/gate"]), Ok(json!({"what": "project", "which": "tools/gate"})));
    }

    #[test]
    fn invalidate_refuses_a_target_without_its_name_and_all_with_one() {
        for target in ["key", "user", "project"] {
            assert!(body(&[target]).is_err(), "{target}");
        }
        assert!(body(&["all", "zoe"]).unwrap_err().contains("takes no name"));
        assert!(body(&["zoe"]).is_err());
    }
}
