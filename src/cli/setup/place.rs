//! Where a path of the host leads, found folder by folder. Root works in folders that others own, as that of gitlab-shell: whoever owns one
//! could put a link into it at any moment, also after it was looked at. So a link is followed only where root made it in folders that root
//! alone may write, and what is done afterwards is done in the open folder, whatever its path has become.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Owner;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
/// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// A name in a folder that is open.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub folder: OwnedFd,
    /// The name in it.
    pub name: OsString,
    /// Who owns the folder.
    pub owner: Owner,
}

/// What is done with a link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// It is itself what is meant.
    Kept,
    /// It is followed, if root made it as above.
    Followed,
}

/// A folder on the way.
struct Reached {
    folder: OwnedFd,
    owner: Owner,
    /// Whether root alone may write it and every folder above.
    is_roots: bool,
}

/// Finds the place of an absolute path; `None` if a folder on the way is missing. Refuses links of others than root.
pub fn find(path: &Path, last: LastLink) -> Result<Option<Place>, CommandError> {
    let failed = |error: Errno| CommandError::with_context(&path.display().to_string(), error);
    let mut way = vec![Reached::root().map_err(failed)?];
    let mut names = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        let Some(reached) = way.last() else { break };
        if name == ".." {
            way.truncate(way.len().saturating_sub(1).max(1));
            continue;
        }
        let is_last = names.is_empty();
        let link = if is_last && last == LastLink::Kept { None } else { reached.link(&name).map_err(failed)? };
        if let Some(target) = link {
            links += 1;
            if links > MAX_LINKS || !reached.is_roots {
                return Err(foreign_link(path, &name));
            }
            if Path::new(&target).is_absolute() {
                way.truncate(1);
            }
            names_of(Path::new(&target)).into_iter().rev().for_each(|part| names.push_front(part));
            continue;
        }
        if is_last {
            return Ok(way.pop().map(|reached| Place { folder: reached.folder, name, owner: reached.owner }));
        }
        match reached.enter(&name) {
            Ok(next) => way.push(next),
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(CommandError(format!("{}: the full path of a file was expected", path.display())))
}

fn foreign_link(path: &Path, name: &OsStr) -> CommandError {
    CommandError(format!(
        "{}: {} is a symlink in a folder that another than root may write, and is not followed; name the file itself",
        path.display(),
        name.display()
    ))
}

fn names_of(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

impl Reached {
    fn root() -> Result<Self, Errno> {
        let folder = nix::fcntl::open("/", folder_flags(), Mode::empty())?;
        Self::of(folder, true)
    }

    fn enter(&self, name: &OsStr) -> Result<Self, Errno> {
        Self::of(openat(&self.folder, name, folder_flags(), Mode::empty())?, self.is_roots)
    }

    fn of(folder: OwnedFd, above_is_roots: bool) -> Result<Self, Errno> {
        let found = fstat(&folder)?;
        let is_roots = above_is_roots && found.st_uid == 0 && found.st_mode & GROUP_OR_OTHERS_WRITE == 0;
        Ok(Self { folder, owner: owner_of(&found), is_roots })
    }

    /// Returns where a link leads; `None` if there is no link of this name.
    fn link(&self, name: &OsStr) -> Result<Option<OsString>, Errno> {
        match readlinkat(&self.folder, name) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::EINVAL | Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Place {
    /// Returns whether a link is in the place.
    #[must_use]
    pub fn is_link(&self) -> bool {
        let found = fstatat(&self.folder, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
    }

    /// Opens the folder itself, to be synced.
    pub fn sync(&self) -> Result<(), Errno> {
        let folder = Dir::openat(&self.folder, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        nix::unistd::fsync(&folder)
    }
}

/// Returns who owns what was found.
pub fn owner_of(found: &FileStat) -> Owner {
    Owner { uid: found.st_uid, gid: found.st_gid }
}

fn folder_flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::{LastLink, find};

    #[test]
    fn a_link_is_followed_only_where_root_alone_could_make_it() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = tempfile::Builder::new().tempdir_in("/run").unwrap();
        let [roots, gits] = ["roots", "gits"].map(|name| folder.path().join(name));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&roots, &gits] {
            fs::create_dir(path).unwrap();
            symlink("../secret", path.join("file")).unwrap();
            symlink("..", path.join("up")).unwrap();
        }
        fs::write(folder.path().join("secret"), "precious").unwrap();
        chown(&gits, Some(970), Some(970)).unwrap();
        let place = find(&roots.join("up/roots/file"), LastLink::Followed).unwrap().unwrap();
        assert_eq!((place.name.to_str(), place.owner.uid, place.is_link()), (Some("secret"), 0, false));
        for path in ["file", "up/secret"] {
            let refused = find(&gits.join(path), LastLink::Followed).unwrap_err().to_string();
            assert!(refused.contains("is a symlink in a folder that another than root may write"), "{path}: {refused}");
        }
        let kept = find(&gits.join("file"), LastLink::Kept).unwrap().unwrap();
        assert_eq!((kept.owner.uid, kept.is_link()), (970, true));
        assert!(find(&gits.join("none/file"), LastLink::Kept).unwrap().is_none());
    }
}
