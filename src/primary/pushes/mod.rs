//! TODO-DOC

pub(crate) mod create_project;
pub(crate) mod messages;
pub(crate) mod reference_counter;
