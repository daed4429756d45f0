//! What a GitLab holds of users and keys, and what its public API, its internal API and its system hooks say of it: pure values, so that
//! tests of the mirror without sockets use it as well. From the contract, not from GitLab's source. (server.md 1, 2, 5, 5b)

pub mod generated;
pub mod internal;
pub mod paging;
pub mod records;
pub mod rest;

/// What is answered: a status, headers, and a body in JSON.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: impl ToString) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    /// The refusal that GitLab words so: `{"message": …}`.
    pub fn message(status: u16, text: &str) -> Self {
        Self::json(status, serde_json::json!({ "message": text }))
    }

    /// A path that no endpoint has.
    pub fn no_route() -> Self {
        Self::json(404, r#"{"error":"404 Not Found"}"#)
    }
}
