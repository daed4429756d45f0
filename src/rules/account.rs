//! Whether an account may use Git at all. (server.md 3.1: 3, and 3.2)

use crate::model::access_decision::Actor;
use crate::model::enums::UserState;
use crate::model::record::{Settings, User};
use crate::model::time::Time;
use crate::rules::context::DecisionContext;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// 3: the person behind the actor may use Git. A deploy key's creator does not matter.
pub fn check(context: &DecisionContext) -> CheckResult {
    match &context.actor {
        Actor::User(user, _) => account_refusal(user, &context.settings, context.now).map_or(Ok(()), |reason| Err(reason.into())),
        Actor::Unknown | Actor::OrphanedKey(_) | Actor::DeployKey(..) => Ok(()),
    }
}

/// Why this account may not use Git; the first that is true is said. `None`: it may.
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

/// Whether a password has run out that the person logs in with: not that of a bot, nor of one whom LDAP knows.
#[must_use]
pub fn is_password_expired(user: &User, now: Time) -> bool {
    !user.ldap && !user.bot && user.password_expires_at.is_some_and(|end| end <= now)
}
