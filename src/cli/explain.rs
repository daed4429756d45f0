//! `sidegate explain`: which rule decides a question, from which facts and how old they are; here and at the primary.

use serde_json::Value;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::ExplainArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::helper::lookup::base64_part;
use crate::wire::http::params::encode_form;

/// Explains the answer to one question.
pub fn run(question: &ExplainArgs) -> CommandResult {
    let key = question.key.as_deref().map(base64_part);
    let key_id = question.key_id.map(|id| id.to_string());
    let params = [
        ("key", key),
        ("key_id", key_id.as_deref()),
        ("username", question.username.as_deref()),
        ("project", question.project.as_deref()),
        ("action", Some(question.action.as_str())),
        ("check_ip", question.check_ip.as_deref()),
    ];
    if params[..3].iter().all(|(_, value)| value.is_none()) {
        return Err(CommandError("name who asks: --key, --key-id or --username".to_owned()));
    }
    let query = encode_form(params.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    let explanation = AdminClient::new(&question.sidecar.socket)?.get(&format!("/-/admin/explain?{query}"), REQUEST_TIMEOUT)?;
    if question.sidecar.json {
        print_line(&explanation.to_string());
    } else {
        print_explanation(&explanation);
    }
    Ok(Completion::Complete)
}

/// Returns who decides a question on a host that follows a mirror.
fn deciding_side(side: &str) -> &str {
    match side {
        "feed" => "the followed feed of the mirror, without asking",
        "kept" => "an answer of GitLab that is kept, without asking",
        _ => "GitLab, which is asked",
    }
}

fn print_explanation(explanation: &Value) {
    if let Some(side) = explanation["decided_by"].as_str() {
        print_line(&format!("Decided by: {}", deciding_side(side)));
    }
    for (title, name) in [("Here", "here"), ("From", "facts"), ("Kept", "kept"), ("The primary", "primary")] {
        // In front of a GitLab there is no directory, and nothing to say of its age.
        if name == "facts" && explanation[name].is_null() {
            continue;
        }
        print_line(&format!("{title}:"));
        match &explanation[name] {
            Value::Object(fields) => fields.iter().for_each(|(field, value)| print_line(&format!("  {field}: {}", field_text(value)))),
            Value::Null if name == "kept" => print_line("  nothing"),
            Value::Null => print_line(
                "  was not asked: a push could create the project there, or the key is not known here; ask with --key-id, and with --action pull",
            ),
            other => print_line(&format!("  {}", field_text(other))),
        }
    }
}
