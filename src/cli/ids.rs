//! Looks names up in the system: the numbers of users and groups of the configuration, and the name of this host.

use nix::unistd::{Group, User, gethostname};

use crate::api::peer_policy::{PeerMatcher, PeerPolicy, PeerRule, PeerScope};
use crate::cli::config::peer::{PeerConfig, PeerIdentity, ScopeName};
use crate::cli::exit_status::CommandError;

/// Returns the name of this host.
pub fn hostname() -> Result<String, CommandError> {
    let name = gethostname()
        .map_err(|error| CommandError::with_context("the host name cannot be read; say `host` in the configuration", error))?;
    name.into_string().map_err(|_| CommandError("the host name is not UTF-8; say `host` in the configuration".to_owned()))
}

/// Returns the number of a group.
pub fn group_id(name: &str) -> Result<u32, CommandError> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(CommandError(format!("the group `{name}` of the configuration does not exist on this host"))),
        Err(error) => Err(CommandError::with_context(&format!("the group `{name}`"), error)),
    }
}

/// Returns who may ask what on the socket of a daemon that runs as `own_uid`, with the numbers of the users and groups that are named.
pub fn resolve_peer_policy(own_uid: u32, default_scopes: &[ScopeName], peers: &[PeerConfig]) -> Result<PeerPolicy, CommandError> {
    let rules = peers.iter().map(resolve_peer_rule).collect::<Result<Vec<_>, _>>()?;
    Ok(PeerPolicy::new(own_uid, default_scopes.iter().copied().map(PeerScope::from).collect(), rules))
}

fn resolve_peer_rule(peer: &PeerConfig) -> Result<PeerRule, CommandError> {
    let matcher = match peer.identity() {
        Some(PeerIdentity::User(name)) => PeerMatcher::User(user_id(name)?),
        Some(PeerIdentity::Group(name)) => PeerMatcher::Group(group_id(name)?),
        Some(PeerIdentity::Uid(uid)) => PeerMatcher::User(uid),
        Some(PeerIdentity::Gid(gid)) => PeerMatcher::Group(gid),
        None => return Err(CommandError("a [[peer]] must name exactly one of `user`, `group`, `uid` and `gid`".to_owned())),
    };
    Ok(PeerRule { matcher, scopes: peer.scopes() })
}

fn user_id(name: &str) -> Result<u32, CommandError> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(CommandError(format!("the user `{name}` of a [[peer]] does not exist on this host"))),
        Err(error) => Err(CommandError::with_context(&format!("the user `{name}`"), error)),
    }
}
