//! Parameters of a request, from its query and its body, in Rails' shapes. (server.md 1.2; DESIGN of bounds: depth and count)

use http::Method;

use crate::model::id::Id;

/// The parameters of one request: a JSON object, whatever form they came in.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// The object. Names as they were sent; order kept.
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// Why parameters could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParams {
    /// Not JSON, not UTF-8, not percent-encoded as it should be.
    #[error("the {part} could not be read: {reason}")]
    Unreadable {
        /// `query` or `body`.
        part: &'static str,
        /// Without any value of a parameter in it.
        reason: String,
    },
    /// The same name twice, or in query and body.
    #[error("the parameter `{0}` is given twice")]
    Twice(String),
    /// Deeper or more than the bounds.
    #[error("too many parameters, or nested too deep")]
    Bounds,
    /// One parameter has a value of the wrong form.
    #[error("`{name}` is {wanted}")]
    Wrong {
        /// Its name.
        name: String,
        /// What it should be.
        wanted: &'static str,
    },
}

impl Params {
    /// Reads query and body. A body is JSON if its type says so, a form if its type says so or says nothing; of a GET it is read too
    /// (gitlab-shell sends `Content-Type: application/json` on GETs with an empty body).
    pub fn read(_method: &Method, _query: Option<&str>, _content_type: Option<&str>, _body: &[u8]) -> Result<Self, BadParams> {
        todo!()
    }

    /// A parameter as text; a number is its digits. Absent and `null` are `None`.
    pub fn text(&self, _name: &str) -> Result<Option<String>, BadParams> {
        todo!()
    }

    /// A parameter as an id: digits as text, or a number. Absent, `null` and empty are `None`; a well-formed number that no record can
    /// have (0, above 2^63-1) is an error.
    pub fn id(&self, _name: &str) -> Result<Option<Id>, BadParams> {
        todo!()
    }

    /// A parameter as a boolean: true, false, "true", "false", "1", "0", 1, 0.
    pub fn boolean(&self, _name: &str) -> Result<Option<bool>, BadParams> {
        todo!()
    }

    /// The first name that is not among `known`.
    #[must_use]
    pub fn unknown(&self, _known: &[&str]) -> Option<&str> {
        todo!()
    }
}
