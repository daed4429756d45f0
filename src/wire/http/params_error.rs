//! Why parameters are refused, and the bounds on how many there may be and how deep they may nest. (server.md 1.2)

/// How deep parameters may nest: `a` is 1, `a[b]` is 2.
pub const MAX_PARAM_DEPTH: usize = 32;
/// How many parameters a query and a form may have together, each name in brackets counted, and how many names an object in JSON.
pub const MAX_PARAM_COUNT: usize = 1_000;
/// How many items a list in JSON may have.
pub const MAX_LIST_ITEMS: usize = 100_000;
/// How long the name of a parameter may be, in bytes.
pub const MAX_NAME_BYTES: usize = 1_024;

/// Why parameters could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Not JSON, not UTF-8, not percent-encoded as it should be.
    #[error("the {part} could not be read: {reason}")]
    Malformed {
        /// `query` or `body`.
        part: &'static str,
        /// Without any value of a parameter in it.
        reason: String,
    },
    /// The same name twice, or in query and body.
    #[error("the parameter `{0}` is given twice")]
    Duplicate(String),
    /// Deeper, more or with longer names than the bounds.
    #[error("too many parameters or items, a name that is too long, or nested too deep")]
    LimitExceeded,
    /// One parameter has a value of the wrong form.
    #[error("`{name}` is {expected}")]
    InvalidValue {
        /// Its name.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl ParamsError {
    /// Creates the error of a parameter with a value of the wrong form.
    pub fn invalid_value(name: &str, expected: &'static str) -> Self {
        Self::InvalidValue { name: name.to_owned(), expected }
    }

    /// Returns the same error for a parameter within another: `x` within `packs` is `packs[x]`.
    #[must_use]
    pub fn nested_in(self, outer: &str) -> Self {
        match self {
            Self::InvalidValue { name, expected } => Self::InvalidValue { name: format!("{outer}[{name}]"), expected },
            Self::Duplicate(name) => Self::Duplicate(format!("{outer}[{name}]")),
            other => other,
        }
    }
}
