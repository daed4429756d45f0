//! The vocabulary: the one floor that every room may name.
//!
//! Words here cannot be wrong: an [`Id`] is positive, a [`Text`] has no control byte, a [`Time`] is a UTC instant in
//! milliseconds, a [`PublicKey`] is a decoded blob with its algorithm, a [`Digest`] is a sum over canonical records.
//! Nothing in this room does I/O, but for [`clock`], the one place that reads a clock.

#[cfg(test)]
pub mod any_record;
pub mod change;
pub mod clock;
pub mod day;
pub mod digest;
pub mod directory;
pub mod entry;
pub mod finding;
pub mod freshness;
pub mod id;
pub mod identity;
pub mod key;
pub mod level;
pub mod loss_guard;
pub mod order;
pub mod push;
pub mod question;
pub mod record;
#[cfg(test)]
pub mod table;
pub mod text;
pub mod time;
pub mod verdict;
pub mod withheld;

pub use digest::{Digest, DirectoryDigest};
pub use id::Id;
pub use key::{Fingerprint, PublicKey};
pub use record::Record;
pub use text::Text;
pub use time::Time;
