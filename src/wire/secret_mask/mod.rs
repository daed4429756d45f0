//! Takes the shared secret out of a body that is passed on as it arrives.
//!
//! [`mask`] knows the type of the body; [`form`], [`json`] and [`multipart`] follow its text; [`name`] says what the secret is called.

mod form;
mod json;
pub mod mask;
mod multipart;
pub mod name;
