//! `sidegate status --watch` on a terminal: it draws the screen in colours again and again, and leaves the terminal as it found it.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::status_states::{LONG_FRESH, linked, wait_for_status};
use crate::support::TIMEOUT;
use crate::support::env::TestEnv;

/// A command on a terminal of its own, which script(1) makes, and what it has written there.
struct OnTerminal {
    script: std::process::Child,
    written: String,
}

impl OnTerminal {
    fn start(env: &TestEnv, words: &str, no_colour: &str) -> Self {
        let command = format!("exec {} {words} --socket {}", env!("CARGO_BIN_EXE_sidegate"), env.sidecar_socket().display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--return", "--command", &command, "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", no_colour);
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { script, written: String::new() }
    }

    /// Reads until this was written, and returns all that was so far.
    fn read_until(&mut self, part: &str) -> &str {
        let begun = Instant::now();
        while !self.written.contains(part) {
            assert!(begun.elapsed() < TIMEOUT, "{part:?} is not in {:?}", self.written);
            let mut buffer = [0; 65_536];
            let Ok(count @ 1..) = self.script.stdout.as_mut().unwrap().read(&mut buffer) else {
                panic!("{part:?} is not in {:?}", self.written)
            };
            self.written.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        &self.written
    }

    /// Types Ctrl-C, waits for what is written after it, and returns the exit code.
    fn interrupt(&mut self, last_words: &str) -> Option<i32> {
        self.written.clear();
        self.script.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
        self.read_until(last_words);
        self.script.wait().unwrap().code()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

const LEFT: &str = "\x1b[?25h\x1b[?1049l";

#[test]
fn it_is_drawn_again_as_things_change_and_ctrl_c_restores_the_terminal() {
    let (mut env, _link) = linked(LONG_FRESH);
    let mut watch = OnTerminal::start(&env, "status --watch", "");
    assert!(watch.read_until("0 alarms").starts_with("\x1b[?1049h\x1b[?25l\x1b[H"), "{:?}", watch.written);
    assert!(watch.written.contains("\x1b[1m\x1b[32mserving: fresh, following, 0 alarms\x1b[0m"), "{:?}", watch.written);
    env.primary.as_mut().unwrap().kill();
    wait_for_status(&env, "the probe to fail", |status| status["primary"]["state"] == "silent");
    watch.read_until("\x1b[33mserving: fresh, not following since ");
    env.sidecar.as_mut().unwrap().kill();
    watch.read_until("sidegate: away: ");
    assert_eq!(watch.interrupt(LEFT), Some(2), "as the last screen");
}

#[test]
fn colours_are_for_terminals_whose_user_wants_them() {
    let (env, _link) = linked(LONG_FRESH);
    for (no_colour, coloured) in [("", true), ("1", false)] {
        let mut printed = OnTerminal::start(&env, "status", no_colour);
        let is_coloured = printed.read_until(" of memory").contains('\x1b');
        assert_eq!(is_coloured, coloured, "NO_COLOR={no_colour:?}: {:?}", printed.written);
    }
    let refused = env.run_sidegate(&["status", "--watch", "--socket", env.sidecar_socket().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--watch needs a terminal"), "{refused:?}");
}
