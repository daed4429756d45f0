//! A real look-up: the command that sshd runs, started as the user that sshd starts it as, for a key that belongs to nobody.

use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;

use crate::cli::check::as_daemon::find_user;
use crate::cli::check::findings::Findings;
use crate::cli::check::key_command::KeyCommand;
use crate::cli::check::program::{self, ProgramOutput};
use crate::helper::CHAIN_CATEGORY;

/// sidegate's helper gives up before.
const TIME_LIMIT: Duration = Duration::from_secs(10);
const NOT_FOUND: &str = "# No key was found for ";
const FAILED: &str = "# sidegate: ";

/// Looks a key up as sshd would for a login of `login`.
pub fn check(command: &KeyCommand, login: &str, found: &mut Findings) {
    let Some(user) = find_user(&command.user) else { return };
    let own = Uid::effective();
    if !own.is_root() && own != user.uid {
        return found.ok(format!("look-up: not tried, since only root and {} can start the helper as sshd does", command.user));
    }
    let arguments = command.arguments(login);
    let run = if own == user.uid {
        program::run(command.program(), &arguments, TIME_LIMIT)
    } else {
        let own_program = std::env::current_exe().map_err(|error| error.to_string());
        own_program.and_then(|own_program| {
            let mut words = vec!["as-user".to_owned(), command.user.clone(), command.program().display().to_string()];
            words.extend(arguments);
            program::run(&own_program, &words, TIME_LIMIT)
        })
    };
    match run {
        Ok(output) => judge(&command.user, command.program(), &output, found),
        Err(reason) => found.fail(format!("look-up: {reason}"), "look at the program and at the socket that it asks"),
    }
}

fn judge(user: &str, program: &Path, output: &ProgramOutput, found: &mut Findings) {
    let answer = output.stdout.trim();
    if output.success && answer.starts_with(NOT_FOUND) {
        return found.ok(format!("look-up: {user} asks and is answered; a key that nobody has is not found"));
    }
    let failed = answer.strip_prefix(FAILED);
    let reason = failed.unwrap_or(if output.success { "it printed nothing" } else { output.complaint() });
    let what = format!("look-up: {} as {user}: {reason}", program.display());
    if failed.is_some_and(|reason| reason.contains("sidegate answered 424")) {
        // The daemon is there, and keys that it has are found, if it has any: whether it can answer at all, it is asked itself.
        return found
            .warn(what, "bring the primary back; `sidegate status` says since when it does not answer, and what is answered meanwhile");
    }
    let remedy = match failed {
        Some(reason) if reason.contains(CHAIN_CATEGORY) => "run the command after --chain by hand as that user, and see how it ends",
        Some(reason) if reason.contains("(not permitted)") => "see what is said of callers and of the socket here",
        Some(_) => "systemctl start sidegate.service; where that fails: `journalctl -u sidegate.service`",
        None => "run it by hand as that user; sidegate's helper prints a line for each key that it looks up",
    };
    found.fail(what, remedy);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::judge;
    use crate::cli::check::findings::{Findings, Level};
    use crate::cli::check::program::ProgramOutput;

    fn judged(success: bool, stdout: &str) -> (Level, String) {
        let mut found = Findings::default();
        let output = ProgramOutput { success, stdout: stdout.to_owned(), stderr: "sh: not found\n".to_owned() };
        judge("keys", Path::new("/h"), &output, &mut found);
        (found.as_slice()[0].level, found.as_slice()[0].what.clone())
    }

    #[test]
    fn only_a_no_is_an_answer_and_an_outage_behind_the_daemon_is_a_warning() {
        assert_eq!(judged(true, "# No key was found for AAAA\n").0, Level::Ok);
        let outage = "# sidegate: the key could not be looked up (outage): sidegate answered 424: The Git server\n";
        assert_eq!(judged(false, outage).0, Level::Warning);
        let (level, what) =
            judged(false, "# sidegate: the key could not be looked up (not permitted): this user may not open the socket\n");
        assert!(level == Level::Error && what.contains("may not open the socket"), "{what}");
        assert_eq!(judged(true, ""), (Level::Error, "look-up: /h as keys: it printed nothing".to_owned()));
        assert_eq!(judged(false, ""), (Level::Error, "look-up: /h as keys: sh: not found".to_owned()));
    }
}
