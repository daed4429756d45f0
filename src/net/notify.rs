//! Notifications to systemd: ready, reloading, stopping, a status line, and the watchdog.
//!
//! Without `NOTIFY_SOCKET` nothing is sent and nothing fails. A message that does not reach systemd is logged, and serving goes on.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd that the daemon serves.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// Tells systemd that the daemon reloads its configuration (`RELOADING=1` with `MONOTONIC_USEC`); [`ready`] must follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "failed to notify systemd of the reload: no monotonic clock: {error}"),
    }
}

/// Tells systemd that the daemon stops.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Sets the status line of `systemctl status`.
pub fn status(line: &str) {
    // A line feed would begin another message to systemd.
    let line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    send(&[NotifyState::Status(&line)]);
}

/// Returns how often [`watchdog`] must be called: half of the unit's `WatchdogSec=`. `None` without a watchdog.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|half| !half.is_zero())
}

/// Tells the watchdog of systemd that the daemon still works.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "failed to notify systemd: {error}; is NOTIFY_SOCKET still there?");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{ready, reloading, status, stopping, watchdog, watchdog_interval};

    /// Runs `child` in a process of its own, as systemd would start it.
    fn run_child(configure: impl FnOnce(&mut Command)) -> bool {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "net::notify::tests::child", "--nocapture"]).env("SIDEGATE_TEST_CHILD", "notify");
        command.env_remove("NOTIFY_SOCKET").stdout(Stdio::null()).stderr(Stdio::null());
        configure(&mut command);
        command.status().unwrap().success()
    }

    #[test]
    fn child() {
        if std::env::var_os("SIDEGATE_TEST_CHILD").is_none() {
            return;
        }
        ready();
        reloading();
        status("caught up\nREADY=0");
        if watchdog_interval() == Some(Duration::from_secs(2)) {
            watchdog();
        }
        stopping();
    }

    #[test]
    fn systemd_receives_each_message_and_a_status_cannot_forge_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        assert!(run_child(|command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "4000000").env_remove("WATCHDOG_PID");
        }));
        socket.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        let (now, others): (Vec<_>, Vec<_>) = heard.into_iter().partition(|message| message.starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(now.len(), 1);
        assert_eq!(others, ["READY=1\n", "STATUS=caught up READY=0\n", "WATCHDOG=1\n", "STOPPING=1\n"]);
    }

    #[test]
    fn without_a_listener_nothing_fails() {
        assert!(run_child(|_| ()));
        let folder = tempfile::tempdir().unwrap();
        assert!(run_child(|command| {
            command.env("NOTIFY_SOCKET", folder.path().join("gone"));
        }));
    }
}
