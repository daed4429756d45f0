//! Process limits that a daemon sets at its start: no core files, because its memory holds secrets; as many open files as it may.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli::exit_status::CommandError;

/// Disables core files, and debuggers of other users.
pub fn disable_core_dumps() -> Result<(), CommandError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| CommandError::with_context("core files cannot be switched off", error))?;
    prctl::set_dumpable(false).map_err(|error| CommandError::with_context("the memory cannot be made undumpable", error))
}

/// Raises the limit of open files to the most that the system allows, where it can: each client is an open file.
pub fn raise_open_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
