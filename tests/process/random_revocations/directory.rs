//! The directory that is revoked from: people with one key and one membership each. The first of them keep all they have.

use std::collections::BTreeSet;

use serde_json::json;

use crate::random_revocations::answer::Question;
use crate::support::generated_directory::generated_key_line;
use crate::support::random::Random;

/// How many people keep what they have.
pub const UNTOUCHED: u64 = 60;
const PROJECTS: u64 = 10;

/// What is taken away from somebody, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `admin revoke-key`.
    Key,
    /// `admin block-user`.
    Block,
    /// `admin apply --prune` of a file without the key.
    KeyByApply,
    /// `admin apply --prune` of a file without the membership.
    MembershipByApply,
}

impl Removal {
    /// Returns whether it turns a yes to this question into a no. A blocked user's key is still known: `allowed` refuses it.
    pub fn affects(self, question: Question) -> bool {
        match self {
            Self::Key | Self::KeyByApply => true,
            Self::Block | Self::MembershipByApply => question != Question::Key,
        }
    }
}

/// Everybody, and what is to be taken from whom.
pub struct People {
    removals: Vec<Removal>,
}

impl People {
    /// So many people who lose something, each drawn.
    pub fn draw(count: u64, random: &mut Random) -> Self {
        let draw = |_| match random.below(8) {
            0..3 => Removal::Key,
            3..6 => Removal::Block,
            6 => Removal::KeyByApply,
            _ => Removal::MembershipByApply,
        };
        Self { removals: (0..count).map(draw).collect() }
    }

    /// The ids of those who lose something.
    pub fn losers(&self) -> std::ops::RangeInclusive<u64> {
        UNTOUCHED + 1..=UNTOUCHED + self.removals.len() as u64
    }

    /// What is to be taken from somebody; `None` if nothing is.
    pub fn removal(&self, id: u64) -> Option<Removal> {
        let index = id.checked_sub(UNTOUCHED + 1)?;
        self.removals.get(usize::try_from(index).unwrap()).copied()
    }

    /// The directory file in which all that these people lose is gone.
    pub fn file(&self, gone: &BTreeSet<u64>) -> String {
        let mut text = String::new();
        let mut put = |record: serde_json::Value| text.push_str(&format!("{record}\n"));
        put(json!({"kind": "settings", "operations_per_minute": 0}));
        put(json!({"kind": "storage", "name": "default", "address": "unix:/g"}));
        put(json!({"kind": "namespace", "id": 1, "type": "group", "path": "root", "name": "root"}));
        for id in 1..=PROJECTS {
            let path = format!("root/p{id}");
            put(
                json!({"kind": "project", "id": id, "namespace_id": 1, "path": path, "name": path, "relative_path": format!("{path}.git")}),
            );
        }
        let removal = |id| self.removal(id).filter(|_| gone.contains(&id));
        for id in 1..=*self.losers().end() {
            let state = if removal(id) == Some(Removal::Block) { "blocked" } else { "active" };
            put(json!({"kind": "user", "id": id, "username": username(id), "name": "Somebody", "state": state}));
            if removal(id) != Some(Removal::MembershipByApply) {
                put(json!({"kind": "member", "project_id": project(id), "user_id": id, "access_level": 30}));
            }
        }
        let keys = (1..=*self.losers().end()).filter(|id| !matches!(removal(*id), Some(Removal::Key | Removal::KeyByApply)));
        text + &keys.map(|id| generated_key_line(id, id)).collect::<String>()
    }
}

/// The name of somebody.
pub fn username(id: u64) -> String {
    format!("person-{id}")
}

/// The project that somebody is a member of.
pub fn project(id: u64) -> u64 {
    id % PROJECTS + 1
}
