//! One daemon of the demonstration: this very program, started as systemd would start it, ended with us.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::demo::folder::DemoFolder;
use crate::cli::exit_status::CommandError;

/// A running daemon.
pub struct DaemonProcess(std::process::Child);

impl DaemonProcess {
    /// Starts `sidegate COMMAND --config …` and waits until it says that it serves.
    pub fn start(folder: &DemoFolder, command: &str, patience: Duration) -> Result<Self, CommandError> {
        let path = folder.path().join(format!("notify-{command}"));
        let _ = std::fs::remove_file(&path);
        let notified = UnixDatagram::bind(&path).map_err(CommandError::new)?;
        notified.set_read_timeout(Some(patience)).map_err(CommandError::new)?;
        let program = std::env::current_exe().map_err(CommandError::new)?;
        let child = Command::new(program)
            .args([command, "--config"])
            .arg(folder.config_path(command))
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .spawn()
            .map_err(CommandError::new)?;
        let child = Self(child);
        let mut buffer = [0; 4096];
        loop {
            let length =
                notified.recv(&mut buffer).map_err(|error| CommandError(format!("`sidegate {command}` did not start: {error}")))?;
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
                return Ok(child);
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for DaemonProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
