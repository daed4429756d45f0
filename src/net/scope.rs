//! What a process at the other end of a Unix socket may ask, by its kernel credentials.

use crate::net::peer::Peer;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `authorized_keys` and `authorized_certs` without a token.
    Keys,
    /// The internal API, with a token.
    Shell,
    /// The metrics.
    Metrics,
    /// The operator's commands.
    Admin,
}

/// One rule: who has which scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub who: Who,
    /// What they may ask.
    pub scopes: Vec<Scope>,
}

/// Whom a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user by number.
    User(u32),
    /// Members of a group, primary or supplementary.
    Group(u32),
}

/// The rules of one socket.
pub struct Scopes {
    _inner: (),
}

impl Scopes {
    /// Root and `own_uid` have every scope, always. Without rules everybody who can open the socket has `keys` and `shell`; with rules
    /// everybody else has none.
    #[must_use]
    pub fn new(_own_uid: u32, _rules: Vec<Rule>) -> Self {
        todo!()
    }

    /// Whether this peer has this scope. A peer over TCP has `shell` only. Supplementary groups are looked up off the hot path and kept.
    #[must_use]
    pub fn allow(&self, _peer: &Peer, _scope: Scope) -> bool {
        todo!()
    }
}
