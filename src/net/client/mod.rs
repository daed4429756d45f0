//! TODO-DOC

pub(crate) mod connector;
pub mod http_client;
pub(crate) mod primary_url;
