//! A whole copy of the store in one file, and a store from such a file.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`mod@write`] | copies the directory and the private store at one moment, while requests are answered |
//! | [`copy_room`] | looks for the room that the copy takes |
//! | [`restore`] | builds a store from a backup beside the present one, and puts it in its place |
//! | [`revoked_since`] | what the store that is replaced has as revoked, and whether that is all since the backup |
//! | [`restored`] | what a restored store says of itself |

pub mod copy_room;
pub mod restore;
pub mod restored;
pub mod revoked_since;
pub mod write;
