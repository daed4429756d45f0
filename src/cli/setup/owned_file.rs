//! Files with an owner and a mode, written whole: under another name beside their place, made with mode 0600, given away, synced, renamed.
//! A link that somebody put in a place is replaced itself, and never written through; a secret is never read through one that another than
//! root could have made ([`place`]).

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, UnlinkatFlags, User, unlinkat};
use sha2::{Digest as _, Sha256};

use crate::cli::check::as_daemon::groups_of;
use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Owner;
use crate::cli::setup::place::{self, LastLink, Place};

/// The longest file that is read, in bytes: configurations, drop-ins, secrets and certificates are far shorter.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What is in a place now.
#[derive(Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its content.
    pub content: Vec<u8>,
    /// Who owns it.
    pub owner: Owner,
    /// Its permissions.
    pub mode: u32,
}

impl FoundFile {
    /// Returns whether its owner and mode let a user of these groups read it.
    #[must_use]
    pub fn is_readable_by(&self, uid: u32, groups: &[u32]) -> bool {
        let shift = match (uid == self.owner.uid, groups.contains(&self.owner.gid)) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        uid == 0 || self.mode >> shift & 0o4 != 0
    }
}

/// Reads the file in a place; `None` if there is nothing. Refuses a link, a folder, and what is too long.
pub fn read(path: &Path) -> Result<Option<FoundFile>, CommandError> {
    match place::find(path, LastLink::Kept)? {
        None => Ok(None),
        Some(place) => read_in(&place, path).map(|found| found.map(|(file, _)| file)),
    }
}

/// Reads a file that the operator names, through links of root too. What lies in the folder of another counts only if it has no other name,
/// and if that other may read it: they could have put there what root alone may read.
pub fn read_named(path: &Path) -> Result<FoundFile, CommandError> {
    let full = std::path::absolute(path).map_err(|error| CommandError::with_context(&path.display().to_string(), error))?;
    let missing = || CommandError(format!("{}: there is no such file; name the right one", path.display()));
    let place = place::find(&full, LastLink::Followed)?.ok_or_else(missing)?;
    let (found, names) = read_in(&place, path)?.ok_or_else(missing)?;
    let owner = place.owner;
    if owner.uid != 0 && (names != 1 || !found.is_readable_by(owner.uid, &groups_of_owner(owner))) {
        return Err(CommandError(format!(
            "{}: it is in a folder of uid {}, and is not a file of that user's own; copy it into a folder of root's, as /root, and name it there",
            path.display(),
            owner.uid
        )));
    }
    Ok(found)
}

/// Returns the groups of the user who owns a folder, that of the folder included.
fn groups_of_owner(owner: Owner) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(owner.uid)).ok().flatten();
    let groups = user.map(|user| groups_of(&user)).unwrap_or_default();
    groups.into_iter().map(Gid::as_raw).chain([owner.gid]).collect()
}

/// Reads what is in an open folder, with the number of its names.
fn read_in(place: &Place, path: &Path) -> Result<Option<(FoundFile, u64)>, CommandError> {
    let failed = |error: std::io::Error| CommandError::with_context(&path.display().to_string(), error);
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match openat(&place.folder, place.name.as_os_str(), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => return Ok(None),
        Err(Errno::ELOOP) => {
            return Err(CommandError(format!("{}: this is a symlink, and a file was expected; put the file itself there", path.display())));
        }
        Err(error) => return Err(failed(error.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(CommandError(format!("{}: a file of at most {MAX_FILE_BYTES} bytes was expected; move this away", path.display())));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(failed)?;
    let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
    Ok(Some((FoundFile { content, owner, mode: metadata.mode() & 0o7777 }, metadata.nlink())))
}

/// Puts a file into its place, and what was there is gone.
pub fn write(path: &Path, content: &[u8], owner: Owner, mode: u32) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::with_context(&path.display().to_string(), error);
    let missing = || failed(std::io::ErrorKind::NotFound.into());
    let place = place::find(path, LastLink::Kept)?.ok_or_else(missing)?;
    let beside = format!(".sidegate-setup-{}", std::process::id());
    let written = write_beside(&place, &beside, content, owner, mode).and_then(|()| {
        renameat(&place.folder, beside.as_str(), &place.folder, place.name.as_os_str()).and_then(|()| place.sync()).map_err(Into::into)
    });
    written.map_err(|error| {
        // It is not there where it was renamed already.
        let _ = unlinkat(&place.folder, beside.as_str(), UnlinkatFlags::NoRemoveDir);
        failed(error)
    })
}

fn write_beside(place: &Place, name: &str, content: &[u8], owner: Owner, mode: u32) -> std::io::Result<()> {
    // One of a run that was cut off, or a link that waits there.
    let _ = unlinkat(&place.folder, name, UnlinkatFlags::NoRemoveDir);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(&place.folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    file.write_all(content)?;
    std::os::unix::fs::fchown(&file, Some(owner.uid), Some(owner.gid))?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Removes the file in a place, if its SHA-256 is this one. Returns whether it is gone.
pub fn remove_as_written(path: &Path, sha256: &str) -> Result<bool, CommandError> {
    let Some(place) = place::find(path, LastLink::Kept)? else { return Ok(true) };
    match read_in(&place, path)? {
        None => Ok(true),
        Some((found, _)) if hash(&found.content) == sha256 => unlinkat(&place.folder, place.name.as_os_str(), UnlinkatFlags::NoRemoveDir)
            .map(|()| true)
            .map_err(|error| CommandError::with_context(&path.display().to_string(), error)),
        Some(_) => Ok(false),
    }
}

/// Returns the SHA-256 of a content, in hex.
#[must_use]
pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::{FoundFile, hash, read, read_named, write};
    use crate::cli::setup::host::Owner;

    #[test]
    fn a_file_has_its_owner_and_mode_and_a_link_is_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("secret"), folder.path().join("victim"));
        let own = fs::metadata(folder.path()).unwrap();
        let owner = Owner { uid: own.uid(), gid: own.gid() };
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &path).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("this is a symlink"));
        assert!(read_named(&path).unwrap_err().to_string().contains("another than root may write"), "everybody may write in /tmp");
        assert_eq!(read_named(&victim).unwrap().content, b"precious");
        write(&path, b"new", owner, 0o640).unwrap();
        assert_eq!(read(&path).unwrap(), Some(FoundFile { content: b"new".to_vec(), owner, mode: 0o640 }));
        assert_eq!((fs::read(&victim).unwrap().as_slice(), fs::read_dir(folder.path()).unwrap().count()), (&b"precious"[..], 2));
        assert_eq!(read(&folder.path().join("none")).unwrap(), None);
        assert!(read(folder.path()).is_err());
        assert!(hash(b"").starts_with("e3b0c44298fc1c14"));
    }
    #[test]
    fn in_the_folder_of_another_only_what_that_one_may_read_counts() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let folder = tempfile::Builder::new().tempdir_in("/run").unwrap();
        let [home, own, roots, link] = ["", "own", "roots", "link"].map(|name| folder.path().join("home").join(name));
        fs::create_dir(&home).unwrap();
        for path in [&own, &roots] {
            fs::write(path, "precious").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        for path in [&home, &own] {
            chown(path, Some(970), Some(970)).unwrap();
        }
        assert_eq!(read_named(&own).unwrap().content, b"precious");
        assert!(read_named(&roots).unwrap_err().to_string().contains("copy it into a folder of root's"));
        if let Some(user) = nix::unistd::User::from_name("daemon").unwrap() {
            chown(&home, Some(user.uid.as_raw()), Some(0)).unwrap();
            chown(&roots, Some(0), Some(user.gid.as_raw())).unwrap();
            fs::set_permissions(&roots, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(read_named(&roots).unwrap().content, b"precious", "by its group, as GitLab's packages have it");
            chown(&home, Some(970), Some(970)).unwrap();
        }
        fs::hard_link(&own, &link).unwrap();
        assert!(read_named(&own).unwrap_err().to_string().contains("is not a file of that user's own"));
    }
}
