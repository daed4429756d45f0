//! `sidegate explain`: which rule decided, from which facts, of what age; here and at the primary.

use http::Method;
use serde_json::Value;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::ExplainArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_line};
use crate::wire::http::params::encode_form;

/// Explains one question.
pub fn run(question: &ExplainArgs) -> CommandResult {
    let key = question.key.as_deref().map(key_blob);
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
        return Err(CommandError("name who asks: --key, --key-id or --username".to_owned()));
    }
    let query = encode_form(named.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    let daemon = AdminClient::new(&question.sidecar.socket)?;
    let answer = daemon.request(Method::GET, &format!("/-/admin/explain?{query}"), REQUEST_TIMEOUT)?;
    if question.sidecar.json {
        print_line(&answer.body.to_string());
    } else {
        print_explanation(&answer.body);
    }
    Ok(Completion::Complete)
}

/// The blob of a key that may be a whole line: type, blob, comment.
fn key_blob(key: &str) -> &str {
    let mut words = key.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(_), Some(blob)) => blob,
        _ => key.trim(),
    }
}

fn print_explanation(body: &Value) {
    for (title, name) in [("Here", "here"), ("From", "facts"), ("The primary", "primary")] {
        print_line(&format!("{title}:"));
        match &body[name] {
            Value::Object(fields) => fields.iter().for_each(|(field, value)| print_line(&format!("  {field}: {}", field_text(value)))),
            Value::Null => print_line("  was not asked: the question would change something there, or names nobody"),
            other => print_line(&format!("  {}", field_text(other))),
        }
    }
}

fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
