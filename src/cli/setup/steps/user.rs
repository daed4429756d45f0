//! The user who logs in for Git, where no GitLab made one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::owned_file;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};
use crate::cli::setup::steps::text_file;

const USERADD: &str = "useradd";
const USERDEL: &str = "userdel";

/// A user with a home and a shell, in the group that may open the socket.
pub struct UserStep {
    /// The user's name.
    pub name: String,
}

impl UserStep {
    fn home(&self) -> PathBuf {
        Path::new("/home").join(&self.name)
    }
}

impl Step for UserStep {
    fn describe(&self) -> String {
        format!("make the user {}, in the group git, with the home {}", self.name, self.home().display())
    }

    fn state(&self, around: Surroundings<'_>, _record: &Record) -> Result<StepState, CommandError> {
        Ok(if around.host.user(&self.name)?.is_some() { StepState::Done } else { StepState::Needed })
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let (host, home) = (around.host, self.home());
        if host.group("git")?.is_none() {
            return Err(CommandError(
                "the group git does not exist: install sidegate's package first, or run `systemd-sysusers sidegate.conf`".to_owned(),
            ));
        }
        let home_text = home.display().to_string();
        let options = ["--system", "--gid", "git", "--home-dir", &home_text, "--create-home", "--shell", "/bin/sh"];
        let had_home = host.path(&home).exists();
        let entry = |uid, files| Entry::User { name: self.name.clone(), uid, home: home.clone(), files };
        record.add(host, entry(None, BTreeMap::new()))?;
        run_below_root(host, USERADD, &[options.as_slice(), &[self.name.as_str()]].concat())?;
        let made = Some(host.required_user(&self.name)?.uid);
        record.add(host, entry(made, BTreeMap::new()))?;
        let files = if had_home { BTreeMap::new() } else { files_below(host, &home)? };
        record.add(host, entry(made, files))?;
        Ok(Applied::Whole)
    }
}

/// Runs a program that changes the system's users, of another root too.
pub fn run_below_root(host: &Host, program: &str, arguments: &[&str]) -> Result<(), CommandError> {
    let root = host.other_root().map(|root| root.display().to_string());
    let prefix: Vec<&str> = root.as_deref().map_or_else(Vec::new, |root| vec!["--prefix", root]);
    host.run(program, &[prefix.as_slice(), arguments].concat()).map(drop)
}

/// Returns the files directly in a new home, and their SHA-256.
fn files_below(host: &Host, home: &Path) -> Result<BTreeMap<PathBuf, String>, CommandError> {
    let folder = host.path(home);
    let entries = fs::read_dir(&folder).map_err(|error| CommandError::with_context(&folder.display().to_string(), error))?;
    let mut files = BTreeMap::new();
    for entry in entries.flatten() {
        if let Ok(Some(found)) = owned_file::read(&entry.path()) {
            files.insert(home.join(entry.file_name()), owned_file::hash(&found.content));
        }
    }
    Ok(files)
}

/// Removes the user and the home, if it is the user that was made, and nothing but what came with it is there. Returns why it is kept
/// otherwise.
pub fn undo(host: &Host, name: &str, uid: u32, home: &Path, files: &BTreeMap<PathBuf, String>) -> Result<(), String> {
    let found = host.account(name).map_err(|error| error.to_string())?;
    if let Some(other) = found.as_ref().filter(|found| found.owner.uid != uid || found.home != home) {
        let (other_uid, other_home) = (other.owner.uid, other.home.display());
        return Err(format!("it has uid {other_uid} and the home {other_home}, and setup made one with uid {uid} and {}", home.display()));
    }
    let folder = host.path(home);
    let present = fs::read_dir(&folder).map(|entries| entries.flatten().map(|entry| home.join(entry.file_name())).collect::<Vec<_>>());
    let present = present.unwrap_or_default();
    if let Some(other) = present.iter().find(|path| !files.contains_key(*path)) {
        return Err(format!("{} is in its home, and came after it", other.display()));
    }
    if found.is_some() {
        run_below_root(host, USERDEL, &[name]).map_err(|error| error.to_string())?;
    }
    for path in &present {
        let kept = |reason| format!("{}: {reason}", path.display());
        text_file::undo(&host.path(path), files.get(path).map_or("", String::as_str)).map_err(kept)?;
    }
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", folder.display())),
        _ => Ok(()),
    }
}
