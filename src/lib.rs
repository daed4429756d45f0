//! sidegate: the small gate beside sshd. This file is the map.
//!
//! ```text
//!  6  bin/                                            three-line mains
//!  5  cli/        arguments, config, composition      demo, admin, status … one file a command
//!  4  helper/     sidecar/     replica/     primary/     the programs
//!  3  api/                                            one front door: pipeline, routes, authentication, errors, metrics
//!  2  rules/      wire/        store/       net/       decide, encode and decode, persist, transport
//!  1  model/                                          one vocabulary, and the traits that join rooms
//! ```
//!
//! A room imports only from floors below it, never from a room beside it; `tests/module_layers/` holds that.
//!
//! The walks: a key is offered to sshd, which starts [`helper`]; that asks the socket that [`net`] serves; `sidecar`
//! answers out of the directory that `replica` keeps true in [`store`], or asks the primary, which is `primary`.
//! Both decide with the functions of [`rules`].
//!
//! What must never happen: a yes that the primary would not give within the bound that `status` states; a no that is
//! really an outage; a secret in a log; a change answered before it is on disk.
//!
//! The feature `daemon` holds everything but the helper that sshd starts, so that the helper builds from pure Rust.

pub mod helper;
pub mod model;
pub mod wire;

#[cfg(feature = "daemon")]
pub(crate) mod api;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub(crate) mod primary;
#[cfg(feature = "daemon")]
pub(crate) mod replica;
#[cfg(feature = "daemon")]
pub mod rules;
#[cfg(feature = "daemon")]
pub(crate) mod sidecar;
#[cfg(feature = "daemon")]
pub mod store;
