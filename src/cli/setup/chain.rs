//! The command that sshd asked before, and goes on asking, through sidegate's helper, for keys that sidegate does not know (`--chain`).

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::check::access::{EXECUTE, grants};
use crate::cli::check::key_command::{KeyCommand, allowed_tokens};
use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::questions::Questions;
use crate::cli::setup::sshd::{AskedCommand, Sshd};
use crate::helper::arguments::CHAIN_OPTION;
use crate::helper::chain::unsafe_part;

/// The user that sshd runs the helper as, and that a chained command runs as with it.
const HELPER_USER: &str = "sidegate-keys";

/// What the flags say of a chain.
pub struct ChainFlags<'a> {
    /// `--chain COMMAND`.
    pub command: Option<&'a str>,
    /// `--no-chain`.
    pub none: bool,
}

/// Returns the command to go on with, if any: the flag's, that of the drop-in which is there already, or, asked, the one that sshd asks now.
pub fn choose(
    host: &Host,
    user: &str,
    drop_in: &Path,
    flags: &ChainFlags<'_>,
    questions: &mut Questions,
) -> Result<Option<String>, CommandError> {
    let chosen = match (flags.command, flags.none) {
        (Some(command), _) => Some(command.to_owned()),
        (None, true) => None,
        (None, false) => match std::fs::read_to_string(host.path(drop_in)).ok().and_then(|text| of_drop_in(&text)) {
            Some(present) => Some(present),
            None => offer(&Sshd::find(host)?, user, questions)?,
        },
    };
    chosen.map(|command| check(host, &command)).transpose()
}

/// Asks whether to go on with what sshd asks now.
fn offer(sshd: &Sshd<'_>, user: &str, questions: &mut Questions) -> Result<Option<String>, CommandError> {
    let Some(asked) = sshd.key_command(user)?.filter(|asked| !asked.is_sidegate()) else { return Ok(None) };
    let question = format!(
        "sshd asks `{}`{} for the keys of {user}, as {}. Ask it on, as {HELPER_USER}, for keys that sidegate does not know?",
        asked.command,
        asked.place(),
        asked.user
    );
    let flags = format!("--chain '{}' or --no-chain", asked.command);
    Ok(questions.confirm(&flags, &question)?.then(|| with_arguments(&asked)))
}

/// Returns the command with the argument that sshd gives to one without any: the user's name.
fn with_arguments(asked: &AskedCommand) -> String {
    match asked.command.split_once(char::is_whitespace) {
        Some(_) => asked.command.clone(),
        None => format!("{} %u", asked.command),
    }
}

/// Returns the chain of a drop-in that setup wrote.
fn of_drop_in(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with("AuthorizedKeysCommand "))?;
    line.split_once(&format!(" {CHAIN_OPTION} ")).map(|(_, chain)| chain.to_owned())
}

/// Refuses a command that sshd itself would not run, or that cannot stand in its configuration.
fn check(host: &Host, command: &str) -> Result<String, CommandError> {
    let command = command.trim();
    let wrong = |what: &str| CommandError(format!("--chain: `{command}`: {what}"));
    if command.chars().any(char::is_control) {
        return Err(wrong("a command of one line was expected"));
    }
    let parsed = KeyCommand::parse(command, HELPER_USER).ok_or_else(|| wrong("a command was expected"))?;
    if parsed.is_helper() {
        return Err(wrong("this is sidegate's helper itself; name the command that was asked before it, or say --no-chain"));
    }
    if !parsed.program().is_absolute() {
        return Err(wrong("the full path of a program was expected"));
    }
    if let Some(token) = parsed.wrong_token(true, &Sshd::version(host)) {
        return Err(wrong(&format!("sshd would end every connection of the Git user at `{token}`; {}", allowed_tokens())));
    }
    let program = host.path(parsed.program());
    if !program.is_file() {
        return Err(wrong("there is no such program on this host; correct the path, or say --no-chain"));
    }
    if let Some(part) = out_of_reach(host, &program)? {
        return Err(wrong(&format!(
            "{HELPER_USER}, as which the helper runs it, may not enter or run {}; give others the right to execute it, or say --no-chain",
            part.display()
        )));
    }
    match unsafe_part(&program) {
        Some(part) if host.other_root().is_none() => Err(wrong(&format!(
            "root alone may own and write it and every folder above, and {} is not so; chown and chmod it",
            part.display()
        ))),
        _ => Ok(command.to_owned()),
    }
}

/// Returns the first part of a path that the helper's user may not enter or run.
fn out_of_reach(host: &Host, program: &Path) -> Result<Option<PathBuf>, CommandError> {
    let Some(owner) = host.user(HELPER_USER)? else { return Ok(None) };
    let groups = host.groups_of(HELPER_USER)?;
    let failed = |error| CommandError::with_context(&program.display().to_string(), error);
    let real = program.canonicalize().map_err(failed)?;
    let mut parts: Vec<&Path> = real.ancestors().collect();
    parts.reverse();
    let is_closed =
        |part: &&Path| part.metadata().is_ok_and(|found| !grants((found.uid(), found.gid(), found.mode()), owner.uid, &groups, EXECUTE));
    Ok(parts.into_iter().find(is_closed).map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::{of_drop_in, with_arguments};
    use crate::cli::setup::sshd::AskedCommand;

    #[test]
    fn a_command_without_arguments_gets_the_name_as_sshd_gives_it() {
        let asked = |command: &str| AskedCommand { command: command.to_owned(), user: "nobody".to_owned(), line: None };
        assert_eq!(with_arguments(&asked("/usr/bin/sss_ssh_authorizedkeys")), "/usr/bin/sss_ssh_authorizedkeys %u");
        assert_eq!(with_arguments(&asked("/usr/bin/keys \"a b\" %k")), "/usr/bin/keys \"a b\" %k");
    }

    #[test]
    fn the_chain_of_a_drop_in_is_found_again() {
        let text = "# --chain X\nMatch User git\n    AuthorizedKeysCommand /usr/lib/x git %u %k --chain /bin/keys %u\n    AuthorizedKeysCommandUser k\n";
        assert_eq!(of_drop_in(text).as_deref(), Some("/bin/keys %u"));
        assert_eq!(of_drop_in("Match User git\n AuthorizedKeysCommand /usr/lib/x git %u %k\n"), None);
    }
}
