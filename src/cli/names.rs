//! Names of the system into numbers: users and groups of the configuration, and what this host is called.

use nix::unistd::{Group, Uid, User, gethostname};

use crate::cli::config::peer::{Named, Peer};
use crate::cli::outcome::Failure;
use crate::net::scope::{Rule, Scopes, Who};

/// What this host calls itself.
pub fn host() -> Result<String, Failure> {
    let name =
        gethostname().map_err(|error| Failure::while_doing("the host name cannot be read; say `host` in the configuration", error))?;
    name.into_string().map_err(|_| Failure("the host name is not UTF-8; say `host` in the configuration".to_owned()))
}

/// A group by its name.
pub fn group(name: &str) -> Result<u32, Failure> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Failure(format!("the group `{name}` of the configuration does not exist on this host"))),
        Err(error) => Err(Failure::while_doing(&format!("the group `{name}`"), error)),
    }
}

/// Who may ask what.
pub fn scopes(peers: &[Peer]) -> Result<Scopes, Failure> {
    let rules = peers.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    Ok(Scopes::new(Uid::effective().as_raw(), rules))
}

fn rule(peer: &Peer) -> Result<Rule, Failure> {
    let who = match peer.named() {
        Some(Named::User(name)) => Who::User(user(name)?),
        Some(Named::Group(name)) => Who::Group(group(name)?),
        Some(Named::Uid(uid)) => Who::User(uid),
        Some(Named::Gid(gid)) => Who::Group(gid),
        None => return Err(Failure("a [[peer]] names exactly one of `user`, `group`, `uid` and `gid`".to_owned())),
    };
    Ok(Rule { who, scopes: peer.scopes() })
}

fn user(name: &str) -> Result<u32, Failure> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(Failure(format!("the user `{name}` of a [[peer]] does not exist on this host"))),
        Err(error) => Err(Failure::while_doing(&format!("the user `{name}`"), error)),
    }
}
