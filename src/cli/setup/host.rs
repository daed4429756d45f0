//! The host that is set up: this one, or, for tests, the tree below another root, where nothing is started and no daemon is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Group, User};

use crate::cli::check::as_daemon::groups_of;
use crate::cli::check::program::{self, ProgramOutput};
use crate::cli::exit_status::CommandError;

/// How long a program of the system, as systemctl, may take: the start of a service has 90 s.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// The numbers of a user, or of root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub uid: u32,
    /// The id of its group.
    pub gid: u32,
}

/// Root, who owns what everybody may read.
pub const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// A user of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's id, and that of the group that is the user's own.
    pub owner: Owner,
    /// The home.
    pub home: PathBuf,
}

/// A host.
#[derive(Debug)]
pub struct Host {
    root: Option<PathBuf>,
}

impl Host {
    /// Returns this host, or the tree below another root. Refuses a root that is not an absolute path of a folder.
    pub fn new(root: Option<&Path>) -> Result<Self, CommandError> {
        match root {
            None => Ok(Self { root: None }),
            Some(root) if root.is_absolute() && root.is_dir() => Ok(Self { root: Some(root.to_owned()) }),
            Some(root) => Err(CommandError(format!("--root {}: this is not the full path of a folder", root.display()))),
        }
    }

    /// Returns the other root, if there is one.
    #[must_use]
    pub fn other_root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Returns where an absolute path of the host is.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// Returns whether systemd runs here, so that units can be started. Never below another root: it would be this host's.
    #[must_use]
    pub fn runs_systemd(&self) -> bool {
        self.root.is_none() && Path::new(SYSTEMD_RUNS).is_dir()
    }

    /// Returns why units are neither enabled nor started.
    #[must_use]
    pub const fn why_no_systemd(&self) -> &'static str {
        if self.root.is_some() { "below another root nothing is started" } else { "systemd does not run here" }
    }

    /// Returns a user with their own group; `None` if there is no such user.
    pub fn user(&self, name: &str) -> Result<Option<Owner>, CommandError> {
        Ok(self.account(name)?.map(|account| account.owner))
    }

    /// Returns a user with their own group and home; `None` if there is no such user.
    pub fn account(&self, name: &str) -> Result<Option<Account>, CommandError> {
        if self.root.is_none() {
            let user = User::from_name(name).map_err(|error| CommandError::with_context(&format!("the user {name}"), error))?;
            return Ok(user.map(|user| Account { owner: Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }, home: user.dir }));
        }
        let fields = self.entry("/etc/passwd", name)?.unwrap_or_default();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
        let home = || fields.get(5).map(PathBuf::from).unwrap_or_default();
        Ok(number(2).zip(number(3)).map(|(uid, gid)| Account { owner: Owner { uid, gid }, home: home() }))
    }

    /// Returns the ids of all groups of a user; none if there is no such user.
    pub fn groups_of(&self, name: &str) -> Result<Vec<u32>, CommandError> {
        if self.root.is_none() {
            let user = User::from_name(name).map_err(|error| CommandError::with_context(&format!("the user {name}"), error))?;
            return Ok(user.map(|user| groups_of(&user).into_iter().map(Gid::as_raw).collect()).unwrap_or_default());
        }
        let own = self.user(name)?.map(|owner| owner.gid);
        let lists = self.entries("/etc/group")?.into_iter().filter_map(|fields| {
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            fields.get(2)?.parse().ok().filter(|_| is_member)
        });
        Ok(own.into_iter().chain(lists).collect())
    }

    /// Returns a user who must exist: one that the package makes.
    pub fn required_user(&self, name: &str) -> Result<Owner, CommandError> {
        self.user(name)?.ok_or_else(|| {
            CommandError(format!(
                "the user {name} does not exist: install sidegate's package first, or run `systemd-sysusers sidegate.conf`"
            ))
        })
    }

    /// Returns the id of a group; `None` if there is no such group.
    pub fn group(&self, name: &str) -> Result<Option<u32>, CommandError> {
        if self.root.is_none() {
            let group = Group::from_name(name).map_err(|error| CommandError::with_context(&format!("the group {name}"), error))?;
            return Ok(group.map(|group| group.gid.as_raw()));
        }
        Ok(self.entry("/etc/group", name)?.and_then(|fields| fields.get(2)?.parse().ok()))
    }

    fn entry(&self, file: &str, name: &str) -> Result<Option<Vec<String>>, CommandError> {
        Ok(self.entries(file)?.into_iter().find(|fields| fields.first().is_some_and(|first| first == name)))
    }

    fn entries(&self, file: &str) -> Result<Vec<Vec<String>>, CommandError> {
        let path = self.path(Path::new(file));
        let text = fs::read_to_string(&path).map_err(|error| CommandError::with_context(&path.display().to_string(), error))?;
        Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
    }

    /// Runs a program of the system to its end. Returns why it failed, with its last words.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, CommandError> {
        let output = program::run(Path::new(program), arguments, TIME_LIMIT).map_err(CommandError)?;
        if output.success {
            return Ok(output.stdout);
        }
        Err(CommandError(format!("`{program} {}`: {}", arguments.join(" "), output.complaint())))
    }

    /// Runs a program of which a failure is an answer too.
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> Result<ProgramOutput, CommandError> {
        program::run(Path::new(program), arguments, TIME_LIMIT).map_err(CommandError)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Host, Owner};

    #[test]
    fn below_another_root_paths_and_users_are_those_of_that_root() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nsidegate:x:901:902::/:/bin/false\n").unwrap();
        fs::write(folder.path().join("etc/group"), "git:x:70:sidegate-keys,sidegate\n").unwrap();
        let host = Host::new(Some(folder.path())).unwrap();
        assert_eq!(host.path(Path::new("/etc/ssh")), folder.path().join("etc/ssh"));
        assert_eq!(host.user("sidegate").unwrap(), Some(Owner { uid: 901, gid: 902 }));
        assert_eq!((host.groups_of("sidegate").unwrap(), host.groups_of("git").unwrap()), (vec![902, 70], vec![]));
        assert!(host.required_user("git").unwrap_err().to_string().contains("install sidegate's package first"));
        assert!(host.group("git").unwrap() == Some(70) && host.group("gitlab-www").unwrap().is_none() && !host.runs_systemd());
        assert!(Host::new(Some(Path::new("here"))).is_err());
    }
}
