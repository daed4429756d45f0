//! A file from which answers are kept before the primary has given them: a directory file's keys and users, or the `authorized_keys` that
//! gitlab-shell manages. Every line is taken, a duplicate, left out as no key or user, or refused with the reason. Pure.
//!
//! Keys and users are held until the file's end, because a key may stand before its owner; they take no more than the answers that they
//! become may take.

use std::collections::HashMap;

use serde::Serialize;

use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::record::{Key, Record, User};
use crate::model::text::Text;
use crate::sidecar::config::KeptBounds;
use crate::wire::directory::record_lines::{DirectoryRecord, MAX_RECORD_LINE_BYTES};
use crate::wire::managed_keys::parse_managed_line;

/// How many lines are named that were not taken; all are counted.
pub const MAX_NAMED_LINES: usize = 1000;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmFormat {
    /// A directory file in JSON Lines.
    Directory,
    /// gitlab-shell's `authorized_keys`.
    AuthorizedKeys,
}

/// What became of the lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounts {
    /// All lines.
    pub lines: usize,
    /// Keys and users that are taken.
    pub taken: usize,
    /// The same again.
    pub duplicates: usize,
    /// Blank lines, comments, and records of other kinds.
    pub left_out: usize,
    /// Not understood, in contradiction to another line, or without room.
    pub refused: usize,
}

/// A line that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedLine {
    /// The line's number, from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// A key of a file: a record, or what an `authorized_keys` tells of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmKey {
    /// All of it.
    Record(Key),
    /// Its id and the key itself.
    Managed(Id, PublicKey),
}

/// A file as far as it has been read.
pub struct WarmFile {
    bounds: KeptBounds,
    /// What it is; `None` before the first line that says so.
    pub format: Option<WarmFormat>,
    /// The keys that were taken.
    pub keys: Vec<WarmKey>,
    /// The users that were taken.
    pub users: HashMap<Id, User>,
    /// The host of the instance, from the directory file's settings.
    pub host: Option<Text>,
    /// What became of its lines.
    pub counts: LineCounts,
    /// The first lines that were not taken.
    pub named: Vec<NamedLine>,
    by_fingerprint: HashMap<Fingerprint, (Id, usize)>,
    key_lines: HashMap<Id, usize>,
    user_lines: HashMap<Id, usize>,
    bytes: usize,
}

impl WarmFile {
    /// Begins a file whose keys and users become at most so many answers.
    #[must_use]
    pub fn new(bounds: KeptBounds) -> Self {
        Self {
            bounds,
            format: None,
            keys: Vec::new(),
            users: HashMap::new(),
            host: None,
            counts: LineCounts::default(),
            named: Vec::new(),
            by_fingerprint: HashMap::new(),
            key_lines: HashMap::new(),
            user_lines: HashMap::new(),
            bytes: 0,
        }
    }

    /// Takes the next line, without its line feed. Of one that is too long its beginning is enough.
    pub fn take_line(&mut self, line: &[u8]) {
        self.counts.lines += 1;
        if line.len() > MAX_RECORD_LINE_BYTES {
            return self.refuse(format!("a line is at most {MAX_RECORD_LINE_BYTES} bytes"));
        }
        let Ok(text) = std::str::from_utf8(line) else { return self.refuse("it is not UTF-8".to_owned()) };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            self.counts.left_out += 1;
            return;
        }
        let format = if text.starts_with('{') { WarmFormat::Directory } else { WarmFormat::AuthorizedKeys };
        match *self.format.get_or_insert(format) {
            WarmFormat::Directory => self.take_record(text),
            WarmFormat::AuthorizedKeys => match parse_managed_line(text) {
                Ok(Some(found)) => self.take_key(found.id, WarmKey::Managed(found.id, found.key), text.len()),
                Ok(None) => self.counts.left_out += 1,
                Err(reason) => self.refuse(reason.to_string()),
            },
        }
    }

    fn take_record(&mut self, text: &str) {
        match DirectoryRecord::parse(text) {
            Ok(DirectoryRecord::Published(Record::Key(key))) if key.usage == KeyUsage::Signing => self.counts.left_out += 1,
            Ok(DirectoryRecord::Published(Record::Key(key))) => self.take_key(key.id, WarmKey::Record(key), text.len()),
            Ok(DirectoryRecord::Published(Record::User(user))) => self.take_user(user, text.len()),
            Ok(DirectoryRecord::Published(Record::Settings(settings))) => {
                self.host = Some(settings.host);
                self.counts.left_out += 1;
            }
            Ok(_) => self.counts.left_out += 1,
            Err(reason) => self.refuse(reason.to_string()),
        }
    }

    fn take_key(&mut self, id: Id, key: WarmKey, bytes: usize) {
        let fingerprint = key.public_key().fingerprint();
        match (self.by_fingerprint.get(&fingerprint).copied(), self.key_lines.get(&id).copied()) {
            (Some((known, line)), _) if known == id => self.note_duplicate(line),
            (Some((known, line)), _) => self.refuse(format!("line {line} has this key as key {known}")),
            (None, Some(line)) => self.refuse(format!("line {line} has another key as key {id}")),
            (None, None) if !self.has_room_for(bytes) => self.refuse_for_room(),
            (None, None) => {
                let line = self.counts.lines;
                self.by_fingerprint.insert(fingerprint, (id, line));
                self.key_lines.insert(id, line);
                self.keys.push(key);
                self.note_taken(bytes);
            }
        }
    }

    fn take_user(&mut self, user: User, bytes: usize) {
        match self.user_lines.get(&user.id).copied() {
            Some(line) if self.users.get(&user.id) == Some(&user) => self.note_duplicate(line),
            Some(line) => self.refuse(format!("line {line} has user {} with other fields", user.id)),
            None if !self.has_room_for(bytes) => self.refuse_for_room(),
            None => {
                self.user_lines.insert(user.id, self.counts.lines);
                self.users.insert(user.id, user);
                self.note_taken(bytes);
            }
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.counts.taken < self.bounds.answers && self.bytes.saturating_add(bytes) <= self.bounds.bytes
    }

    fn refuse_for_room(&mut self) {
        self.refuse("no room: `store.kept_answers` or `store.kept_bytes` is reached".to_owned());
    }

    const fn note_taken(&mut self, bytes: usize) {
        self.counts.taken += 1;
        self.bytes += bytes;
    }

    fn note_duplicate(&mut self, line: usize) {
        self.counts.duplicates += 1;
        self.name_line(format!("duplicate of line {line}"));
    }

    fn refuse(&mut self, reason: String) {
        self.counts.refused += 1;
        self.name_line(format!("refused: {reason}"));
    }

    fn name_line(&mut self, reason: String) {
        if self.named.len() < MAX_NAMED_LINES {
            self.named.push(NamedLine { line: self.counts.lines, reason });
        }
    }
}

impl WarmKey {
    /// Returns the key itself.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        match self {
            Self::Record(key) => &key.key,
            Self::Managed(_, key) => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LineCounts, WarmFile, WarmFormat};
    use crate::model::memory_directory::ed25519_public_key;
    use crate::sidecar::config::KeptBounds;

    const ROOMY: KeptBounds = KeptBounds { answers: 1000, bytes: usize::MAX };

    fn managed(id: u64, key: u64) -> String {
        format!("command=\"/x/bin/gitlab-shell key-{id}\",no-port-forwarding,no-pty {}", ed25519_public_key(key))
    }

    fn record(id: u64, key: u64, more: &str) -> String {
        let key = ed25519_public_key(key);
        format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2020-01-01T00:00:00Z"{more}}}"#)
    }

    fn read(bounds: KeptBounds, lines: &[String]) -> WarmFile {
        let mut file = WarmFile::new(bounds);
        lines.iter().for_each(|line| file.take_line(line.as_bytes()));
        file
    }

    fn reasons(file: &WarmFile) -> Vec<(usize, &str)> {
        file.named.iter().map(|named| (named.line, named.reason.as_str())).collect()
    }

    #[test]
    fn every_line_of_authorized_keys_is_accounted_for() {
        let lines = [
            managed(1, 1),
            "##########".to_owned(),
            managed(2, 2),
            managed(1, 1),
            managed(3, 2),
            managed(2, 3),
            ed25519_public_key(4),
            "{}".to_owned(),
            managed(4, 4),
        ];
        let file = read(ROOMY, &lines);
        assert_eq!(file.format, Some(WarmFormat::AuthorizedKeys));
        assert_eq!(file.counts, LineCounts { lines: 9, taken: 3, duplicates: 1, left_out: 1, refused: 4 });
        let [duplicate, other_id, other_key, no_command, other_format] = reasons(&file)[..] else { panic!("{:?}", file.named) };
        assert_eq!((duplicate, other_id), ((4, "duplicate of line 1"), (5, "refused: line 3 has this key as key 2")));
        assert_eq!(other_key, (6, "refused: line 3 has another key as key 2"));
        assert!(no_command.1.contains("gitlab-shell did not write it") && other_format.0 == 8);
    }

    #[test]
    fn of_a_directory_file_keys_and_users_are_taken() {
        let user = |name: &str| format!(r#"{{"kind":"user","id":7,"username":"zoe","name":"{name}"}}"#);
        let lines = [
            record(1, 1, r#","user_id":7"#),
            r#"{"kind":"settings","host":"git.example"}"#.to_owned(),
            user("Zoe"),
            user("Zoe"),
            user("Other"),
            record(2, 2, r#","user_id":7,"usage":"signing""#),
            r#"{"kind":"group","id":1}"#.to_owned(),
        ];
        let file = read(ROOMY, &lines);
        assert_eq!((file.format, file.keys.len(), file.users.len()), (Some(WarmFormat::Directory), 1, 1));
        assert_eq!(file.host.as_deref(), Some("git.example"));
        assert_eq!(file.counts, LineCounts { lines: 7, taken: 2, duplicates: 1, left_out: 2, refused: 2 }, "{:?}", file.named);
    }

    #[test]
    fn what_has_no_room_is_refused() {
        for bounds in [KeptBounds { answers: 2, ..ROOMY }, KeptBounds { bytes: 2 * managed(1, 1).len(), ..ROOMY }] {
            let file = read(bounds, &[managed(1, 1), managed(2, 2), managed(3, 3)]);
            assert_eq!((file.counts.taken, file.counts.refused), (2, 1));
            assert!(reasons(&file)[0].1.contains("no room"));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_lines_are_each_is_counted_once(
            lines in prop::collection::vec(prop_oneof![
                (1..4_u64, 1..4_u64).prop_map(|(id, key)| managed(id, key)),
                (1..4_u64, 1..4_u64).prop_map(|(id, key)| record(id, key, "")),
                "\\PC{0,40}",
            ], 0..20),
        ) {
            let file = read(ROOMY, &lines);
            let LineCounts { lines: all, taken, duplicates, left_out, refused } = file.counts;
            prop_assert_eq!((all, taken + duplicates + left_out + refused), (lines.len(), lines.len()));
            prop_assert_eq!((file.keys.len() + file.users.len(), file.named.len()), (taken, duplicates + refused));
        }
    }
}
