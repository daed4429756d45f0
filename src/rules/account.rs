//! Whether an account may use Git at all. (server.md 3.1: 3, and 3.2)

use crate::model::access_decision::Actor;
use crate::model::enums::UserState;
use crate::model::record::{Settings, User};
use crate::model::time::Time;
use crate::rules::context::DecisionContext;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// 3: the actor's user may use Git. A deploy key's creator does not matter.
pub fn check(context: &DecisionContext) -> CheckResult {
    match &context.actor {
        Actor::User(user, _) => account_refusal(user, &context.settings, context.now).map_or(Ok(()), |reason| Err(reason.into())),
        Actor::Unknown | Actor::OrphanedKey(_) | Actor::DeployKey(..) => Ok(()),
    }
}

/// Returns the first reason why this account may not use Git; `None` if it may.
#[must_use]
pub fn account_refusal(user: &User, settings: &Settings, now: Time) -> Option<RefusalReason> {
    let url = || settings.web_url.to_string();
    match user.state {
        UserState::Internal if !user.bot => return Some(RefusalReason::UserInternal),
        UserState::PendingApproval => return Some(RefusalReason::UserPendingApproval),
        _ => {}
    }
    if settings.terms_required && !user.terms_accepted && !user.bot {
        return Some(RefusalReason::TermsNotAccepted { username: user.username.to_string(), url: url() });
    }
    match user.state {
        UserState::Deactivated => Some(RefusalReason::UserDeactivated { url: url() }),
        UserState::Unconfirmed => Some(RefusalReason::UserUnconfirmed { url: url() }),
        UserState::Blocked => Some(RefusalReason::UserBlocked),
        _ if is_password_expired(user, now) => Some(RefusalReason::PasswordExpired),
        UserState::Banned => Some(RefusalReason::UserBanned),
        UserState::Active | UserState::Internal | UserState::PendingApproval => None,
    }
}

/// Returns whether the password that the user logs in with has expired. Bots and LDAP users have no such password.
#[must_use]
pub fn is_password_expired(user: &User, now: Time) -> bool {
    !user.ldap && !user.bot && user.password_expires_at.is_some_and(|end| end <= now)
}
