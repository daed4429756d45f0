//! `sidegate setup` below another root: a host on which the package was installed and nothing else was done, with the real sshd's judgement of
//! its configuration.

mod chain;
mod foreign_files;
mod host;
mod layout;
mod refused;
mod remove;
