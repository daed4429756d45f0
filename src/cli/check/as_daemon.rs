//! The user that a daemon runs as. Root, who checks a host by hand, may read and write everything; what matters is what the daemon may. So
//! files are looked at, and the primary is asked, with the user and groups of the daemon, and root is root again afterwards.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups, setegid, seteuid, setgroups};

use crate::cli::check::depth::Depth;
use crate::cli::check::findings::Findings;
use crate::cli::check::unit::ServiceUnit;

/// The user of a daemon, and what is known of its unit.
pub struct DaemonUser {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    /// Whether we are root and have to become this user.
    becomes: bool,
    unit: Option<ServiceUnit>,
}

impl DaemonUser {
    /// Returns as whom to judge: before a start as this process, which the unit runs as the daemon's user; else as [`Self::find`] says.
    pub fn at(depth: Depth, unit_name: &str, config: &Path, store: &Path, found: &mut Findings) -> Self {
        match depth {
            Depth::Start => Self::ourselves(),
            Depth::Offline | Depth::Full => Self::find(unit_name, config, store, found),
        }
    }

    /// Finds out as whom a daemon runs that has this configuration and store: by its unit; where that says nothing, the store's owner.
    pub fn find(unit_name: &str, config: &Path, store: &Path, found: &mut Findings) -> Self {
        let unit = ServiceUnit::read(unit_name).and_then(|unit| {
            let other = || format!("{unit_name} runs another configuration than {}", config.display());
            if unit.runs_with(config) { Ok(unit) } else { Err(other()) }
        });
        let (own, unit) = match unit {
            Ok(unit) => (Self::of_unit(unit, found), true),
            Err(reason) => (Self::of_store(store, &reason, found), false),
        };
        if unit && !Uid::effective().is_root() && Uid::effective() != own.uid {
            let us = user_name(Uid::effective());
            let what = format!("this runs as {us} and the daemon as {}: what follows is what {us} may read and ask", own.name);
            found.warn(what, "run it as root, who can take the daemon's place");
        }
        own
    }

    /// Returns the user that this process is, for a check before a start, which the daemon's unit runs as the daemon's user.
    #[must_use]
    pub fn ourselves() -> Self {
        Self::new(Uid::effective(), Gid::effective(), Vec::new(), None)
    }

    fn new(uid: Uid, gid: Gid, groups: Vec<Gid>, unit: Option<ServiceUnit>) -> Self {
        Self { name: user_name(uid), uid, gid, groups, becomes: Uid::effective().is_root() && !uid.is_root(), unit }
    }

    fn of_unit(unit: ServiceUnit, found: &mut Findings) -> Self {
        let name = if unit.user.is_empty() { "root" } else { unit.user.as_str() };
        let Some(user) = find_user(name) else {
            let what = format!("{}: its user {name} does not exist on this host, so systemd cannot start it", unit.name);
            found.fail(what, "make the user: `systemd-sysusers sidegate.conf`, or run sidegate/install again");
            return Self::new(Uid::effective(), Gid::effective(), Vec::new(), Some(unit));
        };
        let mut group = |name: &str| {
            let known = find_group(name);
            if known.is_none() {
                let what = format!("{}: its group {name} does not exist on this host, so systemd cannot start it", unit.name);
                found.fail(what, "make the group: `systemd-sysusers sidegate.conf`, or run sidegate/install again");
            }
            known
        };
        let gid = if unit.group.is_empty() { user.gid } else { group(&unit.group).unwrap_or(user.gid) };
        let mut groups: Vec<Gid> = unit.supplementary_groups.iter().filter_map(|name| group(name)).collect();
        groups.extend(groups_of(&user));
        found.ok(format!("judged as {}, the user of {}", user.name, unit.name));
        Self::new(user.uid, gid, groups, Some(unit))
    }

    fn of_store(store: &Path, reason: &str, found: &mut Findings) -> Self {
        let owner = fs::metadata(store).ok().map(|metadata| Uid::from_raw(metadata.uid()));
        if !Uid::effective().is_root() {
            return Self::new(Uid::effective(), Gid::effective(), Vec::new(), None);
        }
        let Some(owner) = owner else {
            found.ok(format!("judged as root: {reason}, and {} is not there, whose owner would be the daemon's user", store.display()));
            return Self::new(Uid::effective(), Gid::effective(), Vec::new(), None);
        };
        found.ok(format!("judged as {}, the owner of {}: {reason}", user_name(owner), store.display()));
        let user = User::from_uid(owner).ok().flatten();
        let (gid, groups) = user.map_or((Gid::from_raw(owner.as_raw()), Vec::new()), |user| (user.gid, groups_of(&user)));
        Self::new(owner, gid, groups, None)
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its number.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Returns its group.
    #[must_use]
    pub const fn gid(&self) -> u32 {
        self.gid.as_raw()
    }

    /// Returns its unit, if systemd runs it.
    #[must_use]
    pub const fn unit(&self) -> Option<&ServiceUnit> {
        self.unit.as_ref()
    }

    /// Does something as this user. Where this process is not root, it does it as itself.
    pub fn act<T>(&self, action: impl FnOnce() -> T) -> T {
        let _taken = self.becomes.then(|| TakenIdentity::take(self));
        action()
    }
}

/// The effective user and groups of another; our own again when dropped. All threads of the process have them.
struct TakenIdentity {
    groups: Vec<Gid>,
    gid: Gid,
}

impl TakenIdentity {
    fn take(user: &DaemonUser) -> Self {
        let own = Self { groups: getgroups().unwrap_or_default(), gid: Gid::effective() };
        // Where one of these fails, as in a namespace that forbids it, the next looks are root's, which finds less and breaks nothing.
        let _ = setgroups(&user.groups).and_then(|()| setegid(user.gid)).and_then(|()| seteuid(user.uid));
        own
    }
}

impl Drop for TakenIdentity {
    fn drop(&mut self) {
        let _ = seteuid(Uid::from_raw(0)).and_then(|()| setegid(self.gid)).and_then(|()| setgroups(&self.groups));
    }
}

/// Returns a user of this host by name.
#[must_use]
pub fn find_user(name: &str) -> Option<User> {
    let by_number = || name.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    User::from_name(name).ok().flatten().or_else(by_number)
}

fn find_group(name: &str) -> Option<Gid> {
    let by_number = || name.parse().ok().map(Gid::from_raw);
    Group::from_name(name).ok().flatten().map(|group| group.gid).or_else(by_number)
}

/// Returns all groups of a user, its own first.
#[must_use]
pub fn groups_of(user: &User) -> Vec<Gid> {
    let listed = CString::new(user.name.clone()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    listed.unwrap_or_else(|| vec![user.gid])
}

/// Returns the name of a user, or its number where it has none.
#[must_use]
pub fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use nix::unistd::{Gid, Uid, geteuid};

    use super::DaemonUser;

    #[test]
    fn root_may_read_only_what_the_daemon_may_and_is_root_again_afterwards() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [own, roots] = ["own", "roots"].map(|name| folder.path().join(name));
        for file in [&own, &roots] {
            fs::write(file, "secret").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        chown(&own, Some(4711), None).unwrap();
        // In a thread that exits the identity of the others must be the old one again, too.
        let daemon = DaemonUser::new(Uid::from_raw(4711), Gid::from_raw(4711), vec![], None);
        let readable = [&own, &roots].map(|file| daemon.becomes && fs::read(file).is_ok());
        assert_eq!(readable, [true, true], "root itself");
        let script = std::env::var_os("SIDEGATE_TEST_AS_DAEMON");
        if script.is_none() {
            // The identity is that of the whole process, so this is done in one of its own.
            let name = "cli::check::as_daemon::tests::root_may_read_only_what_the_daemon_may_and_is_root_again_afterwards";
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact", "--test-threads=1"])
                .env("SIDEGATE_TEST_AS_DAEMON", "1")
                .output()
                .unwrap();
            assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
            return;
        }
        assert_eq!(daemon.act(|| [&own, &roots].map(|file| fs::read(file).is_ok())), [true, false]);
        assert_eq!(daemon.act(|| geteuid().as_raw()), 4711);
        assert!(geteuid().is_root() && fs::read(&roots).is_ok());
    }
}
