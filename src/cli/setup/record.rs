//! What setup did on this host, in `/etc/sidegate/setup.json`, which root alone may read: each thing that it made, by its path and the
//! SHA-256 of what it wrote, in the order in which it did it. An entry is on disk before the thing is made. What is not in it is not ours,
//! and is neither replaced nor removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::arguments::SetupPrimary;
use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::{Host, ROOT};
use crate::cli::setup::owned_file;

/// Where the record is.
pub const RECORD_FILE: &str = "/etc/sidegate/setup.json";
const FORM: u32 = 1;

/// One thing that setup made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "made")]
pub enum Entry {
    /// A folder.
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// The SHA-256 of what was written.
        sha256: String,
    },
    /// A user, and the files of the home that came with it, by their SHA-256.
    User {
        /// The user's name.
        name: String,
        /// The id that it was made with; `None` as long as it is not known to be made.
        #[serde(default)]
        uid: Option<u32>,
        /// The home.
        home: PathBuf,
        /// The files in it, and their SHA-256.
        files: BTreeMap<PathBuf, String>,
    },
    /// A user who was there, in a group.
    Membership {
        /// The user's name.
        user: String,
        /// The group's name.
        group: String,
    },
    /// Units that were enabled or started.
    Units {
        /// Those that were not enabled before.
        enabled: Vec<String>,
        /// Those that did not run before.
        started: Vec<String>,
        /// Those that still run with what was there before something that they read was written.
        #[serde(default)]
        restart_due: Vec<String>,
    },
    /// The drop-in of sshd.
    DropIn {
        /// Its path.
        path: PathBuf,
        /// The SHA-256 of what was written.
        sha256: String,
        /// Whether sshd was reloaded after it was written.
        #[serde(default)]
        in_force: bool,
        /// The user whose logins it is for.
        #[serde(default)]
        user: String,
    },
}

/// The whole record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    form: u32,
    /// Which primary the host was set up for.
    primary: Option<SetupPrimary>,
    /// What was made, the first first.
    entries: Vec<Entry>,
}

impl Record {
    /// Reads the record; without a file nothing was done.
    pub fn load(host: &Host) -> Result<Self, CommandError> {
        let path = host.path(Path::new(RECORD_FILE));
        let Some(found) = owned_file::read(&path)? else { return Ok(Self { form: FORM, ..Self::default() }) };
        let wrong = |what: String| {
            CommandError(format!(
                "{}: {what}; restore it from a backup, or move it away and undo by hand what docs/install.md does",
                path.display()
            ))
        };
        let record: Self =
            serde_json::from_slice(&found.content).map_err(|error| wrong(format!("this is not a record of setup ({error})")))?;
        if record.form == FORM { Ok(record) } else { Err(wrong(format!("form {} is not known to this version", record.form))) }
    }

    /// Writes the record, or removes the file once nothing is left in it.
    pub fn save(&self, host: &Host) -> Result<(), CommandError> {
        let path = host.path(Path::new(RECORD_FILE));
        if self.entries.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(CommandError::with_context(&path.display().to_string(), error))
                }
                _ => Ok(()),
            };
        }
        let mut text = serde_json::to_vec_pretty(self).map_err(CommandError::new)?;
        text.push(b'\n');
        owned_file::write(&path, &text, ROOT, 0o600)
    }

    /// Refuses to set a host up for another primary than it is set up for.
    pub fn require_same_primary(&self, primary: SetupPrimary) -> Result<(), CommandError> {
        match self.primary {
            Some(before) if before != primary && !self.entries.is_empty() => Err(CommandError(format!(
                "{RECORD_FILE}: this host is set up with --primary {}, not {}; run `sidegate setup --remove` first",
                before.name(),
                primary.name()
            ))),
            _ => Ok(()),
        }
    }

    /// Returns for which primary the host is set up, if it is.
    #[must_use]
    pub const fn primary(&self) -> Option<SetupPrimary> {
        self.primary
    }

    /// Notes for which primary the host is set up.
    pub fn set_primary(&mut self, primary: SetupPrimary) {
        self.primary = Some(primary);
    }

    /// Adds an entry, in place of one about the same thing, and writes the record.
    pub fn add(&mut self, host: &Host, entry: Entry) -> Result<(), CommandError> {
        match self.entries.iter_mut().find(|known| known.is_about(&entry)) {
            Some(known) => known.merge(entry),
            None => self.entries.push(entry),
        }
        self.save(host)
    }

    /// Removes an entry that is undone, and writes the record.
    pub fn remove(&mut self, host: &Host, entry: &Entry) -> Result<(), CommandError> {
        self.entries.retain(|known| !known.is_about(entry));
        self.save(host)
    }

    /// Returns whether sshd was reloaded after the drop-in in this place was written.
    #[must_use]
    pub fn is_in_force(&self, file: &Path) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::DropIn { path, in_force: true, .. } if path == file))
    }

    /// Notes whether sshd was reloaded after the drop-in in this place was written, and writes the record.
    pub fn set_in_force(&mut self, host: &Host, file: &Path, is_so: bool) -> Result<(), CommandError> {
        for entry in &mut self.entries {
            match entry {
                Entry::DropIn { path, in_force, .. } if path == file => *in_force = is_so,
                _ => {}
            }
        }
        self.save(host)
    }

    /// Notes that units are to be restarted, before something that they read is written.
    pub fn set_restart_due(&mut self, host: &Host, units: &[&str]) -> Result<(), CommandError> {
        let due = units.iter().map(|unit| (*unit).to_owned()).collect();
        self.add(host, Entry::Units { enabled: Vec::new(), started: Vec::new(), restart_due: due })
    }

    /// Returns whether one of these units is to be restarted.
    #[must_use]
    pub fn is_restart_due(&self, units: &[&str]) -> bool {
        let is_due = |due: &[String]| due.iter().any(|unit| units.contains(&unit.as_str()));
        self.entries.iter().any(|entry| matches!(entry, Entry::Units { restart_due, .. } if is_due(restart_due)))
    }

    /// Notes that units run with all that was written, and writes the record.
    pub fn clear_restart_due(&mut self, host: &Host, units: &[&str]) -> Result<(), CommandError> {
        for entry in &mut self.entries {
            if let Entry::Units { restart_due, .. } = entry {
                restart_due.retain(|unit| !units.contains(&unit.as_str()));
            }
        }
        self.save(host)
    }

    /// Returns the entries, the first first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the SHA-256 of what setup wrote into this place; `None` if it wrote nothing there.
    #[must_use]
    pub fn written(&self, file: &Path) -> Option<&str> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::File { path, sha256 } | Entry::DropIn { path, sha256, .. } if path == file => Some(sha256.as_str()),
            _ => None,
        })
    }
}

impl Entry {
    fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder { path }, Self::Folder { path: other })
            | (Self::File { path, .. }, Self::File { path: other, .. })
            | (Self::DropIn { path, .. }, Self::DropIn { path: other, .. }) => path == other,
            (Self::User { name, .. }, Self::User { name: other, .. }) => name == other,
            (Self::Membership { user, group }, Self::Membership { user: other, group: other_group }) => {
                user == other && group == other_group
            }
            (Self::Units { .. }, Self::Units { .. }) => true,
            _ => false,
        }
    }

    /// Takes a newer entry about the same thing. What was enabled or started before is still ours.
    fn merge(&mut self, newer: Self) {
        match (self, newer) {
            (
                Self::Units { enabled, started, restart_due },
                Self::Units { enabled: also_enabled, started: also_started, restart_due: also_due },
            ) => {
                for (known, more) in [(enabled, also_enabled), (started, also_started), (restart_due, also_due)] {
                    known.extend(more);
                    known.sort();
                    known.dedup();
                }
            }
            (known, newer) => *known = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::{Entry, RECORD_FILE, Record};
    use crate::cli::arguments::SetupPrimary;
    use crate::cli::setup::host::Host;

    fn host() -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/sidegate")).unwrap();
        let host = Host::new(Some(folder.path())).unwrap();
        (folder, host)
    }

    fn file(name: &str, sha256: &str) -> Entry {
        Entry::File { path: Path::new("/etc").join(name), sha256: sha256.to_owned() }
    }

    #[test]
    fn it_is_on_disk_after_each_entry_and_gone_with_the_last() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let (_folder, host) = host();
        let mut record = Record::load(&host).unwrap();
        record.set_primary(SetupPrimary::Embedded);
        record.add(&host, file("a", "1")).unwrap();
        record.add(&host, file("a", "2")).unwrap();
        let units = |name: &str| Entry::Units { enabled: vec![name.to_owned()], started: Vec::new(), restart_due: Vec::new() };
        record.add(&host, units("b.service")).unwrap();
        record.add(&host, units("a.service")).unwrap();
        let both =
            Entry::Units { enabled: vec!["a.service".to_owned(), "b.service".to_owned()], started: Vec::new(), restart_due: Vec::new() };
        let loaded = Record::load(&host).unwrap();
        assert_eq!((loaded.entries(), loaded.written(Path::new("/etc/a"))), (&[file("a", "2"), both.clone()][..], Some("2")));
        let refused = loaded.require_same_primary(SetupPrimary::Gitlab).unwrap_err().to_string();
        assert!(refused.contains("--primary embedded, not gitlab") && refused.contains("--remove"), "{refused}");
        assert!(loaded.require_same_primary(SetupPrimary::Embedded).is_ok());
        record.remove(&host, &both).unwrap();
        record.remove(&host, &file("a", "")).unwrap();
        assert!(!host.path(Path::new(RECORD_FILE)).exists());
    }

    #[test]
    fn a_restart_and_a_reload_are_due_on_disk_until_they_are_done() {
        if !nix::unistd::Uid::effective().is_root() {
            return;
        }
        let (_folder, host) = host();
        let mut record = Record::load(&host).unwrap();
        record.set_restart_due(&host, &["a.service", "b.service"]).unwrap();
        let path = Path::new("/etc/drop-in");
        record.add(&host, Entry::DropIn { path: path.into(), sha256: "1".to_owned(), in_force: false, user: "git".to_owned() }).unwrap();
        let mut after_a_cut = Record::load(&host).unwrap();
        assert!(
            after_a_cut.is_restart_due(&["b.service"]) && !after_a_cut.is_restart_due(&["c.service"]) && !after_a_cut.is_in_force(path)
        );
        after_a_cut.clear_restart_due(&host, &["b.service"]).unwrap();
        after_a_cut.set_in_force(&host, path, true).unwrap();
        let done = Record::load(&host).unwrap();
        assert!(!done.is_restart_due(&["b.service"]) && done.is_restart_due(&["a.service"]) && done.is_in_force(path));
    }

    #[test]
    fn a_record_that_is_not_understood_is_refused_with_its_file() {
        let (_folder, host) = host();
        for text in
            ["", "{", "{\"form\":2,\"primary\":null,\"entries\":[]}", "{\"form\":1,\"primary\":null,\"entries\":[{\"made\":\"x\"}]}"]
        {
            fs::write(host.path(Path::new(RECORD_FILE)), text).unwrap();
            let error = Record::load(&host).unwrap_err().to_string();
            assert!(error.contains("setup.json: ") && error.contains("; restore it"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_from_its_text(path in "/[a-z/.]{0,20}", sha256 in "[0-9a-f]{64}", units in proptest::collection::vec("[a-z.]{1,9}", 0..3)) {
            for entry in [
                Entry::Folder { path: path.clone().into() },
                Entry::File { path: path.clone().into(), sha256: sha256.clone() },
                Entry::DropIn { path: path.clone().into(), sha256: sha256.clone(), in_force: units.is_empty(), user: path.clone() },
                Entry::User { name: "git".to_owned(), uid: units.first().map(|_| 970), home: path.clone().into(), files: [(path.clone().into(), sha256.clone())].into() },
                Entry::Membership { user: path.clone(), group: sha256.clone() },
                Entry::Units { enabled: units.clone(), started: units.clone(), restart_due: units.clone() },
            ] {
                let text = serde_json::to_string(&entry).unwrap();
                prop_assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
            }
        }
    }
}
