//! A secret in a file that one user alone may read. One that is there already is kept, and is nobody's to remove but its owner's.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::owned_file::{self, FoundFile};
use crate::cli::setup::read_secret::ReadSecret;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};

/// How many random bytes a new secret has.
const NEW_SECRET_BYTES: usize = 24;
const MODE: u32 = 0o600;

/// Where the content of a secret comes from.
pub enum SecretSource {
    /// Random bytes, unless there is a secret already.
    New,
    /// One that was read before the plan was shown.
    Read(ReadSecret),
    /// Another file of this host, which an earlier step writes for this user.
    CopyOf(PathBuf, &'static str),
}

/// A secret of one user.
pub struct SecretStep {
    /// What it is, for the plan.
    pub what: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Who may read it.
    pub user: String,
    /// Where it comes from.
    pub source: SecretSource,
}

impl SecretStep {
    /// Returns what is to be in the file; `None` where anything may, or where it is not known before another step is done.
    fn wanted(&self, host: &Host) -> Result<Option<Vec<u8>>, CommandError> {
        match &self.source {
            SecretSource::New => Ok(None),
            SecretSource::Read(secret) => Ok(Some(secret.content.clone())),
            SecretSource::CopyOf(file, user) => {
                let path = host.path(file);
                let Some(found) = owned_file::read(&path)? else { return Ok(None) };
                if host.user(user)? == Some(found.owner) {
                    return Ok(Some(found.content));
                }
                let what = format!("it belongs to uid {}, and a file of {user} was expected", found.owner.uid);
                Err(CommandError(format!("{}: {what}; correct its owner, or move it away", path.display())))
            }
        }
    }

    fn refuse(&self, found: &FoundFile, path: &std::path::Path, what: &str) -> CommandError {
        let mode = found.mode;
        CommandError(format!(
            "{}: {what} (it has mode {mode:04o} and belongs to uid {}); a secret of {} with mode 0600 was expected: correct it, or move it away",
            path.display(),
            found.owner.uid,
            self.user
        ))
    }
}

impl Step for SecretStep {
    fn describe(&self) -> String {
        let from = match &self.source {
            SecretSource::New => "new".to_owned(),
            SecretSource::Read(ReadSecret { file, .. }) | SecretSource::CopyOf(file, _) => format!("a copy of {}", file.display()),
        };
        format!("write {}, {}, {from}, mode {MODE:04o}, for {}", self.path.display(), self.what, self.user)
    }

    fn state(&self, around: Surroundings<'_>, record: &Record) -> Result<StepState, CommandError> {
        let path = around.host.path(&self.path);
        let Some(found) = owned_file::read(&path)? else { return Ok(StepState::Needed) };
        if around.host.user(&self.user)? != Some(found.owner) || found.mode & 0o077 != 0 {
            return Err(self.refuse(&found, &path, "another may read it, or its user may not"));
        }
        let wanted = self.wanted(around.host)?;
        if let (None, SecretSource::CopyOf(source, _)) = (&wanted, &self.source) {
            return Err(CommandError(format!(
                "{}: it is there, and {}, of which it is to be a copy, is not; move it away, or put it there for the right user too",
                path.display(),
                source.display()
            )));
        }
        match wanted {
            None => Ok(StepState::Done),
            Some(wanted) if wanted.trim_ascii() == found.content.trim_ascii() => Ok(StepState::Done),
            Some(_) if record.written(&self.path) == Some(&owned_file::hash(&found.content)) => Ok(StepState::Needed),
            Some(_) => Err(self.refuse(&found, &path, "it is another secret than the one to be written")),
        }
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let path = around.host.path(&self.path);
        let content = match self.wanted(around.host)? {
            Some(content) => content,
            None => new_secret()?,
        };
        if content.trim_ascii().is_empty() {
            return Err(CommandError(format!("{}: the secret that is to be written is empty; name the right file", self.path.display())));
        }
        let owner = around.host.required_user(&self.user)?;
        record.add(around.host, Entry::File { path: self.path.clone(), sha256: owned_file::hash(&content) })?;
        owned_file::write(&path, &content, owner, MODE)?;
        Ok(Applied::Whole)
    }
}

/// Returns a new random secret, as one line of Base64.
fn new_secret() -> Result<Vec<u8>, CommandError> {
    let mut bytes = [0; NEW_SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| CommandError::with_context("the system's random numbers", error))?;
    Ok(format!("{}\n", STANDARD.encode(bytes)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::new_secret;

    #[test]
    fn new_secrets_differ_and_are_one_line() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert!(one != other && one.len() == 33 && one.ends_with(b"\n") && !one[..32].contains(&b'\n'));
    }
}
