//! What a token may be for. (server.md 2.7: those of 15.x)

use serde::{Deserialize, Serialize};

/// One scope. They are declared in the order of their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Api,
    ReadApi,
    ReadRegistry,
    ReadRepository,
    ReadUser,
    WriteRegistry,
    WriteRepository,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::ReadApi, Self::ReadRegistry, Self::ReadRepository, Self::ReadUser, Self::WriteRegistry, Self::WriteRepository];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
            Self::ReadRegistry => "read_registry",
            Self::ReadRepository => "read_repository",
            Self::ReadUser => "read_user",
            Self::WriteRegistry => "write_registry",
            Self::WriteRepository => "write_repository",
        }
    }

    /// The scope of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn words_are_sorted_and_are_what_is_kept() {
        assert!(Scope::ALL.map(Scope::word).is_sorted());
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.word());
            assert_eq!(Scope::of(scope.word()), Some(scope));
        }
        assert_eq!(Scope::of("API"), None);
    }
}
