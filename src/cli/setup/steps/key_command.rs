//! The drop-in that makes sshd ask sidegate. It stays only if sshd accepts its configuration with it, and then asks sidegate indeed; else it is
//! taken back, and sshd is as before.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::{Host, ROOT};
use crate::cli::setup::owned_file::{self, FoundFile};
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::sshd::Sshd;
use crate::cli::setup::steps::step::{Step, StepState, Surroundings};
use crate::cli::setup::steps::text_file::{self, TextFileStep};

/// The drop-in.
pub struct KeyCommandStep {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub content: String,
    /// The user who logs in.
    pub user: String,
    /// What sshd asks for keys that sidegate does not know, if anything.
    pub chain: Option<String>,
    /// The keys that let the user in until now, if there are any.
    pub old_keys: Option<PathBuf>,
}

impl KeyCommandStep {
    fn as_file(&self) -> TextFileStep {
        TextFileStep { what: "the drop-in of sshd", path: self.path.clone(), content: self.content.clone() }
    }

    /// Finds what sshd says against the drop-in that is now in its place.
    fn judge(&self, host: &Host) -> Result<(), CommandError> {
        let sshd = Sshd::find(host)?;
        sshd.accepts_configuration()?;
        let asked = sshd.key_command(&self.user)?;
        if asked.as_ref().is_some_and(|asked| asked.is_sidegate()) {
            return Ok(());
        }
        let why = asked.map_or_else(
            || format!("{} does not include it: write `Include /etc/ssh/sshd_config.d/*.conf` as its first line", sshd.config().display()),
            |asked| format!("`{}` comes before it{}: remove that line", asked.command, asked.place()),
        );
        Err(CommandError(format!("sshd does not use it: {why}, and run setup again")))
    }

    /// Takes the drop-in back: what was there before is there again.
    fn take_back(&self, host: &Host, record: &mut Record, before: Option<FoundFile>) -> Result<(), CommandError> {
        let path = host.path(&self.path);
        match before {
            Some(before) => {
                owned_file::write(&path, &before.content, before.owner, before.mode)?;
                record.add(host, Entry::DropIn { path: self.path.clone(), sha256: owned_file::hash(&before.content) })
            }
            None => {
                fs::remove_file(&path).map_err(|error| CommandError::with_context(&path.display().to_string(), error))?;
                record.remove(host, &Entry::DropIn { path: self.path.clone(), sha256: String::new() })
            }
        }
    }
}

impl Step for KeyCommandStep {
    fn describe(&self) -> String {
        let chain = self.chain.as_ref().map_or_else(String::new, |chain| format!(" and, for keys that it does not know, `{chain}`"));
        let old_keys = self.old_keys.as_ref().map_or_else(String::new, |file| format!("; the keys in {} stop counting", file.display()));
        format!(
            "write {}, so that sshd asks sidegate{chain} for the keys of {}{old_keys}; test it with `sshd -t`, and reload sshd",
            self.path.display(),
            self.user
        )
    }

    fn preview(&self) -> Option<String> {
        Some(self.content.clone())
    }

    fn state(&self, around: Surroundings<'_>, record: &Record) -> Result<StepState, CommandError> {
        self.as_file().state(Surroundings { changed: false, ..around }, record)
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<(), CommandError> {
        let (host, path) = (around.host, around.host.path(&self.path));
        // What sshd refuses already is not to be blamed on the drop-in.
        Sshd::find(host)?.accepts_configuration()?;
        let before = owned_file::read(&path)?;
        record.add(host, Entry::DropIn { path: self.path.clone(), sha256: owned_file::hash(self.content.as_bytes()) })?;
        owned_file::write(&path, self.content.as_bytes(), ROOT, 0o644)?;
        if let Err(error) = self.judge(host) {
            self.take_back(host, record, before)?;
            return Err(CommandError(format!("{}: {error}; it was taken back, and sshd is as before", path.display())));
        }
        Sshd::reload(host)
    }
}

/// Removes the drop-in and reloads sshd. Returns why it is kept.
pub fn undo(host: &Host, path: &Path, sha256: &str) -> Result<(), String> {
    text_file::undo(&host.path(path), sha256)?;
    if let Ok(sshd) = Sshd::find(host) {
        sshd.accepts_configuration().map_err(|error| error.to_string())?;
        Sshd::reload(host).map_err(|error| error.to_string())?;
    }
    Ok(())
}
