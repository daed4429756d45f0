//! The group of the sidecar's socket, for a user who was there before: gitlab-shell asks as that user.

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};
use crate::cli::setup::steps::user::run_below_root;

/// The group of the socket, as sidegate.socket has it.
pub const SOCKET_GROUP: &str = "git";
const USERMOD: &str = "usermod";
const GPASSWD: &str = "gpasswd";

/// A user in the group that may open the socket.
pub struct MembershipStep {
    /// The user's name.
    pub user: String,
}

impl Step for MembershipStep {
    fn describe(&self) -> String {
        format!("have the user {} in the group {SOCKET_GROUP}, which may open sidegate's socket", self.user)
    }

    fn state(&self, around: Surroundings<'_>, _record: &Record) -> Result<StepState, CommandError> {
        let is_new = around.host.user(&self.user)?.is_none();
        // One that is made is made in that group.
        Ok(if is_new || is_member(around.host, &self.user, SOCKET_GROUP)? { StepState::Done } else { StepState::Needed })
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        record.add(around.host, Entry::Membership { user: self.user.clone(), group: SOCKET_GROUP.to_owned() })?;
        run_below_root(around.host, USERMOD, &["--append", "--groups", SOCKET_GROUP, &self.user])?;
        Ok(Applied::Whole)
    }
}

fn is_member(host: &Host, user: &str, group: &str) -> Result<bool, CommandError> {
    let gid = host.group(group)?;
    Ok(gid.is_some_and(|gid| host.groups_of(user).is_ok_and(|groups| groups.contains(&gid))))
}

/// Takes the user out of the group again. Returns why that failed.
pub fn undo(host: &Host, user: &str, group: &str) -> Result<(), String> {
    if host.user(user).map_err(|error| error.to_string())?.is_none() || !is_member(host, user, group).map_err(|error| error.to_string())? {
        return Ok(());
    }
    let root = host.other_root().map(|root| root.display().to_string());
    let below: Vec<&str> = root.as_deref().map_or_else(Vec::new, |root| vec!["--root", root]);
    host.run(GPASSWD, &[below.as_slice(), &["-d", user, group]].concat()).map(drop).map_err(|error| error.to_string())
}
