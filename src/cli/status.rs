//! `sidegate status`, `verify`, `invalidate`, `resync`: the commands of a host's operator about its sidecar.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{InvalidateArgs, SidecarArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// How long computing the digest of a large store may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// Prints the status of the sidecar.
pub fn run(sidecar: &SidecarArgs) -> CommandResult {
    let status = AdminClient::new(&sidecar.socket)?.get("/-/admin/status", REQUEST_TIMEOUT)?;
    if sidecar.json {
        print_line(&status.to_string());
    } else {
        print_status(&status);
    }
    Ok(Completion::Complete)
}

/// Compares the store with the primary.
pub fn verify(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/verify", &json!({}), VERIFY_TIMEOUT)
}

/// Removes answers of the primary from the sidecar's memory.
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

fn print_status(status: &Value) {
    print_line(&format!(
        "sidegate {} on {}, up since {}",
        field_text(&status["version"]),
        field_text(&status["host"]),
        field_text(&status["since"])
    ));
    for class in ["keys", "reads", "push_precheck"] {
        print_freshness_class(class, &status["freshness"][class], &status["primary"]["hedge_milliseconds"]);
    }
    for lost in status["sockets"]["lost"].as_array().into_iter().flatten() {
        print_line(&format!("ALARM since {}: {}", field_text(&lost["since"]), field_text(&lost["message"])));
    }
    if let Some(refused) = refused_text(&status["sockets"]) {
        print_line(&refused);
    }
    if let Some(alarm) = mass_negative_alarm(&status["kept"]["mass_negative"]) {
        print_line(&alarm);
    }
    print_primary(&status["primary"]);
    if status["kept"].is_object() {
        print_shadow(&status["kept"]["shadow"]);
        print_kept(&status["kept"]);
    }
    if let Some(warning) = proof_warning(&status["follower"]["proof"]) {
        print_line(warning);
    }
    if let Some(warning) = bound_warning(&status["follower"]) {
        print_line(&warning);
    }
    if let Some(warning) = unstored_warning(&status["follower"]["unstored"]) {
        print_line(&warning);
    }
    print_line("follower:");
    print_fields(&status["follower"], "  ");
    let bytes = status["memory_bytes"].as_u64().unwrap_or(0);
    print_line(&format!("memory: {} MiB", bytes >> 20));
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

/// Returns what to know and do while keys are let in that a GitLab does not know, because it does not know most.
fn mass_negative_alarm(guard: &Value) -> Option<String> {
    let (since, seconds) = (guard["since"].as_str()?, guard["ends_in_seconds"].as_u64()?);
    Some(format!(
        "ALARM since {since}: the GitLab did not know {} of the {} keys that it was asked about within a minute and knew before; {} such keys are let in for {seconds} s more. Look whether it is the right instance (DNS, `primary.url`), has its own database and not an older one, and its keys to decrypt it. A restart of sidegate ends this for them. If the keys are meant to be gone: `sidegate invalidate all`",
        guard["unknown_at_start"], guard["asked_at_start"], guard["keys"],
    ))
}

/// Returns by how much a GitLab that does not know most keys makes a bound longer.
fn hold_text(class: &Value) -> String {
    match class["hold_seconds"].as_u64() {
        Some(seconds) if seconds > 0 => format!(", and for {seconds} s after its no while it does not know most keys"),
        _ => String::new(),
    }
}

fn print_freshness_class(name: &str, class: &Value, hedge: &Value) {
    let never =
        if matches!(class["state"].as_str(), Some("kept" | "shadow")) { "each answer by its own age" } else { "never proven current" };
    let age = class["age_seconds"].as_f64().map_or_else(|| never.to_owned(), |age| format!("{age:.1} s old"));
    print_line(&format!(
        "{name}: {}, {age}; answered without asking up to {} s, while the primary is slower than {hedge} ms up to {} s, while the primary fails up to {} s ({} s left){}",
        field_text(&class["state"]),
        class["ttl_seconds"],
        class["hedged_seconds"],
        class["max_stale_seconds"],
        field_text(&class["expires_in_seconds"]),
        hold_text(class),
    ));
}

fn print_primary(primary: &Value) {
    let line = match primary["failing_since"].as_str() {
        Some(since) => format!("primary: has not answered since {since} ({}); asked again every second", field_text(&primary["failure"])),
        None => {
            format!("primary: answers; {} questions under way, {} waiting", primary["questions_under_way"], primary["questions_waiting"])
        }
    };
    print_line(&line);
    let addresses = primary["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    if addresses.len() > 1 {
        addresses.iter().for_each(|address| print_line(&format!("  {}", address_text(address))));
    }
    print_line(&format!(
        "primary: {} answers given while it was slow, {} denials that came after; {} denials kept until the feed has caught up",
        primary["answers_hedged"], primary["late_denials"], primary["denials_kept"]
    ));
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

/// Prints what is kept of a GitLab's answers.
fn print_kept(kept: &Value) {
    let mebibytes = |name: &str| kept[name].as_u64().unwrap_or(0) >> 20;
    let oldest = kept["oldest_seconds"].as_f64().map_or_else(String::new, |age| format!("; the oldest is {age:.0} s old"));
    let warmed = kept["warmed"].as_u64().filter(|warmed| *warmed > 0).map_or_else(String::new, |warmed| format!("; {warmed} from a file"));
    print_line(&format!(
        "kept: {} of {} answers, {} of {} MiB{oldest}{warmed}; {} unknown keys",
        kept["answers"],
        kept["most_answers"],
        mebibytes("bytes"),
        mebibytes("most_bytes"),
        kept["unknown_keys"]
    ));
    for (question, counts) in kept["questions"].as_object().into_iter().flatten() {
        print_line(&format!("  {question}: {}", question_text(counts)));
    }
    let evictions = kept["evictions"].as_object().into_iter().flatten();
    let evictions: Vec<String> = evictions.map(|(reason, count)| format!("{reason} {count}")).collect();
    print_line(&format!(
        "  removed by reason: {}; {} asked for again in time, {} overtaken",
        evictions.join(", "),
        kept["refreshes"],
        kept["overtaken"]
    ));
    let guard = &kept["mass_negative"];
    print_line(&format!(
        "  of known keys asked about within a minute: {} asked, {} unknown; {} times most were, {} answers given all the same",
        guard["asked"], guard["unknown"], guard["holds"], guard["given"]
    ));
    let store = &kept["store"];
    print_line(&format!(
        "  on disk: {}, {} writes wait for {} ms; put aside as damaged {} times, removed as not writable {} times",
        field_text(&store["state"]),
        store["pending"],
        store["lag_milliseconds"],
        store["quarantined"],
        store["discarded"]
    ));
}

/// Prints what shadow mode has compared.
fn print_shadow(shadow: &Value) {
    let Some(questions) = shadow.as_object() else { return };
    print_line(
        "shadow mode: the primary is asked for everything, and nothing that is kept is given; the bounds above are those after a switch",
    );
    for (question, counts) in questions {
        print_line(&format!("  {question}: {}", shadow_text(counts)));
    }
}

/// Returns what a switch would change for one kind of question, and whether its answers would have been the primary's.
fn shadow_text(counts: &Value) -> String {
    let percent = |name: &str| counts[name].as_f64().map_or_else(|| "none".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    let ages = counts["ages"].as_object().into_iter().flatten();
    let ages = ages.filter_map(|(age, counts)| {
        let [agrees, differs] = ["agrees", "differs"].map(|name| counts[name].as_u64().unwrap_or(0));
        (agrees + differs > 0).then(|| format!("{age} {agrees} of {}", agrees + differs))
    });
    let ages: Vec<String> = ages.collect();
    let ages = if ages.is_empty() { String::new() } else { format!(" ({})", ages.join(", ")) };
    format!(
        "{} of {} questions would have been answered without asking; {} agree with the primary{ages}; in outages {} would have been answered, {} not",
        percent("hit_rate"),
        count("answered") + count("asked"),
        percent("agreement"),
        count("outage_answered"),
        count("outage_refused")
    )
}

/// Returns how many answers to a question are kept, and how many look-ups they served.
fn question_text(counts: &Value) -> String {
    let lookups: u64 = ["fresh", "stale", "unknown", "asked"].iter().filter_map(|name| counts[*name].as_u64()).sum();
    let served = counts["hit_rate"]
        .as_f64()
        .map_or_else(|| "not asked yet".to_owned(), |rate| format!("{:.1} % of {lookups} look-ups", rate * 100.0));
    format!("{} kept, {served}, {} of them stale", counts["answers"], counts["stale"])
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

    use super::{bound_warning, hold_text, invalidation, mass_negative_alarm, proof_warning, unstored_warning};
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
    fn a_gitlab_that_does_not_know_most_keys_is_an_alarm_that_says_what_to_do() {
        let mut guard = json!({"since": null, "ends_in_seconds": null, "keys": 0});
        assert_eq!(mass_negative_alarm(&guard), None);
        guard =
            json!({"since": "2026-01-31T12:00:00.000Z", "ends_in_seconds": 590, "keys": 41, "asked_at_start": 30, "unknown_at_start": 20});
        let alarm = mass_negative_alarm(&guard).unwrap();
        for part in ["since 2026", "20 of the 30 keys", "41 such keys", "590 s", "right instance", "sidegate invalidate all"] {
            assert!(alarm.contains(part), "{part} is not in {alarm}");
        }
        assert_eq!(mass_negative_alarm(&Value::Null), None);
    }

    #[test]
    fn the_bound_says_the_hold_where_there_is_one() {
        assert!(hold_text(&json!({"hold_seconds": 600})).contains("600 s after its no"));
        assert_eq!((hold_text(&json!({"hold_seconds": 0})), hold_text(&json!({}))), (String::new(), String::new()));
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
