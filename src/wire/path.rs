//! The target of a request, checked before anything else: no empty, `.` or `..` segment, no encoded `.`, `/`, `\` or NUL.

/// A checked target in origin form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: Option<String>,
    segments: Vec<String>,
}

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's path is refused: {0}")]
pub struct BadPath(pub &'static str);

impl Target {
    /// Checks a request target as it stood in the request line. `%2F` is allowed only in the one segment after
    /// `namespaces/` and after `move/`. A relative root before `/api/v4` (as `/gitlab`) is dropped; `/-/…` stays.
    pub fn parse(_target: &str) -> Result<Self, BadPath> {
        todo!()
    }

    /// The path as it is sent on, still encoded, from `/api/v4` or `/-` on; without a relative root, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The raw query.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The decoded segments after `/api/v4`: `["internal", "authorized_keys"]`; those of `/-/liveness` are `["-", "liveness"]`.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}
