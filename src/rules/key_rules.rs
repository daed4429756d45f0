//! What the instance asks of the key itself: its type, its length, its date. (server.md 3.1: 2a, 2b)

use std::time::Duration;

use crate::model::key::{KEY_TYPES, PublicKey};
use crate::model::record::{Key, KeyRule, Settings};
use crate::model::time::Time;
use crate::rules::case::Case;
use crate::rules::refusal::{Check, Reason};

/// How long before its end a key is spoken of.
pub const NOTICE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// 2a and 2b: the key's type and length are allowed, and it has not expired. Whoever came without a key passes.
pub fn check(case: &Case) -> Check {
    let reason = case.actor.key().and_then(|key| refused(key, &case.settings, case.now));
    reason.map_or(Ok(()), |reason| Err(reason.into()))
}

/// Why this key may not be used; the first that is true is said. `None`: it may.
#[must_use]
pub fn refused(key: &Key, settings: &Settings, now: Time) -> Option<Reason> {
    let expired = || key.expires_at.is_some_and(|end| end <= now).then_some(Reason::KeyExpired);
    form(settings, &key.key).or_else(expired)
}

/// What the person is told about the key before the answer.
#[must_use]
pub fn console(case: &Case) -> Vec<String> {
    let end = case.actor.key().and_then(|key| key.expires_at);
    let soon = end.is_some_and(|end| end > case.now && end <= case.now.plus(NOTICE));
    if soon { vec!["INFO: Your SSH key expires soon. Please generate a new key.".to_owned()] } else { Vec::new() }
}

/// A key whose length cannot be measured is too short for any rule that asks for a length.
fn form(settings: &Settings, key: &PublicKey) -> Option<Reason> {
    if settings.key_rules.is_empty() {
        return None;
    }
    match rule(settings, key.kind()) {
        Some(KeyRule::Forbidden(_)) => Some(Reason::KeyTypeForbidden { allowed: allowed(settings) }),
        Some(KeyRule::Bits(bits)) if bits > 0 && key.bits().is_none_or(|has| has < bits) => Some(Reason::KeyTooShort { bits }),
        _ => None,
    }
}

fn rule(settings: &Settings, kind: &str) -> Option<KeyRule> {
    settings.key_rules.iter().find(|(named, _)| named.as_str() == kind).map(|(_, rule)| *rule)
}

fn allowed(settings: &Settings) -> String {
    let open = |kind: &&str| !matches!(rule(settings, kind), Some(KeyRule::Forbidden(_)));
    let words: Vec<_> = KEY_TYPES.iter().copied().filter(open).map(str::to_uppercase).collect();
    match words.as_slice() {
        [] => "of another type, and none is allowed".to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} or {second}"),
        [most @ .., last] => format!("{}, or {last}", most.join(", ")),
    }
}
