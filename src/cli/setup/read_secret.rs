//! Secrets that exist, read once while the answers are collected: whatever is put in their place later, as while a person reads the plan,
//! is not what setup copies.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::owned_file::{self, FoundFile};
use crate::cli::setup::place::{self, LastLink};

/// A secret, and the file that it was read from.
#[derive(Clone)]
pub struct ReadSecret {
    /// The file.
    pub file: PathBuf,
    /// What was in it.
    pub content: Vec<u8>,
}

impl fmt::Debug for ReadSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReadSecret").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ReadSecret {
    /// Reads a file that the operator names.
    pub fn named(file: &Path) -> Result<Self, CommandError> {
        let content = owned_file::read_named(file)?.content;
        if content.trim_ascii().is_empty() {
            return Err(CommandError(format!("{}: it is empty, and a secret was expected; name the right file", file.display())));
        }
        Ok(Self { file: file.to_owned(), content })
    }

    /// Reads the secret that a gitlab-shell has already, as the user who logs in may read it; `None` if it has none. The folder may be that
    /// user's, who must not make root read for them what they cannot read themselves.
    pub fn beside_shell(host: &Host, file: &Path, user: &str) -> Result<Option<Self>, CommandError> {
        let path = host.path(file);
        let name_it = "name its file with --shell-secret-file";
        let refused = |what: &str| CommandError(format!("{}: {what}; {name_it}", path.display()));
        let Some(place) = place::find(&path, LastLink::Kept)? else { return Ok(None) };
        let found = if place.is_link() {
            owned_file::read_named(&path).map_err(|error| refused(&format!("this is a symlink, which is not followed here: {error}")))?
        } else {
            let Some(found) = owned_file::read(&path)? else { return Ok(None) };
            found
        };
        let Some(owner) = host.user(user)? else {
            return Err(refused(&format!("it is there, and the user {user}, who has to read it, is not")));
        };
        if !is_theirs(&found, owner.uid, &host.groups_of(user)?) {
            let what =
                format!("{user}, who logs in, may not read it, or another than root and {user} owns it; correct its owner and mode, or");
            return Err(CommandError(format!("{}: {what} {name_it}", path.display())));
        }
        if found.content.trim_ascii().is_empty() {
            return Err(refused("it is empty, and a secret was expected; remove it, or write one"));
        }
        Ok(Some(Self { file: path, content: found.content }))
    }
}

fn is_theirs(found: &FoundFile, uid: u32, groups: &[u32]) -> bool {
    [0, uid].contains(&found.owner.uid) && found.is_readable_by(uid, groups)
}
