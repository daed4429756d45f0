//! Reads a secret from its file. A relative path is looked up in `$CREDENTIALS_DIRECTORY` and nowhere else; a file that others may read
//! is refused.
//!
//! Owner and mode are those of the opened file, not of a name that may point elsewhere a moment later. Symlinks are followed only among
//! systemd's credentials, and only to one of them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::store::files::folder::FileError;

/// The length of the longest secret file.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// Returns the bytes of a secret file. Refuses a file that group or world may read or write, one of another owner than root or us, and an
/// empty one; each with the remedy (`LoadCredential=`, or a 0600 copy). systemd's credentials (0400 or 0440 root-owned under
/// `$CREDENTIALS_DIRECTORY`) are fine. A relative path names a credential; it is relative to nothing else. At most [`MAX_SECRET_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    read_as_user(path, credentials.as_deref(), geteuid().as_raw())
}

/// The place of a secret, which decides which modes are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretLocation {
    CredentialsDirectory,
    Elsewhere,
}

fn read_as_user(path: &Path, credentials: Option<&Path>, own: u32) -> Result<Vec<u8>, FileError> {
    let (path, location) = locate(path, credentials)?;
    let file = open(&path, location, own)?;
    let metadata = file.metadata().map_err(FileError::io(&path))?;
    if let Some(reason) = rejection_reason(&metadata, location, own) {
        return Err(FileError::invalid(&path, reason));
    }
    let content = read_content(file, metadata.len()).map_err(FileError::io(&path))?;
    if content.len() > MAX_SECRET_BYTES {
        return Err(FileError::invalid(&path, format!("longer than {MAX_SECRET_BYTES} bytes, so hardly a secret; name the right file")));
    }
    if content.trim_ascii().is_empty() {
        return Err(FileError::invalid(&path, "this is empty; write the secret into it (`openssl rand -hex 32`)"));
    }
    Ok(content)
}

fn locate(path: &Path, credentials: Option<&Path>) -> Result<(PathBuf, SecretLocation), FileError> {
    if path.is_absolute() {
        let location = match credentials {
            Some(folder) if path.starts_with(folder) => SecretLocation::CredentialsDirectory,
            _ => SecretLocation::Elsewhere,
        };
        return resolve_credential(path.to_owned(), location, credentials);
    }
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(FileError::invalid(path, "not the name of a credential; give the full path, or the name in LoadCredential="));
    }
    let Some(folder) = credentials.filter(|folder| folder.is_absolute()) else {
        let name = path.display();
        let reason = format!(
            "a relative path is looked up in $CREDENTIALS_DIRECTORY and nowhere else, and that is not set; \
             give the full path, or LoadCredential={name}:/full/path in the unit"
        );
        return Err(FileError::invalid(path, reason));
    };
    resolve_credential(folder.join(path), SecretLocation::CredentialsDirectory, credentials)
}

/// Follows the symlinks of a credential, and refuses one that leads out of `$CREDENTIALS_DIRECTORY`.
fn resolve_credential(path: PathBuf, location: SecretLocation, credentials: Option<&Path>) -> Result<(PathBuf, SecretLocation), FileError> {
    let (SecretLocation::CredentialsDirectory, Some(folder)) = (location, credentials) else {
        return Ok((path, location));
    };
    let missing = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => FileError::invalid(&path, "no such credential; add LoadCredential= to the unit, or give the full path"),
        _ => FileError::io(&path)(error),
    };
    let folder = fs::canonicalize(folder).map_err(missing)?;
    let real = fs::canonicalize(&path).map_err(missing)?;
    if !real.starts_with(&folder) {
        return Err(FileError::invalid(&path, "a symlink out of $CREDENTIALS_DIRECTORY; give the full path of the file itself"));
    }
    Ok((real, location))
}

/// Opens a file without following a symlink, and without waiting for the writer of a FIFO.
fn open(path: &Path, location: SecretLocation, own: u32) -> Result<File, FileError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => {
            let target = fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default();
            FileError::invalid(path, format!("this is a symlink to {target}; give the path of the file itself"))
        }
        Some(Errno::EACCES) => FileError::invalid(path, format!("uid {own} may not read this ({error}); {}", remedy(location, own))),
        _ => FileError::io(path)(error),
    })
}

fn rejection_reason(metadata: &Metadata, location: SecretLocation, own: u32) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Some("this is not a regular file; give the path of the secret's file".to_owned());
    }
    if metadata.uid() != 0 && metadata.uid() != own {
        return Some(format!("uid {} owns this, neither root nor we (uid {own}); {}", metadata.uid(), remedy(location, own)));
    }
    // systemd lets the service's user in by an access list, which shows as group read.
    let closed = if location == SecretLocation::CredentialsDirectory { 0o037 } else { 0o077 };
    if mode & closed != 0 {
        return Some(format!("mode {mode:04o} lets group or others at the secret; {}", remedy(location, own)));
    }
    None
}

fn remedy(location: SecretLocation, own: u32) -> String {
    match location {
        SecretLocation::CredentialsDirectory => "a credential is 0400 or 0440, as LoadCredential= makes it".to_owned(),
        SecretLocation::Elsewhere => format!("use LoadCredential= in the unit, or a copy of mode 0600 that uid {own} owns"),
    }
}

/// Reads at most one byte more than is allowed. The buffer is allocated once, so that growing it leaves no copy of a secret behind.
fn read_content(file: File, length: u64) -> io::Result<Vec<u8>> {
    let capacity = usize::try_from(length).unwrap_or(MAX_SECRET_BYTES).min(MAX_SECRET_BYTES) + 1;
    let mut content = Vec::with_capacity(capacity);
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};

    use nix::sys::stat::Mode;
    use nix::unistd::{geteuid, mkfifo};

    use super::{MAX_SECRET_BYTES, SecretLocation, read, read_as_user, rejection_reason};

    fn own() -> u32 {
        geteuid().as_raw()
    }

    fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn refusal(path: &Path, credentials: Option<&Path>) -> String {
        read_as_user(path, credentials, own()).unwrap_err().to_string()
    }

    #[test]
    fn a_closed_file_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400] {
            let path = file(folder.path(), &format!("{mode:o}"), " s3cret\n", mode);
            assert_eq!(read(&path).unwrap(), b" s3cret\n");
        }
        let longest = file(folder.path(), "longest", vec![b'x'; MAX_SECRET_BYTES], 0o600);
        assert_eq!(read(&longest).unwrap().len(), MAX_SECRET_BYTES);
    }

    #[test]
    fn one_that_others_may_read_or_write_is_refused_with_both_remedies() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o610] {
            let path = file(folder.path(), &format!("{mode:o}"), "s3cret", mode);
            let error = refusal(&path, None);
            for part in [&*path.to_string_lossy(), &format!("{mode:04o}"), "LoadCredential=", "0600"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn an_empty_and_an_endless_one_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let too_long = vec![b'x'; MAX_SECRET_BYTES + 1];
        for (name, content, remedy) in
            [("empty", &b""[..], "write the secret"), ("blank", b" \n", "write the secret"), ("long", &too_long, "name the right file")]
        {
            let path = file(folder.path(), name, content, 0o600);
            let error = refusal(&path, None);
            assert!(error.starts_with(&*path.to_string_lossy()) && error.contains(remedy), "{error}");
        }
        let error = refusal(Path::new("/dev/zero"), None);
        assert!(error.starts_with("/dev/zero: ") && error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mkfifo(&path, Mode::S_IRUSR).unwrap();
        assert!(refusal(&path, None).contains("not a regular file"));
    }

    #[test]
    fn a_symlink_is_refused_with_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let target = file(folder.path(), "target", "s3cret", 0o600);
        let link = folder.path().join("link");
        symlink(&target, &link).unwrap();
        let error = refusal(&link, None);
        for part in [&*link.to_string_lossy(), &*target.to_string_lossy(), "the file itself"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_credential_is_found_by_its_name_and_may_be_read_by_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "shell_secret", "s3cret", 0o440);
        symlink("shell_secret", folder.path().join("link")).unwrap();
        for name in [Path::new("shell_secret"), Path::new("link"), &path] {
            assert_eq!(read_as_user(name, Some(folder.path()), own()).unwrap(), b"s3cret", "{}", name.display());
        }
        for mode in [0o444, 0o460] {
            file(folder.path(), "open", "s3cret", mode);
            let error = refusal(Path::new("open"), Some(folder.path()));
            assert!(error.contains(&*folder.path().to_string_lossy()) && error.contains("as LoadCredential= makes it"), "{error}");
        }
    }

    #[test]
    fn a_credential_does_not_lead_out_of_the_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = file(elsewhere.path(), "secret", "s3cret", 0o600);
        symlink(&target, folder.path().join("link")).unwrap();
        let error = refusal(Path::new("link"), Some(folder.path()));
        assert!(error.contains("out of $CREDENTIALS_DIRECTORY; give the full path"), "{error}");
        for name in ["../secret", "./secret", "a/../../secret", ""] {
            let error = refusal(Path::new(name), Some(folder.path()));
            assert!(error.starts_with(&format!("{name}: ")) && error.contains("give the full path"), "{error}");
        }
    }

    #[test]
    fn a_relative_path_is_relative_to_nothing_else_and_the_error_says_so() {
        for credentials in [None, Some(Path::new("relative"))] {
            let error = refusal(Path::new("Cargo.toml"), credentials);
            for part in ["Cargo.toml: ", "nowhere else", "full path", "LoadCredential=Cargo.toml:"] {
                assert!(error.contains(part), "{error}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let error = refusal(Path::new("shell_secret"), Some(folder.path()));
        assert!(error.contains(&*folder.path().join("shell_secret").to_string_lossy()) && error.contains("LoadCredential="), "{error}");
    }

    #[test]
    fn another_owner_is_refused_and_root_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = fs::metadata(file(folder.path(), "secret", "s3cret", 0o600)).unwrap();
        let error = rejection_reason(&metadata, SecretLocation::Elsewhere, own() + 1);
        if own() == 0 {
            assert_eq!(error, None);
            std::os::unix::fs::chown(folder.path().join("secret"), Some(4711), None).unwrap();
            let error = refusal(&folder.path().join("secret"), None);
            assert!(error.contains("uid 4711 owns this") && error.contains("LoadCredential="), "{error}");
        } else {
            assert!(error.unwrap().contains("LoadCredential="));
        }
    }
}
