//! The answers of a primary that a host keeps, on disk: a database of their own, written by one thread.
//!
//! ```text
//! kept/database/     c: the clock; b<question>: what an answer says; p<question>: when it was proven
//! kept/quarantine/   the last database that could not be trusted or written
//! kept/opening       there while it is opened
//! ```
//!
//! [`kept_store`] is what others hold, [`kept_database`] the database, [`kept_record`] its values, [`kept_clock`] the clock that its ages
//! are kept by.

pub mod kept_clock;
pub mod kept_database;
pub mod kept_record;
pub mod kept_store;
