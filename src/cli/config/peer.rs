//! `[[peer]]`: who may ask what on the sidecar's socket. Users and groups stay names here; numbers are found at the start.

use serde::Deserialize;

use crate::cli::config::document::Fault;
use crate::net::scope::Scope;

/// One rule as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// A user by name.
    pub user: Option<String>,
    /// A group by name: its members, whether it is their primary group or not.
    pub group: Option<String>,
    /// A user by number.
    pub uid: Option<u32>,
    /// A group by number.
    pub gid: Option<u32>,
    /// What they may ask.
    pub scopes: Vec<Word>,
}

/// A scope by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are those of `net::scope`")]
pub enum Word {
    Keys,
    Shell,
    Metrics,
    Admin,
}

impl From<Word> for Scope {
    fn from(word: Word) -> Self {
        match word {
            Word::Keys => Self::Keys,
            Word::Shell => Self::Shell,
            Word::Metrics => Self::Metrics,
            Word::Admin => Self::Admin,
        }
    }
}

/// Whom a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub enum Named<'a> {
    User(&'a str),
    Group(&'a str),
    Uid(u32),
    Gid(u32),
}

impl Peer {
    /// The one that is named; `None` if none or several are, which [`check`] refuses.
    #[must_use]
    pub fn named(&self) -> Option<Named<'_>> {
        match (self.user.as_deref(), self.group.as_deref(), self.uid, self.gid) {
            (Some(user), None, None, None) if !user.is_empty() => Some(Named::User(user)),
            (None, Some(group), None, None) if !group.is_empty() => Some(Named::Group(group)),
            (None, None, Some(uid), None) => Some(Named::Uid(uid)),
            (None, None, None, Some(gid)) => Some(Named::Gid(gid)),
            _ => None,
        }
    }

    /// What they may ask.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        self.scopes.iter().copied().map(Scope::from).collect()
    }
}

/// Each rule names one, gives something, and no two rules name the same.
pub(super) fn check(peers: &[Peer]) -> Result<(), Fault> {
    for (index, peer) in peers.iter().enumerate() {
        let key = format!("peer.{index}");
        Fault::unless(peer.named().is_some(), &key, "names exactly one of `user`, `group`, `uid` and `gid`")?;
        Fault::unless(!peer.scopes.is_empty(), &format!("{key}.scopes"), "gives nothing; leave the whole [[peer]] out instead")?;
        let twice = peers.iter().take(index).any(|before| before.named() == peer.named());
        Fault::unless(!twice, &key, "names one that an earlier [[peer]] names; write their scopes in one")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Named, Peer, Word, check};
    use crate::net::scope::Scope;

    fn peer(text: &str) -> Result<Peer, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_rule_names_one_user_or_group_and_its_scopes() {
        let git = peer("user = \"git\"\nscopes = [\"keys\", \"shell\"]").unwrap();
        assert_eq!((git.named(), git.scopes()), (Some(Named::User("git")), vec![Scope::Keys, Scope::Shell]));
        let group = peer("group = \"monitors\"\nscopes = [\"metrics\"]").unwrap();
        assert_eq!(group.named(), Some(Named::Group("monitors")));
        assert_eq!(check(&[git, group]), Ok(()));
    }

    #[test]
    fn a_rule_that_names_none_or_two_or_gives_nothing_is_refused() {
        let complaint = |peers: &[Peer]| check(peers).unwrap_err().key;
        let uid = Peer { uid: Some(998), scopes: vec![Word::Keys], ..Peer::default() };
        assert_eq!(complaint(&[Peer { scopes: vec![Word::Keys], ..Peer::default() }]), "peer.0");
        assert_eq!(complaint(&[uid.clone(), Peer { gid: Some(1), ..uid.clone() }]), "peer.1");
        assert_eq!(complaint(&[Peer { user: Some(String::new()), uid: None, ..uid.clone() }]), "peer.0");
        assert_eq!(complaint(&[Peer { scopes: vec![], ..uid.clone() }]), "peer.0.scopes");
        assert_eq!(complaint(&[uid.clone(), uid]), "peer.1");
    }

    #[test]
    fn an_unknown_scope_or_field_is_refused() {
        assert!(peer("uid = 1\nscopes = [\"root\"]").unwrap_err().message().contains("unknown variant `root`"));
        assert!(peer("uid = 1\nname = \"x\"\nscopes = []").unwrap_err().message().contains("unknown field `name`"));
    }
}
