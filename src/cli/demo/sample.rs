//! The sample directory: two users, a group and a project; and a key that is in no directory.

use serde_json::json;

use crate::cli::demo::folder::DemoFolder;
use crate::cli::demo::sshd::{DemoUser, generate_key};
use crate::cli::exit_status::CommandError;

/// Public keys for machines without `ssh-keygen`; nobody has their private keys.
const FALLBACK_KEYS: [&str; 3] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBotj+L+AH47KiE9JifVshHnJXOAdwICOZm0XDWLTcMy",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINwSfplS8dUe05nXOvJdYpI3P+hzRI7CzEwYZXxtZWZT",
];

/// The users of the demonstration.
pub struct SampleUsers {
    /// A developer.
    pub zoe: DemoUser,
    /// A reporter, whose key is revoked later.
    pub ben: DemoUser,
    /// Somebody whose key is not in the directory.
    pub stranger: DemoUser,
    /// gitlab-shell's secret, which callers show.
    pub shell_secret: String,
}

/// Generates their keys.
pub fn create_sample_users(folder: &DemoFolder) -> Result<SampleUsers, CommandError> {
    let create_user = |name: &str, fallback: &str| {
        let path = folder.path().join(name);
        let (line, private_key) = match generate_key(&path) {
            Ok(line) => (line, Some(path)),
            Err(_) => (fallback.to_owned(), None),
        };
        DemoUser { blob: line.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned(), private_key }
    };
    Ok(SampleUsers {
        zoe: create_user("zoe", FALLBACK_KEYS[0]),
        ben: create_user("ben", FALLBACK_KEYS[1]),
        stranger: create_user("stranger", FALLBACK_KEYS[2]),
        shell_secret: folder.shell_secret()?,
    })
}

impl SampleUsers {
    /// Returns the directory file with their records.
    pub fn directory_file(&self) -> String {
        let key = |id: u32, blob: &str, title: &str| json!({"kind": "key", "id": id, "user_id": id, "title": title, "key": format!("ssh-ed25519 {blob}"), "created_at": "2026-01-01T00:00:00Z"});
        let records = [
            json!({"kind": "settings", "host": "git.example.com", "web_url": "https://git.example.com"}),
            json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock"}),
            json!({"kind": "user", "id": 1, "username": "zoe", "name": "Zoe"}),
            json!({"kind": "user", "id": 2, "username": "ben", "name": "Ben"}),
            json!({"kind": "namespace", "id": 10, "type": "group", "path": "tools", "name": "tools"}),
            json!({"kind": "project", "id": 20, "namespace_id": 10, "path": "tools/gate", "name": "gate", "relative_path": "tools/gate.git"}),
            json!({"kind": "member", "namespace_id": 10, "user_id": 1, "access_level": 30}),
            json!({"kind": "member", "namespace_id": 10, "user_id": 2, "access_level": 20}),
            key(1, &self.zoe.blob, "zoe's laptop"),
            key(2, &self.ben.blob, "ben's laptop"),
        ];
        records.iter().map(|record| format!("{record}\n")).collect()
    }
}
