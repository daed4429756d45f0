//! Every key of a configuration with what its change needs, and the comparison of two configurations by it.

use crate::cli::config::peer::{PeerConfig, PeerIdentity};

/// What a changed key needs to be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadClass {
    /// A reload.
    Live,
    /// A restart.
    Restart,
    /// A restart: it says which primary, mirror or GitLab is asked.
    Upstream,
    /// A reload; where whom it is shown to changes too, the restart that this needs. Until then the one before goes on to be shown.
    OfUpstream,
}

/// One key.
pub struct Setting<C: 'static> {
    /// With its sections, as `freshness.keys.ttl`. `peer` stands for all keys of its sections.
    pub key: &'static str,
    pub class: ReloadClass,
    /// Returns its value, for comparison and for the log. No secret is a value: a configuration names only files.
    pub value: fn(&C) -> String,
}

/// Builds a [`Setting`]: `setting!(Live, log.level)`, or `setting!(Live, "key", |config| value)` where its field has another name.
macro_rules! setting {
    ($class:ident, $first:ident $(. $rest:ident)*) => {
        $crate::cli::reload::setting::Setting {
            key: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            class: $crate::cli::reload::setting::ReloadClass::$class,
            value: |config| $crate::cli::reload::setting::value_text(&config.$first $(. $rest)*),
        }
    };
    ($class:ident, $key:literal, |$config:ident| $value:expr) => {
        $crate::cli::reload::setting::Setting {
            key: $key,
            class: $crate::cli::reload::setting::ReloadClass::$class,
            value: |$config| $crate::cli::reload::setting::value_text(&$value),
        }
    };
}
pub(in crate::cli) use setting;

/// A key whose value is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    pub key: &'static str,
    pub from: String,
    pub to: String,
}

/// What has changed between two configurations. Each key is in exactly one list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// In force by the reload.
    pub applied: Vec<ChangedKey>,
    /// In force after a restart only.
    pub needs_restart: Vec<ChangedKey>,
    pub unchanged: Vec<&'static str>,
    /// Whether another primary, mirror or GitLab is named. What is shown to the one that is still asked must stay, then.
    pub moves_upstream: bool,
}

impl Comparison {
    /// Returns whether this key has another value and the reload puts it in force.
    #[must_use]
    pub fn applies(&self, key: &str) -> bool {
        self.applied.iter().any(|changed| changed.key == key)
    }
}

/// Compares the configuration that is read now with the one that the daemon `started` with, for what needs a restart, and with the `last` one
/// that was reloaded, for what does not.
pub fn compare<C>(settings: &[Setting<C>], started: &C, last: &C, next: &C) -> Comparison {
    let differs = |setting: &Setting<C>, from: &C| {
        let (from, to) = ((setting.value)(from), (setting.value)(next));
        (from != to).then_some(ChangedKey { key: setting.key, from, to })
    };
    let is_moved = |setting: &Setting<C>| setting.class == ReloadClass::Upstream && differs(setting, started).is_some();
    let mut found = Comparison { moves_upstream: settings.iter().any(is_moved), ..Comparison::default() };
    for setting in settings {
        let (from, list) = match setting.class {
            ReloadClass::Live => (last, &mut found.applied),
            ReloadClass::OfUpstream if !found.moves_upstream => (last, &mut found.applied),
            ReloadClass::OfUpstream => (last, &mut found.needs_restart),
            ReloadClass::Restart | ReloadClass::Upstream => (started, &mut found.needs_restart),
        };
        match differs(setting, from) {
            Some(changed) => list.push(changed),
            None => found.unchanged.push(setting.key),
        }
    }
    found
}

/// Returns a value as the log says it.
pub fn value_text(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let inner = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')')).map(str::to_owned);
    if text == "None" { "not set".to_owned() } else { inner.unwrap_or(text) }
}

/// Returns rules as the log says them: `user git: keys, shell; gid 4: metrics`.
pub fn peers_text(peers: &[PeerConfig]) -> String {
    let name = |peer: &PeerConfig| match peer.identity() {
        Some(PeerIdentity::User(user)) => format!("user {user}"),
        Some(PeerIdentity::Group(group)) => format!("group {group}"),
        Some(PeerIdentity::Uid(uid)) => format!("uid {uid}"),
        Some(PeerIdentity::Gid(gid)) => format!("gid {gid}"),
        None => "nobody".to_owned(),
    };
    let scopes = |peer: &PeerConfig| peer.scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect::<Vec<_>>().join(", ");
    let rules: Vec<String> = peers.iter().map(|peer| format!("{}: {}", name(peer), scopes(peer))).collect();
    if rules.is_empty() { "no rules".to_owned() } else { rules.join("; ") }
}
