//! `sidegate verify`, `invalidate`, `resync`: what a host's operator has its sidecar do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{InvalidateArgs, SidecarArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;

/// How long computing the digest of a large store may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

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
