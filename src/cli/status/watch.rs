//! `--watch`: the screen, drawn anew each second until Ctrl-C. The terminal's other screen is used, and left at the end, whatever ends it.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::status::daemon_screen::screen_of;
use crate::cli::status::fetch::{DaemonKind, fetch};
use crate::cli::status::screen::{Colour, Level};

/// How long a screen stands.
const INTERVAL: Duration = Duration::from_secs(1);
/// Changes to the terminal's other screen, and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor, and changes back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Puts the cursor into the corner, and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Draws the status until a signal ends it; exit code as of the last screen.
pub fn run(socket: &Path, expected: DaemonKind, colour: Colour) -> CommandResult {
    if !io::stdout().is_terminal() {
        return Err(CommandError("--watch needs a terminal; for a program there is --json".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
    let result = runtime.block_on(async {
        let mut end = EndSignals::install()?;
        let _terminal = OtherScreen::enter();
        watch(socket, expected, colour, &mut end).await
    });
    // A daemon that does not answer is not waited for.
    runtime.shutdown_background();
    result
}

async fn watch(socket: &Path, expected: DaemonKind, colour: Colour, end: &mut EndSignals) -> CommandResult {
    let mut completion = Completion::Broken;
    loop {
        let path: PathBuf = socket.to_owned();
        let drawn = tokio::task::spawn_blocking(move || draw(&path, expected, colour));
        tokio::select! {
            drawn = drawn => completion = drawn.map_err(CommandError::new)?.completion(),
            () = end.wait() => return Ok(completion),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = end.wait() => return Ok(completion),
        }
    }
}

/// Draws one screen, in one write.
fn draw(socket: &Path, expected: DaemonKind, colour: Colour) -> Level {
    let screen = fetch(socket, expected).and_then(|status| screen_of(&status));
    let (level, lines) = match screen {
        Ok(screen) => (screen.level, screen.lines(colour)),
        Err(error) => (Level::Away, vec![format!("sidegate: {error}")]),
    };
    let text = format!("{CLEAR}{}\r\n\r\nCtrl-C ends this; drawn anew each second\r\n", lines.join("\n").replace('\n', "\r\n"));
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    level
}

/// The signals that end it.
struct EndSignals([Signal; 3]);

impl EndSignals {
    fn install() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::new);
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The terminal's other screen, until this is dropped.
struct OtherScreen;

impl OtherScreen {
    fn enter() -> Self {
        write(ENTER);
        Self
    }
}

impl Drop for OtherScreen {
    fn drop(&mut self) {
        write(LEAVE);
    }
}

fn write(codes: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(codes.as_bytes()).and_then(|()| out.flush());
}
