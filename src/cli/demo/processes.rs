//! The programs that the demonstration starts. Whatever way it ends, none of them stays: an sshd among them lets keys in as root.
//!
//! Each has a process group of its own, so that Ctrl-C reaches the demonstration alone, which ends them in turn. Where `setpriv` is
//! installed the kernel kills them too when the demonstration is killed itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::cli::exit_status::CommandError;

/// Of util-linux; `--pdeathsig` asks the kernel for a signal when the parent ends.
const SETPRIV: &str = "/usr/bin/setpriv";

/// All programs that run; a clone is the same table.
#[derive(Clone, Default)]
pub struct DemoProcesses(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    ended: Condvar,
}

#[derive(Default)]
struct Table {
    has_ended: bool,
    running: BTreeMap<u32, Child>,
}

/// One program that was started.
pub struct DemoProcess {
    processes: DemoProcesses,
    id: u32,
}

impl DemoProcesses {
    /// Starts a program without an input. Refused once the demonstration has ended.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<DemoProcess, CommandError> {
        let mut command = command_that_ends_with_us(program);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        prepare(&mut command);
        let mut table = self.lock();
        if table.has_ended {
            return Err(CommandError("the demonstration has ended".to_owned()));
        }
        let child = command.spawn().map_err(|error| CommandError::with_context(&program.display().to_string(), error))?;
        let id = child.id();
        table.running.insert(id, child);
        Ok(DemoProcess { processes: self.clone(), id })
    }

    /// Kills all, and lets no other be started.
    pub fn end(&self) {
        let running = {
            let mut table = self.lock();
            table.has_ended = true;
            std::mem::take(&mut table.running)
        };
        running.into_values().for_each(kill_group);
        self.0.ended.notify_all();
    }

    /// Waits until all are ended.
    pub fn wait_until_ended(&self) {
        let mut table = self.lock();
        while !table.has_ended {
            table = self.0.ended.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DemoProcess {
    /// Kills it with SIGKILL, and what it has started.
    pub fn kill(&self) {
        let child = self.processes.lock().running.remove(&self.id);
        if let Some(child) = child {
            kill_group(child);
        }
    }
}

fn command_that_ends_with_us(program: &Path) -> Command {
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn kill_group(mut child: Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::DemoProcesses;

    fn sleeper(processes: &DemoProcesses) -> Result<super::DemoProcess, String> {
        processes.spawn(Path::new("/bin/sleep"), ["600"], |_command| {}).map_err(|error| error.to_string())
    }

    #[test]
    fn the_end_kills_all_and_lets_no_other_start() {
        let processes = DemoProcesses::default();
        let ids: Vec<u32> = (0..3).map(|_| sleeper(&processes).unwrap().id).collect();
        processes.end();
        for id in ids {
            assert!(!Path::new(&format!("/proc/{id}")).exists(), "{id} still runs");
        }
        assert!(sleeper(&processes).err().unwrap().contains("has ended"));
        processes.wait_until_ended();
    }

    #[test]
    fn one_that_is_killed_takes_no_other_along() {
        let processes = DemoProcesses::default();
        let (first, second) = (sleeper(&processes).unwrap(), sleeper(&processes).unwrap());
        first.kill();
        assert!(!Path::new(&format!("/proc/{}", first.id)).exists() && Path::new(&format!("/proc/{}", second.id)).exists());
        processes.end();
    }
}
