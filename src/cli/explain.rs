//! `sidegate explain`: which rule decided, from which facts, of what age; here and at the primary.

use http::Method;
use serde_json::Value;

use crate::cli::arguments::Explain;
use crate::cli::ask::{Daemon, PATIENCE};
use crate::cli::outcome::{Done, Failure, Outcome, say};
use crate::wire::params::encode;

/// Explains one question.
pub fn run(question: &Explain) -> Outcome {
    let key = question.key.as_deref().map(blob);
    let key_id = question.key_id.map(|id| id.to_string());
    let named = [
        ("key", key),
        ("key_id", key_id.as_deref()),
        ("username", question.username.as_deref()),
        ("project", question.project.as_deref()),
        ("action", Some(question.action.as_str())),
        ("check_ip", question.check_ip.as_deref()),
    ];
    if named[..3].iter().all(|(_, value)| value.is_none()) {
        return Err(Failure("name who asks: --key, --key-id or --username".to_owned()));
    }
    let query = encode(named.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    let daemon = Daemon::at(&question.sidecar.socket)?;
    let answer = daemon.ask(Method::GET, &format!("/-/admin/explain?{query}"), PATIENCE)?;
    if question.sidecar.json {
        say(&answer.body.to_string());
    } else {
        print(&answer.body);
    }
    Ok(Done::Wholly)
}

/// The blob of a key that may be a whole line: type, blob, comment.
fn blob(key: &str) -> &str {
    let mut words = key.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(_), Some(blob)) => blob,
        _ => key.trim(),
    }
}

fn print(body: &Value) {
    for (title, name) in [("Here", "here"), ("From", "facts"), ("The primary", "primary")] {
        say(&format!("{title}:"));
        match &body[name] {
            Value::Object(fields) => fields.iter().for_each(|(field, value)| say(&format!("  {field}: {}", plain(value)))),
            Value::Null => say("  was not asked: the question would change something there, or names nobody"),
            other => say(&format!("  {}", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
