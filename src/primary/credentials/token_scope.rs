//! What a token may be for. (server.md 2.7: those of 15.x)

use serde::{Deserialize, Serialize};

/// One scope. They are declared in the order of their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    Api,
    ReadApi,
    ReadRegistry,
    ReadRepository,
    ReadUser,
    WriteRegistry,
    WriteRepository,
}

impl TokenScope {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::ReadApi, Self::ReadRegistry, Self::ReadRepository, Self::ReadUser, Self::WriteRegistry, Self::WriteRepository];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenScope;

    #[test]
    fn names_are_sorted_and_are_the_stored_form() {
        assert!(TokenScope::ALL.map(TokenScope::as_str).is_sorted());
        for scope in TokenScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(TokenScope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(TokenScope::parse("API"), None);
    }
}
