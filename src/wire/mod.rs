//! Spelling: bytes into words and words into bytes. Nothing here decides, keeps or carries.

pub mod authorized_keys;
pub mod directory;
