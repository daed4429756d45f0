//! The secrets of a daemon, read as the daemon would: its own files as its user, and systemd's credentials as systemd hands them over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::credentials::CredentialSource;
use crate::cli::check::findings::Findings;
use crate::cli::exit_status::CommandError;
use crate::cli::secrets;
use crate::wire::auth::secret::Secret;

const OTHERWISE: &str =
    "write the secret into it, the same as at the primary, with mode 0600 and owned by the daemon's user; or name the right file";

/// Reads the secrets of one daemon, and says whether it could read all of them.
pub struct SecretReader<'a> {
    daemon: &'a DaemonUser,
    found: &'a mut Findings,
    failed: bool,
}

impl<'a> SecretReader<'a> {
    /// Begins to read.
    pub const fn new(daemon: &'a DaemonUser, found: &'a mut Findings) -> Self {
        Self { daemon, found, failed: false }
    }

    /// Reads one secret; `None`, with a finding, where the daemon could not.
    pub fn load(&mut self, key: &str, file: &Path) -> Option<Secret> {
        match self.daemon.unit().filter(|_| file.is_relative()).map(|unit| (unit.name.clone(), unit.credentials.source(file).cloned())) {
            None => {
                self.warn_unseen(key, file);
                self.take(self.daemon.act(|| secrets::load_secret(key, file)))
            }
            Some((_, Some(source))) => self.load_credential(key, file, &source),
            Some((unit, None)) => {
                self.failed = true;
                let name = file.display();
                let remedy = format!("add LoadCredential={name}:/full/path to the unit (`systemctl edit {unit}`), or give the full path");
                self.found.fail(format!("{key}: {unit} has no credential of the name {name}"), remedy);
                None
            }
        }
    }

    /// Reads one secret, if the configuration names a file for it.
    pub fn load_optional(&mut self, key: &str, file: Option<&Path>) -> Option<Secret> {
        file.and_then(|file| self.load(key, file))
    }

    /// Reads the secret of KAS, whose form is checked too.
    pub fn load_kas(&mut self, key: &str, file: &Path) {
        let is_credential = self.daemon.unit().is_some() && file.is_relative();
        if is_credential {
            self.load(key, file);
        } else {
            self.take(self.daemon.act(|| secrets::load_kas_secret(key, file)));
        }
    }

    /// Says that all is well, if it is.
    pub fn finish(self) {
        if !self.failed {
            self.found.ok(format!("secrets: readable by {} alone", self.daemon.name()));
        }
    }

    fn take(&mut self, loaded: Result<Secret, CommandError>) -> Option<Secret> {
        loaded.map_err(|error| self.refuse(error)).ok()
    }

    fn refuse(&mut self, error: impl std::fmt::Display) {
        self.failed = true;
        self.found.refuse(error, OTHERWISE);
    }

    fn warn_unseen(&mut self, key: &str, file: &Path) {
        let Some(unit) = self.daemon.unit().filter(|unit| !unit.sees(file)) else { return };
        let what = format!("{key}: {} has ProtectHome=, so it does not see {}", unit.name, file.display());
        self.failed = true;
        self.found.fail(what, "move the file to /etc/sidegate, or hand it over with LoadCredential=");
    }

    /// Reads what systemd, as root, would hand over.
    fn load_credential(&mut self, key: &str, name: &Path, source: &CredentialSource) -> Option<Secret> {
        let file = match source {
            CredentialSource::File(file) => file,
            CredentialSource::Opaque(given) if given.exists() => given,
            CredentialSource::Opaque(_) => {
                let what = format!("{key}: the credential {} is in the clear only while the service runs; it was not read", name.display());
                self.found.warn(what, "start the service, and check again as root");
                return None;
            }
        };
        let remedy = "write the secret into the file that LoadCredential= names, or correct that line (`systemctl edit`)";
        let read = fs::read(file).map_err(|error| error.to_string());
        let secret = read.and_then(|bytes| Secret::from_bytes(&bytes).map_err(|error| error.to_string()));
        if let Err(error) = &secret {
            self.failed = true;
            self.found.fail(format!("{key}: the credential {}, {}: {error}", name.display(), file.display()), remedy);
        }
        if fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o037 != 0) {
            self.failed = true;
            let what = format!("{key}: {}, which is handed over as {}, can be read by others", file.display(), name.display());
            self.found.warn(
                what,
                format!("chmod 0600 {}, and write a new secret into it on all hosts if somebody may have read it", file.display()),
            );
        }
        secret.ok()
    }
}
