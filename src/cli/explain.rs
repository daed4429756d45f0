//! `sidegate explain`: what this host answers to one question at this moment, who decides it and why, and what would have to change for a
//! yes. Exit code 0: yes; 1: no; 2: it could not be judged.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::ExplainArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_error};
use crate::cli::output::{field_text, print_line};
use crate::model::explanation::{DecidedBy, Degraded, Explanation, Fact, FactSource, Rule, Step, StepKind, Verdict};
use crate::wire::http::params::encode_form;

/// The largest file that is read for a key: a public key of any type fits.
const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// Explains the answer to one question.
pub fn run(question: &ExplainArgs) -> CommandResult {
    match ask(question) {
        Ok(answer) => Ok(print_answer(&answer, question.sidecar.json)),
        Err(error) => {
            print_error(&error);
            Ok(Completion::Undecided)
        }
    }
}

fn ask(question: &ExplainArgs) -> Result<Value, CommandError> {
    let key = match (&question.key_file, &question.key) {
        (Some(file), _) => Some(read_key_file(file)?),
        (None, key) => key.clone(),
    };
    let key_id = question.key_id.map(|id| id.to_string());
    let params = [
        ("key", key.as_deref()),
        ("fingerprint", question.fingerprint.as_deref()),
        ("key_id", key_id.as_deref()),
        ("username", question.username.as_deref()),
        ("project", question.project.as_deref()),
        ("action", Some(question.action.as_str())),
        ("check_ip", question.check_ip.as_deref()),
    ];
    let query = encode_form(params.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    AdminClient::new(&question.sidecar.socket)?.get(&format!("/-/admin/explain?{query}"), REQUEST_TIMEOUT)
}

/// Reads the one public key of a file.
fn read_key_file(file: &Path) -> Result<String, CommandError> {
    let name = file.display().to_string();
    let size = fs::metadata(file).map_err(|error| CommandError::with_context(&name, error))?.len();
    if size > MAX_KEY_FILE_BYTES {
        return Err(CommandError::with_context(&name, "it is too large for a public key; name the `.pub` file"));
    }
    let text = fs::read_to_string(file).map_err(|error| CommandError::with_context(&name, error))?;
    key_of_text(&text).map_err(|reason| CommandError::with_context(&name, reason))
}

/// Returns the one key of a text: a line that is not empty and no comment, with a Windows ending or a byte order mark or without.
fn key_of_text(text: &str) -> Result<String, &'static str> {
    let text = text.trim_start_matches('\u{feff}');
    if text.contains("PRIVATE KEY") {
        return Err("it is a private key, which nobody should send anywhere; name the `.pub` file beside it");
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(key), None) => Ok(key.to_owned()),
        (None, _) => Err("it has no key"),
        (Some(_), Some(_)) => Err("it has more than one key; give one line with --key"),
    }
}

/// Prints an explanation, and returns how the command ends.
fn print_answer(answer: &Value, json: bool) -> Completion {
    let explanation: Option<Explanation> = serde_json::from_value(answer.clone()).ok();
    match &explanation {
        _ if json => print_line(&answer.to_string()),
        Some(explanation) => screen(explanation).iter().for_each(|line| print_line(line)),
        // A primary's own, which has no host's freshness in it.
        None => print_fields(answer, ""),
    }
    match explanation.map(|explanation| explanation.verdict).or_else(|| verdict_of_primary(answer)) {
        Some(Verdict::Yes) => Completion::Complete,
        Some(Verdict::No) => Completion::Refused,
        Some(Verdict::Unknown) | None => Completion::Undecided,
    }
}

/// Returns the verdict of a primary's own explanation.
fn verdict_of_primary(answer: &Value) -> Option<Verdict> {
    match (answer["allowed"]["decision"]["verdict"].as_str(), answer["authorized_keys"]["answer"].as_str()) {
        (Some("granted" | "creates"), _) | (None, Some("yes")) => Some(Verdict::Yes),
        (Some("refused"), _) | (None, Some("no")) => Some(Verdict::No),
        _ => None,
    }
}

/// Returns an explanation as the lines of one screen, the verdict first.
fn screen(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![explanation.sentence.clone(), String::new()];
    lines.extend(explanation.steps.iter().map(|step| step_line(&explanation.sentence, step)));
    for Rule { code, text, message } in explanation.steps.iter().filter_map(|step| step.rule.as_ref()) {
        lines.push(format!("rule: {code}: {text}"));
        lines.extend(message.iter().map(|message| format!("      the person reads: {}", message.replace('\n', " "))));
    }
    if !explanation.facts.is_empty() {
        lines.push("facts:".to_owned());
        lines.extend(explanation.facts.iter().map(fact_line));
    }
    if !explanation.for_a_yes.is_empty() {
        lines.push("for a yes:".to_owned());
        lines.extend(explanation.for_a_yes.iter().map(|text| format!("  {text}")));
    }
    lines.extend(explanation.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn step_line(headline: &str, step: &Step) -> String {
    let name = match step.question {
        StepKind::Login => "login",
        StepKind::Identity => "identity",
        StepKind::Account => "account",
        StepKind::Access => "access",
    };
    let verdict = match step.verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Unknown => "not judged",
    };
    let age = step.age_seconds.map(|age| format!(", {}", age_text(age))).unwrap_or_default();
    let by = match step.decided_by {
        DecidedBy::Directory => format!(", by the directory on this host{age}"),
        DecidedBy::KeptAnswer => format!(", by an answer that this host keeps{age}"),
        DecidedBy::Primary => ", by the primary, asked now".to_owned(),
        DecidedBy::Nobody => String::new(),
    };
    let degraded = match step.degraded {
        Some(Degraded::PrimaryUnreachable) => " (given because the primary fails)",
        Some(Degraded::MassNegative) => " (given because the primary does not know most keys)",
        None => "",
    };
    // What the first line has said is not said again.
    let sentence = if headline.ends_with(&step.sentence) { String::new() } else { format!(": {}", step.sentence) };
    format!("{name}: {verdict}{by}{degraded}{sentence}")
}

fn fact_line(fact: &Fact) -> String {
    let source = match fact.source {
        FactSource::Directory => "directory here",
        FactSource::Mirror => "mirror's feed here",
        FactSource::KeptAnswer => "kept here",
        FactSource::Primary => "asked now",
        FactSource::Host => "this host",
    };
    let age = fact.age_seconds.map(|age| format!(", {}", age_text(age))).unwrap_or_default();
    format!("  {} [{source}{age}]", fact.text)
}

/// Returns an age as a person says it.
fn age_text(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.1} s old"),
        seconds if seconds < 7_200.0 => format!("{:.0} min old", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h old", seconds / 3_600.0),
        seconds => format!("{:.0} days old", seconds / 86_400.0),
    }
}

fn print_fields(value: &Value, indent: &str) {
    for (name, field) in value.as_object().into_iter().flatten() {
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

    use super::{age_text, key_of_text, screen};
    use crate::cli::arguments::Arguments;
    use crate::model::explanation::{DecidedBy, Degraded, Explanation, Fact, FactSource, Rule, Step, StepKind, Verdict};

    fn explanation() -> Explanation {
        let rule =
            Rule {
                code: "user_blocked".to_owned(), text: "the account is blocked".to_owned(), message: Some("Your account …".to_owned())
            };
        let step = Step {
            question: StepKind::Access,
            verdict: Verdict::No,
            decided_by: DecidedBy::Directory,
            age_seconds: Some(400.0),
            degraded: Some(Degraded::PrimaryUnreachable),
            rule: Some(rule),
            sentence: "zoe may not pull g/p, because the account is blocked".to_owned(),
        };
        Explanation {
            verdict: Verdict::No,
            sentence: format!("refused: {}", step.sentence),
            steps: vec![step],
            key: None,
            user: None,
            project: None,
            facts: vec![Fact { text: "user zoe (7): blocked".to_owned(), source: FactSource::Directory, age_seconds: Some(400.0) }],
            for_a_yes: vec!["an administrator unblocks the account".to_owned()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_screen_begins_with_the_verdict_and_fits() {
        let lines = screen(&explanation());
        assert_eq!(lines[0], "refused: zoe may not pull g/p, because the account is blocked");
        for line in [
            "access: no, by the directory on this host, 7 min old (given because the primary fails)",
            "rule: user_blocked: the account is blocked",
            "  user zoe (7): blocked [directory here, 7 min old]",
            "  an administrator unblocks the account",
        ] {
            assert!(lines.iter().any(|printed| printed == line), "{line}\n{lines:#?}");
        }
        assert!(lines.len() < 24);
    }

    #[test]
    fn the_json_is_read_again_as_it_was_written() {
        let value = serde_json::to_value(explanation()).unwrap();
        assert_eq!(serde_json::from_value::<Explanation>(value).unwrap(), explanation());
    }

    #[test]
    fn a_key_file_is_taken_as_editors_leave_it_and_a_private_key_is_refused() {
        for text in ["ssh-ed25519 AAAA zoe\n", "\u{feff}ssh-ed25519 AAAA zoe\r\n", "# mine\n\nssh-ed25519 AAAA zoe"] {
            assert_eq!(key_of_text(text).as_deref(), Ok("ssh-ed25519 AAAA zoe"));
        }
        assert!(key_of_text("-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap_err().contains(".pub"));
        assert!(key_of_text("\n#\n").is_err() && key_of_text("a b\nc d\n").unwrap_err().contains("more than one"));
    }

    #[test]
    fn who_asks_is_named_once() {
        let parse = |words: &[&str]| Arguments::try_parse_from(["sidegate", "explain"].iter().chain(words)).is_ok();
        for words in [["--key-file", "f"], ["--key", "k"], ["--fingerprint", "SHA256:x"], ["--key-id", "1"], ["--username", "zoe"]] {
            assert!(parse(&words), "{words:?}");
        }
        for action in ["pull", "push", "archive", "git-upload-pack", "git-receive-pack", "git-upload-archive"] {
            assert!(parse(&["--key-id", "1", "--project", "g/p", "--action", action]));
        }
        for words in [
            &[][..],
            &["--key-id", "1", "--username", "zoe"],
            &["--key", "k", "--fingerprint", "f"],
            &["--key-id", "1", "--action", "clone"],
        ] {
            assert!(!parse(words), "{words:?}");
        }
    }

    #[test]
    fn an_age_has_the_unit_that_fits_it() {
        let texts = [0.04, 90.0, 600.0, 10_800.0, 260_000.0].map(age_text);
        assert_eq!(texts, ["0.0 s old", "90.0 s old", "10 min old", "3 h old", "3 days old"]);
    }
}
