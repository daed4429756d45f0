//! The vocabulary: the one floor that every room may name.
//!
//! Words here cannot be wrong: an [`Id`] is positive, a [`Text`] has no control byte, a [`Time`] is a UTC instant in
//! milliseconds, a [`PublicKey`] is a decoded blob with its algorithm, a [`Digest`] is a sum over canonical records.
//! Nothing in this room does I/O, but for [`clock`], the one place that reads a clock.

pub mod access_decision;
pub mod access_request;
pub mod change;
pub mod clock;
pub mod day;
pub mod digest;
pub mod directory;
pub mod entry;
pub mod enums;
pub mod finding;
pub mod freshness;
pub mod id;
pub mod key;
pub mod loss_guard;
#[cfg(test)]
pub mod memory_directory;
pub mod push;
pub mod record;
pub mod record_identity;
#[cfg(test)]
pub mod record_strategy;
pub mod sort_key;
pub mod text;
pub mod time;
pub mod unpublished;

pub use digest::{Digest, DirectoryDigest};
pub use id::Id;
pub use key::{Fingerprint, PublicKey};
pub use record::Record;
pub use text::Text;
pub use time::Time;
