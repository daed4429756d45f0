//! The behaviour cases of the contract, row by row and group by group: each question goes to a real primary and through a real sidecar,
//! and both must give the answer of the row, and the same one. Questions that a decision hangs on go in every form in which they may be
//! sent. Each file says which rows of its groups cannot be made here, and why; none of group T can be: it is about Geo.

mod actors;
mod allowed_response;
mod authorized_keys;
mod credentials;
mod deploy_keys;
mod discover;
mod error_tracking;
mod instance_restrictions;
mod kubernetes;
mod lfs;
mod malformed_requests;
mod project_access;
mod project_creation;
mod push_changes;
mod receive_hooks;
mod shell_token;
mod snippets;
mod subscriptions;
