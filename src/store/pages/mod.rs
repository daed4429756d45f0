//! TODO-DOC

pub(crate) mod bulk_load;
pub(crate) mod external_sort;
pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod page;
pub(crate) mod page_map;
pub(crate) mod page_transaction;
pub(crate) mod stored_record;
