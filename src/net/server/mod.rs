//! TODO-DOC

pub(crate) mod connection;
pub(crate) mod connection_state;
pub(crate) mod deferred_stream;
pub(crate) mod framing;
pub mod http_server;
pub(crate) mod inspected_stream;
pub mod limits;
pub mod listen;
pub(crate) mod worker;
