//! `sidegate as-user NAME PROGRAM …`: becomes another user for good, with all of that user's groups, and then the program, as sshd does with
//! its AuthorizedKeysCommand. `sidegate check` starts it; root alone can.

use std::ffi::{CString, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::unistd::{User, initgroups, setgid, setuid};

use crate::cli::exit_status::{CommandError, CommandResult};

/// Runs a program as a user. Returns only if that fails.
pub fn run(name: &str, command: &[OsString]) -> CommandResult {
    let user = User::from_name(name).map_err(CommandError::new)?.ok_or_else(|| CommandError(format!("there is no user {name}")))?;
    let Some((program, arguments)) = command.split_first() else { return Err(CommandError("there is no program to run".to_owned())) };
    let groups_of = CString::new(name).map_err(CommandError::new)?;
    initgroups(&groups_of, user.gid)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| CommandError::with_context(&format!("cannot become {name}"), error))?;
    let failed = Command::new(program).args(arguments).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").exec();
    Err(CommandError::with_context(&program.to_string_lossy(), failed))
}
