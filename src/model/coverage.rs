//! Which kinds of records a feed publishes, and so which questions its directory may answer.
//!
//! A sidegate primary publishes all kinds. A mirror of a GitLab has settings, users and keys: whose a key is can be answered from them, and
//! who may do what in a project cannot.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is needed to say whose a key is.
const LOGIN_KINDS: [&str; 3] = ["settings", "user", "key"];

/// The kinds of records of a directory. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<String>>", into = "Option<Vec<String>>")]
pub struct Coverage(Option<Arc<[String]>>);

impl From<Option<Vec<String>>> for Coverage {
    /// Returns what a snapshot's head says that it covers; without a word of it, all kinds.
    fn from(covers: Option<Vec<String>>) -> Self {
        Self(covers.map(Into::into))
    }
}

impl From<Coverage> for Option<Vec<String>> {
    fn from(coverage: Coverage) -> Self {
        coverage.0.map(|kinds| kinds.to_vec())
    }
}

impl Coverage {
    /// Returns what the feed of a mirror has at least: settings, users and keys.
    #[must_use]
    pub fn logins() -> Self {
        Self(Some(LOGIN_KINDS.map(str::to_owned).into()))
    }

    /// Returns a coverage of nothing: of a directory of which it is not known what it covers.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Some(Arc::new([])))
    }

    /// Returns this coverage, or `unsaid` where the feed says nothing of it.
    #[must_use]
    pub fn or(self, unsaid: &Self) -> Self {
        if self.0.is_none() { unsaid.clone() } else { self }
    }

    /// Returns the kinds by name; `None` for all.
    #[must_use]
    pub fn kinds(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Returns whether it can be said whose a key is, and who a user is.
    #[must_use]
    pub fn has_logins(&self) -> bool {
        self.0.as_ref().is_none_or(|kinds| LOGIN_KINDS.iter().all(|needed| kinds.iter().any(|kind| kind == needed)))
    }

    /// Returns whether access may be decided: only where no kind is left out.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Coverage;

    #[test]
    fn only_a_feed_of_all_kinds_decides_access_and_logins_need_users_keys_and_settings() {
        let of = |kinds: &[&str]| Coverage::from(Some(kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>()));
        for (coverage, logins, whole) in [
            (Coverage::default(), true, true),
            (Coverage::logins(), true, false),
            (of(&["key", "settings", "user", "project"]), true, false),
            (of(&["key", "user"]), false, false),
            (of(&["settings", "user", "keys"]), false, false),
            (Coverage::nothing(), false, false),
        ] {
            assert_eq!((coverage.has_logins(), coverage.is_whole()), (logins, whole), "{coverage:?}");
            assert_eq!(serde_json::from_str::<Coverage>(&serde_json::to_string(&coverage).unwrap()).unwrap(), coverage);
        }
    }
}
