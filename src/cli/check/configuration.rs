//! Loads the configuration that is judged, and judges whether the daemon itself could load it.

use std::fs::File;
use std::path::Path;

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::cli::config::file::{self, ConfigFile};

/// Loads a configuration; `None`, with a finding, where it is not understood.
pub fn load<C: ConfigFile>(path: &Path, found: &mut Findings) -> Option<C> {
    match file::load(path) {
        Ok(config) => {
            found.ok(format!("{}: understood", path.display()));
            Some(config)
        }
        Err(error) => {
            found.refuse(error, "correct that line; the manual page of the file has every setting (`man sidegate.toml`)");
            None
        }
    }
}

/// Finds what keeps the daemon from its configuration, and a unit that starts only where `check` has nothing at all to say.
pub fn check_start(path: &Path, daemon: &DaemonUser, found: &mut Findings) {
    if let Err(error) = daemon.act(|| File::open(path)) {
        let what = format!("{}: {} may not read it: {error}", path.display(), daemon.name());
        found.fail(what, format!("chmod 0644 {0}; it holds no secret", path.display()));
    }
    if let Some(unit) = daemon.unit().filter(|unit| unit.before_start.lines().any(is_whole_check)) {
        let what = format!("{}: it runs `sidegate check` before its start without --start, so a warning keeps it from starting", unit.name);
        found.warn(what, "say `check --start` in its ExecStartPre=, or remove your copy of the unit from /etc/systemd/system");
    }
}

fn is_whole_check(command: &str) -> bool {
    command.contains("sidegate check ") && !command.split_whitespace().any(|word| word == "--start")
}

#[cfg(test)]
mod tests {
    use super::is_whole_check;

    #[test]
    fn a_command_before_a_start_is_judged_by_its_words() {
        assert!(is_whole_check("/usr/bin/sidegate check --offline --config /etc/sidegate/sidegate.toml"));
        assert!(!is_whole_check("/usr/bin/sidegate check --start --config /etc/sidegate/sidegate.toml"));
        assert!(!is_whole_check("/bin/true"));
    }
}
