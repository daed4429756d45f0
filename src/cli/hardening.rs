//! What a daemon gives up at its start: its memory, which holds secrets, is never written to a core file.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use crate::cli::exit_status::CommandError;

/// No core files, no debugger of another user.
pub fn disable_core_dumps() -> Result<(), CommandError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| CommandError::with_context("core files cannot be switched off", error))?;
    prctl::set_dumpable(false).map_err(|error| CommandError::with_context("the memory cannot be made undumpable", error))
}

/// As many open files as the system allows: each client is one.
pub fn raise_open_file_limit() -> u64 {
    use nix::sys::resource::getrlimit;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}
