//! The layout of a generation's database: pages of records and of the index, and the header.

pub mod bulk_load;
pub mod external_sort;
pub mod header;
pub mod index;
pub mod page;
pub mod page_map;
pub mod page_transaction;
pub mod stored_record;
