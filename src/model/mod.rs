//! The vocabulary of all modules: identifiers, records of the directory, requests and decisions, and the traits that join modules.
//!
//! Values of these types are always valid: an [`id::Id`] is positive, a [`text::Text`] has no control byte, a [`time::Time`] is a UTC
//! instant in milliseconds, a [`key::PublicKey`] is a decoded blob with its algorithm. Nothing here does I/O, except [`clock`], the only
//! place that reads a clock.

pub mod access_decision;
pub mod access_request;
pub(crate) mod address_grammar;
pub mod change;
pub mod changed_directory;
pub mod clock;
pub mod clock_reading;
pub mod coverage;
pub mod day;
pub mod digest;
pub mod directory;
pub mod entry;
pub mod enums;
pub mod explanation;
pub mod finding;
pub mod freshness;
pub mod id;
pub mod ip_range;
#[cfg(feature = "daemon")]
pub mod kept_answer;
#[cfg(feature = "daemon")]
pub mod kept_body;
pub mod key;
pub mod loss_guard;
#[cfg(test)]
pub mod memory_directory;
pub mod path_grammar;
pub mod push;
pub mod record;
pub mod record_access;
pub(crate) mod record_defaults;
pub mod record_grammar;
pub mod record_identity;
pub(crate) mod record_kinds;
pub mod record_parse;
#[cfg(test)]
pub mod record_strategy;
pub mod repository_place;
#[cfg(feature = "daemon")]
pub mod revocation_listener;
pub mod sort_key;
pub mod text;
pub mod time;
pub mod unpublished;
