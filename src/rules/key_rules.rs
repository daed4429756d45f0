//! Rules on the key itself: its type, its length, its expiry. (server.md 3.1: 2a, 2b)

use std::time::Duration;

use crate::model::key::{KEY_TYPES, PublicKey};
use crate::model::record::{Key, KeyRule, Settings};
use crate::model::time::Time;
use crate::rules::context::DecisionContext;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// How long before its expiry a key is announced to its user.
pub const EXPIRY_NOTICE_PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// 2a and 2b: the key's type and length are allowed, and it has not expired. A request without a key passes.
pub fn check(context: &DecisionContext) -> CheckResult {
    let reason = context.actor.key().and_then(|key| key_refusal(key, &context.settings, context.now));
    reason.map_or(Ok(()), |reason| Err(reason.into()))
}

/// Returns the first reason why this key may not be used; `None` if it may.
#[must_use]
pub fn key_refusal(key: &Key, settings: &Settings, now: Time) -> Option<RefusalReason> {
    let expired = || key.expires_at.is_some_and(|end| end <= now).then_some(RefusalReason::KeyExpired);
    type_or_length_refusal(settings, &key.key).or_else(expired)
}

/// Returns the console messages about the key.
#[must_use]
pub fn expiry_notice(context: &DecisionContext) -> Vec<String> {
    let end = context.actor.key().and_then(|key| key.expires_at);
    let soon = end.is_some_and(|end| end > context.now && end <= context.now.plus(EXPIRY_NOTICE_PERIOD));
    if soon { vec!["INFO: Your SSH key expires soon. Please generate a new key.".to_owned()] } else { Vec::new() }
}

/// A key whose length cannot be measured is too short for any rule with a least length.
fn type_or_length_refusal(settings: &Settings, key: &PublicKey) -> Option<RefusalReason> {
    if settings.key_rules.is_empty() {
        return None;
    }
    match find_key_rule(settings, key.key_type()) {
        Some(KeyRule::Forbidden(_)) => Some(RefusalReason::KeyTypeForbidden { allowed: allowed_key_types(settings) }),
        Some(KeyRule::Bits(bits)) if bits > 0 && key.bits().is_none_or(|has| has < bits) => Some(RefusalReason::KeyTooShort { bits }),
        _ => None,
    }
}

fn find_key_rule(settings: &Settings, kind: &str) -> Option<KeyRule> {
    settings.key_rules.iter().find(|(named, _)| named.as_str() == kind).map(|(_, rule)| *rule)
}

fn allowed_key_types(settings: &Settings) -> String {
    let open = |kind: &&str| !matches!(find_key_rule(settings, kind), Some(KeyRule::Forbidden(_)));
    let words: Vec<_> = KEY_TYPES.iter().copied().filter(open).map(str::to_uppercase).collect();
    match words.as_slice() {
        [] => "of another type, and none is allowed".to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} or {second}"),
        [most @ .., last] => format!("{}, or {last}", most.join(", ")),
    }
}
