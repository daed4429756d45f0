//! TODO-DOC

pub(crate) mod commit;
pub(crate) mod unpublished;
