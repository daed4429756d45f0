//! The scopes of personal access tokens. (server.md 2.7: those of 15.x)

use serde::{Deserialize, Serialize};

/// What a token permits. Declared in the order of their names.
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
    /// All scopes.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::ReadApi, Self::ReadRegistry, Self::ReadRepository, Self::ReadUser, Self::WriteRegistry, Self::WriteRepository];

    /// Returns the scope's name.
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

    /// Returns the scope of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
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
