//! `[[peer]]`: who may ask more on the sidecar's socket than everybody who can open it. Users and groups stay names here; the daemon looks their numbers up at its
//! start.

use serde::Deserialize;

use crate::api::peer_policy::PeerScope;
use crate::cli::config::document::InvalidSetting;

/// One rule, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// A user by name.
    pub user: Option<String>,
    /// A group by name: its members, whether it is their primary group or not.
    pub group: Option<String>,
    /// A user by number.
    pub uid: Option<u32>,
    /// A group by number.
    pub gid: Option<u32>,
    /// What the peer may ask.
    pub scopes: Vec<ScopeName>,
}

/// The name of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeName {
    Keys,
    Shell,
    Metrics,
    Admin,
}

impl From<ScopeName> for PeerScope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Keys => Self::Keys,
            ScopeName::Shell => Self::Shell,
            ScopeName::Metrics => Self::Metrics,
            ScopeName::Admin => Self::Admin,
        }
    }
}

/// The user or group that a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIdentity<'a> {
    User(&'a str),
    Group(&'a str),
    Uid(u32),
    Gid(u32),
}

impl PeerConfig {
    /// Returns the user or group that the rule names; `None` if it names none or several, which [`validate`] refuses.
    pub fn identity(&self) -> Option<PeerIdentity<'_>> {
        match (self.user.as_deref(), self.group.as_deref(), self.uid, self.gid) {
            (Some(user), None, None, None) if !user.is_empty() => Some(PeerIdentity::User(user)),
            (None, Some(group), None, None) if !group.is_empty() => Some(PeerIdentity::Group(group)),
            (None, None, Some(uid), None) => Some(PeerIdentity::Uid(uid)),
            (None, None, None, Some(gid)) => Some(PeerIdentity::Gid(gid)),
            _ => None,
        }
    }

    /// Returns what the peer may ask.
    pub fn scopes(&self) -> Vec<PeerScope> {
        self.scopes.iter().copied().map(PeerScope::from).collect()
    }
}

/// Refuses a rule that does not name exactly one peer, that grants nothing, or that names the peer of an earlier rule.
pub fn validate(peers: &[PeerConfig]) -> Result<(), InvalidSetting> {
    for (index, peer) in peers.iter().enumerate() {
        let key = format!("peer.{index}");
        InvalidSetting::ensure(peer.identity().is_some(), &key, "must name exactly one of `user`, `group`, `uid` and `gid`")?;
        InvalidSetting::ensure(!peer.scopes.is_empty(), &format!("{key}.scopes"), "grants nothing; leave the whole [[peer]] out instead")?;
        let is_duplicate = peers.iter().take(index).any(|before| before.identity() == peer.identity());
        InvalidSetting::ensure(!is_duplicate, &key, "names the same peer as an earlier [[peer]]; write their scopes in one")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PeerConfig, PeerIdentity, ScopeName, validate};
    use crate::api::peer_policy::PeerScope;

    fn peer(text: &str) -> Result<PeerConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_rule_names_one_user_or_group_and_its_scopes() {
        let git = peer("user = \"git\"\nscopes = [\"keys\", \"shell\"]").unwrap();
        assert_eq!((git.identity(), git.scopes()), (Some(PeerIdentity::User("git")), vec![PeerScope::Keys, PeerScope::Shell]));
        let group = peer("group = \"monitors\"\nscopes = [\"metrics\"]").unwrap();
        assert_eq!(group.identity(), Some(PeerIdentity::Group("monitors")));
        assert_eq!(validate(&[git, group]), Ok(()));
    }

    #[test]
    fn a_rule_that_names_none_or_two_or_gives_nothing_is_refused() {
        let invalid_key = |peers: &[PeerConfig]| validate(peers).unwrap_err().key;
        let uid = PeerConfig { uid: Some(998), scopes: vec![ScopeName::Keys], ..PeerConfig::default() };
        assert_eq!(invalid_key(&[PeerConfig { scopes: vec![ScopeName::Keys], ..PeerConfig::default() }]), "peer.0");
        assert_eq!(invalid_key(&[uid.clone(), PeerConfig { gid: Some(1), ..uid.clone() }]), "peer.1");
        assert_eq!(invalid_key(&[PeerConfig { user: Some(String::new()), uid: None, ..uid.clone() }]), "peer.0");
        assert_eq!(invalid_key(&[PeerConfig { scopes: vec![], ..uid.clone() }]), "peer.0.scopes");
        assert_eq!(invalid_key(&[uid.clone(), uid]), "peer.1");
    }

    #[test]
    fn an_unknown_scope_or_field_is_refused() {
        assert!(peer("uid = 1\nscopes = [\"root\"]").unwrap_err().message().contains("unknown variant `root`"));
        assert!(peer("uid = 1\nname = \"x\"\nscopes = []").unwrap_err().message().contains("unknown field `name`"));
    }
}
