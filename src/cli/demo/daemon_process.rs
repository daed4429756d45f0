//! One daemon of the demonstration: this program, started as systemd starts it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::cli::demo::folder::DemoFolder;
use crate::cli::demo::processes::DemoProcess;
use crate::cli::exit_status::CommandError;

/// A running daemon.
pub struct DaemonProcess(DemoProcess);

impl DaemonProcess {
    /// Starts `sidegate COMMAND --config …` and waits until it notifies us that it is ready.
    pub fn start(folder: &DemoFolder, command: &str, timeout: Duration) -> Result<Self, CommandError> {
        let path = folder.path().join(format!("notify-{command}"));
        let _ = std::fs::remove_file(&path);
        let notify_socket = UnixDatagram::bind(&path).map_err(CommandError::new)?;
        notify_socket.set_read_timeout(Some(timeout)).map_err(CommandError::new)?;
        let program = std::env::current_exe().map_err(CommandError::new)?;
        let config = folder.config_path(command);
        let arguments = [command.as_ref(), "--config".as_ref(), config.as_os_str()];
        let daemon = Self(folder.processes().spawn(&program, arguments, |command| {
            command.env("NOTIFY_SOCKET", &path);
        })?);
        let mut buffer = [0; 4096];
        loop {
            let length =
                notify_socket.recv(&mut buffer).map_err(|error| CommandError(format!("`sidegate {command}` did not start: {error}")))?;
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
                return Ok(daemon);
            }
        }
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill(&self) {
        self.0.kill();
    }
}
