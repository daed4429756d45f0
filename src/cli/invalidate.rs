//! `sidegate invalidate`: removes kept answers of the primary; in front of a GitLab from disk too.

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::InvalidateArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Removes what is named, and prints how much that was.
pub fn run(arguments: &InvalidateArgs) -> CommandResult {
    let response =
        AdminClient::new(&arguments.sidecar.socket)?.post_json("/-/admin/invalidate", &invalidation(arguments)?, REQUEST_TIMEOUT)?;
    let text = if arguments.sidecar.json { response.to_string() } else { field_text(&response["message"]) };
    print_line(&text);
    Ok(Completion::Complete)
}

fn invalidation(arguments: &InvalidateArgs) -> Result<Value, CommandError> {
    match (arguments.what.as_str(), arguments.which.as_deref()) {
        ("all", Some(which)) => Err(CommandError(format!("`all` takes no name; did you mean `invalidate user {which}`?"))),
        (what, Some(which)) => Ok(json!({"what": what, "which": which})),
        (what, None) => Ok(json!({"what": what})),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::invalidation;
    use crate::cli::arguments::{Arguments, Command};

    fn body(words: &[&str]) -> Result<Value, String> {
        let arguments = Arguments::try_parse_from(["sidegate", "invalidate"].iter().chain(words)).map_err(|error| error.to_string())?;
        let Command::Invalidate(arguments) = arguments.command else { panic!("{words:?}") };
        invalidation(&arguments).map_err(|error| error.to_string())
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
