//! The drop-in that makes sshd ask sidegate. It stays only if sshd accepts its configuration with it, and then asks sidegate indeed; else it is
//! taken back, and sshd is as before.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::output::print_line;
use crate::cli::setup::host::{Host, ROOT};
use crate::cli::setup::owned_file::{self, FoundFile};
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::sshd::{AskedCommand, Reload, Sshd};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};
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

/// What was in the place of the drop-in before.
struct Before {
    file: FoundFile,
    /// Whether somebody else wrote it.
    is_foreign: bool,
    /// Whether sshd was reloaded after it was written.
    was_in_force: bool,
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
            || {
                format!(
                    "{} does not include it: write `Include /etc/ssh/sshd_config.d/*.conf` as its first line, and run setup again",
                    sshd.config().display()
                )
            },
            |asked| self.comes_before(&asked),
        );
        Err(CommandError(format!("sshd does not use it: {why}")))
    }

    /// Says what to do about a command that sshd takes first. Without its line nothing is offered as a chain, so that is repeated.
    fn comes_before(&self, asked: &AskedCommand) -> String {
        let (ours, user) = (self.path.display(), &self.user);
        let again = self.chain.as_ref().map_or_else(String::new, |chain| format!(" with --chain '{chain}'"));
        let line = format!("`{}` comes before it{}", asked.command, asked.place());
        if asked.is_below_match() {
            return format!(
                "{line}: exclude {user} from that Match, or name our file {ours} so that it is read before it, and set up again{again}"
            );
        }
        format!("{line}: remove that line, and set up again{again}")
    }

    fn entry(&self, content: &[u8], in_force: bool) -> Entry {
        Entry::DropIn { path: self.path.clone(), sha256: owned_file::hash(content), in_force, user: self.user.clone() }
    }

    /// Takes the drop-in back: what was there before is there again.
    fn take_back(&self, host: &Host, record: &mut Record, before: Option<&Before>) -> Result<(), CommandError> {
        let path = host.path(&self.path);
        match before {
            Some(Before { file, is_foreign, was_in_force }) => {
                owned_file::write(&path, &file.content, file.owner, file.mode)?;
                if *is_foreign { Ok(()) } else { record.add(host, self.entry(&file.content, *was_in_force)) }
            }
            None => {
                fs::remove_file(&path).map_err(|error| CommandError::with_context(&path.display().to_string(), error))?;
                record.remove(host, &self.entry(&[], false))
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
        let state = self.as_file().state(Surroundings { changed: false, ..around }, record)?;
        let is_ours = record.written(&self.path).is_some();
        let is_done = state == StepState::Done && (!is_ours || record.is_in_force(&self.path)) && self.judge(around.host).is_ok();
        if is_done {
            return Ok(StepState::Done);
        }
        // What sshd refuses already is said before the first step.
        Sshd::find(around.host)?.accepts_configuration()?;
        Ok(StepState::Needed)
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let (host, path) = (around.host, around.host.path(&self.path));
        // What sshd refuses already is not to be blamed on the drop-in.
        Sshd::find(host)?.accepts_configuration()?;
        let (is_foreign, was_in_force) = (record.written(&self.path).is_none(), record.is_in_force(&self.path));
        let before = owned_file::read(&path)?.map(|file| Before { file, is_foreign, was_in_force });
        if before.is_none() || !is_foreign {
            record.add(host, self.entry(self.content.as_bytes(), false))?;
        }
        owned_file::write(&path, self.content.as_bytes(), ROOT, 0o644)?;
        if let Err(error) = self.judge(host) {
            self.take_back(host, record, before.as_ref())?;
            return Err(CommandError(format!("{}: {error}; it was taken back, and sshd is as before", path.display())));
        }
        match Sshd::reload(host)? {
            Reload::Done => record.set_in_force(host, &self.path, true).map(|()| Applied::Whole),
            Reload::ByHand(what) => Ok(Applied::Left(what)),
        }
    }
}

/// Removes the drop-in and reloads sshd, which must not ask sidegate for the user any more. Returns why it is kept, and all that sshd needs
/// for it.
pub fn undo(host: &Host, path: &Path, sha256: &str, user: &str) -> Result<(), String> {
    let sshd = Sshd::find(host).ok();
    if let Some(sshd) = &sshd {
        // What sshd refuses already is not to be blamed on the drop-in that is missing then.
        sshd.accepts_configuration().map_err(|error| format!("nothing was removed, because of an error that was there before: {error}"))?;
    }
    text_file::undo(&host.path(path), sha256).map_err(|reason| {
        format!("{reason}, so it is kept, and with it all that sshd needs for it; remove it, reload sshd, and run this again")
    })?;
    let Some(sshd) = sshd else { return Ok(()) };
    let asked = sshd.key_command(user).map_err(|error| error.to_string())?;
    if let Some(asked) = asked.filter(AskedCommand::is_sidegate) {
        let (command, place) = (&asked.command, asked.place());
        return Err(format!(
            "it is gone, and sshd asks sidegate for the keys of {user} still, by `{command}`{place}, so all that sshd needs for that is kept; \
             remove that line, and run this again"
        ));
    }
    if let Reload::ByHand(what) = Sshd::reload(host).map_err(|error| error.to_string())? {
        print_line(&format!("LEFT: {what}"));
    }
    Ok(())
}
