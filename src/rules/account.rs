//! Whether an account may use Git at all. (server.md 3.1: 3, and 3.2)

use crate::model::level::UserState;
use crate::model::record::{Settings, User};
use crate::model::time::Time;
use crate::model::verdict::Actor;
use crate::rules::case::Case;
use crate::rules::refusal::{Check, Reason};

/// 3: the person behind the actor may use Git. A deploy key's creator does not matter.
pub fn check(case: &Case) -> Check {
    match &case.actor {
        Actor::User(user, _) => refused(user, &case.settings, case.now).map_or(Ok(()), |reason| Err(reason.into())),
        Actor::Nobody | Actor::Orphan(_) | Actor::DeployKey(..) => Ok(()),
    }
}

/// Why this account may not use Git; the first that is true is said. `None`: it may.
#[must_use]
pub fn refused(user: &User, settings: &Settings, now: Time) -> Option<Reason> {
    let url = || settings.web_url.to_string();
    match user.state {
        UserState::Internal if !user.bot => return Some(Reason::UserInternal),
        UserState::PendingApproval => return Some(Reason::UserPendingApproval),
        _ => {}
    }
    if settings.terms_required && !user.terms_accepted && !user.bot {
        return Some(Reason::TermsNotAccepted { username: user.username.to_string(), url: url() });
    }
    match user.state {
        UserState::Deactivated => Some(Reason::UserDeactivated { url: url() }),
        UserState::Unconfirmed => Some(Reason::UserUnconfirmed { url: url() }),
        UserState::Blocked => Some(Reason::UserBlocked),
        _ if password_expired(user, now) => Some(Reason::PasswordExpired),
        UserState::Banned => Some(Reason::UserBanned),
        UserState::Active | UserState::Internal | UserState::PendingApproval => None,
    }
}

/// Whether a password has run out that the person logs in with: not that of a bot, nor of one whom LDAP knows.
#[must_use]
pub fn password_expired(user: &User, now: Time) -> bool {
    !user.ldap && !user.bot && user.password_expires_at.is_some_and(|end| end <= now)
}
