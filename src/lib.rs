//! sidegate: the small gate beside sshd. This page is the map; `docs/architecture.md` follows three requests through it, file by file.
//!
//! ```text
//!  7  bin/                                            three-line mains
//!  6  cli/        arguments, config, composition      demo, admin, status … one file per command
//!  5  mirror/                                         a primary whose directory is written by a GitLab
//!  4  helper/     sidecar/     replica/     primary/  the programs
//!  3  api/        one front door: pipeline, route table, request, authentication, errors, metrics, rate limits
//!  2  rules/      wire/        store/       net/      decide, encode and decode, persist, transport
//!  1  model/                                          one vocabulary, and the traits that join modules
//! ```
//!
//! A module imports only from layers below its own, and there is no circle inside one; `tests/module_layers.rs` holds both.
//!
//! | module | what it does | where to begin |
//! | --- | --- | --- |
//! | [`model`] | types that are checked when they are made: ids, keys, times, records, a request for access and its decision | [`model::record`], [`model::directory`], [`model::freshness`] |
//! | [`rules`] | who may do what: pure functions of a directory, a request and a time | [`rules::allowed`] |
//! | [`wire`] | bytes to values and back: parameters, tokens, records, lines of the feed, responses | one file per endpoint or format |
//! | [`store`] | a directory in sled, one database per generation; the primary's journal | [`store::generations::generation`], [`store::primary::primary_store`] |
//! | [`net`] | sockets, the HTTP server, the HTTP client, the gRPC client of Gitaly | [`net::server`], [`net::client`], [`net::gitaly`] |
//! | [`api`] | what every request passes, at both daemons | [`api::pipeline`], [`api::route`] |
//! | [`helper`] | `sidegate-authorized-keys`, which sshd starts for each offered key | `helper/mod.rs` |
//! | [`sidecar`] | answers the socket on an SSH host | `sidecar/routes.rs`, one file per endpoint in `sidecar/requests/` |
//! | [`replica`] | follows a primary and keeps the sidecar's directory current | [`replica::service`] |
//! | [`primary`] | owns the directory, answers the whole API, publishes changes | `primary/routes.rs`, one file per endpoint in `primary/requests/` |
//! | [`mirror`] | walks a GitLab, takes its hooks, publishes its users and keys to the hosts that follow | [`mirror::state`], `mirror/walk/full.rs` |
//! | [`cli`] | the command line, the configuration, starting and stopping | `cli/mod.rs` |
//!
//! A look-up: a key is offered to sshd, which starts [`helper`]; that asks the socket that [`net`] serves; [`api`] checks path, caller and
//! parameters; [`sidecar`] answers from the directory that [`replica`] keeps current in [`store`], or asks the primary, which is
//! [`primary`]. Both decide with the functions of [`rules`].
//!
//! What must never happen: a yes that the primary would not give, for longer than the bound that `status` prints; a no that is really an
//! outage; a secret in a log; a change that was confirmed before it was on disk.
//!
//! The feature `daemon` has everything but the helper that sshd starts, so that the helper builds from pure Rust.

pub mod helper;
pub mod model;
pub mod wire;

#[cfg(feature = "daemon")]
pub(crate) mod api;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod mirror;
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
