//! docs/reference.md against the program's own definitions: every flag, every key of a configuration, every exit code and every kind of alarm is
//! in its table, and nothing else is. The table of metrics is compared with real daemons, in `tests/process/metrics/documentation.rs`.

mod alarms;
mod document;
mod exit_codes;
mod flags;
mod keys;
