//! `allowed` on the wire: its parameters into a question, its judgement into a body. (server.md 2.1; client.md 2.4)

use crate::model::question::Question;
use crate::model::verdict::{Grant, Refusal};
use crate::wire::params::{BadParams, Params};

/// Reads a question. Refuses what our primary refuses: `krb5principal` and `gitaly_client_context_bin`.
pub fn read(_params: &Params) -> Result<Question, BadParams> {
    todo!()
}

/// The body of a yes.
#[must_use]
pub fn granted(_grant: &Grant) -> String {
    todo!()
}

/// The body of a no.
#[must_use]
pub fn refused(_refusal: &Refusal) -> String {
    todo!()
}
