//! Files with an owner and a mode, written whole: under another name beside their place, made with mode 0600, given away, synced, renamed.
//! A link that somebody put in a place is replaced itself, and never written through; a secret is never read through one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Owner;
use crate::store::files::folder::{parent_of, sync_folder};

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

/// Reads the file in a place; `None` if there is nothing. Refuses a link, a folder, and what is too long.
pub fn read(path: &Path) -> Result<Option<FoundFile>, CommandError> {
    read_with(path, OFlag::O_NOFOLLOW)
}

/// Reads a file that the operator names, through links too.
pub fn read_named(path: &Path) -> Result<Vec<u8>, CommandError> {
    let found = read_with(path, OFlag::empty())?;
    found.map(|found| found.content).ok_or_else(|| CommandError(format!("{}: there is no such file; name the right one", path.display())))
}

fn read_with(path: &Path, more_flags: OFlag) -> Result<Option<FoundFile>, CommandError> {
    let failed = |error: std::io::Error| CommandError::with_context(&path.display().to_string(), error);
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | more_flags;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            return Err(CommandError(format!("{}: this is a symlink, and a file was expected; put the file itself there", path.display())));
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(CommandError(format!("{}: a file of at most {MAX_FILE_BYTES} bytes was expected; move this away", path.display())));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(failed)?;
    let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
    Ok(Some(FoundFile { content, owner, mode: metadata.mode() & 0o7777 }))
}

/// Puts a file into its place, and what was there is gone.
pub fn write(path: &Path, content: &[u8], owner: Owner, mode: u32) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::with_context(&path.display().to_string(), error);
    let mut file = tempfile::Builder::new().prefix(".sidegate-setup-").tempfile_in(parent_of(path)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    std::os::unix::fs::fchown(file.as_file(), Some(owner.uid), Some(owner.gid)).map_err(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let _written: File = file.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(parent_of(path)).map_err(CommandError::new)
}

/// Returns the SHA-256 of a content, in hex.
#[must_use]
pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

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
        assert_eq!(read_named(&path).unwrap(), b"precious");
        write(&path, b"new", owner, 0o640).unwrap();
        assert_eq!(read(&path).unwrap(), Some(FoundFile { content: b"new".to_vec(), owner, mode: 0o640 }));
        assert_eq!((fs::read(&victim).unwrap().as_slice(), fs::read_dir(folder.path()).unwrap().count()), (&b"precious"[..], 2));
        assert_eq!(read(&folder.path().join("none")).unwrap(), None);
        assert!(read(folder.path()).is_err());
        assert!(hash(b"").starts_with("e3b0c44298fc1c14"));
    }
}
