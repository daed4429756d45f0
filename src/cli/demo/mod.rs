//! `sidegate demo`: shows sidegate at work on a fresh machine. It runs a primary with a sample directory and a sidecar, both real
//! processes of this program in a temporary folder; sends real requests; tries real logins, as root where sshd is installed; and then
//! kills the primary. `--gitlab` tells the same story with a stand-in for a GitLab.

mod daemon_process;
mod folder;
mod gitlab;
mod gitlab_story;
mod primary_story;
mod processes;
mod sample;
mod sshd;
mod steps;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::cli::demo::folder::{DemoFolder, Upstream};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::lifecycle::{self, LifecycleEvents};
use crate::cli::output::print_line;

/// Runs the demonstration, with a GitLab in place of the primary if that is asked for. A signal ends it at any moment, and nothing of it
/// stays.
pub fn run(once: bool, gitlab: bool) -> CommandResult {
    let runtime = lifecycle::start_runtime()?;
    let mut signals = LifecycleEvents::subscribe(&runtime, [])?;
    let upstream = if gitlab { Upstream::Gitlab } else { Upstream::Primary };
    let folder = Arc::new(DemoFolder::create(upstream)?);
    let story = start_story(Arc::clone(&folder), upstream, once)?;
    let told = runtime.block_on(async {
        tokio::select! {
            _signal = signals.next() => None,
            told = story => Some(told.unwrap_or_else(|_| Err(CommandError("the demonstration broke off".to_owned())))),
        }
    });
    let ended = folder.end();
    match told {
        Some(told) => told?,
        None => print_line("Stopped by a signal."),
    }
    ended?;
    print_line("Nothing of the demonstration runs any more, and its folder is removed.");
    Ok(Completion::Complete)
}

/// Tells the story in a thread of its own, so that a signal does not wait for a step of it.
fn start_story(
    folder: Arc<DemoFolder>,
    upstream: Upstream,
    once: bool,
) -> Result<oneshot::Receiver<Result<(), CommandError>>, CommandError> {
    let (sender, told) = oneshot::channel();
    let tell = move || match upstream {
        Upstream::Primary => primary_story::tell(&folder, once),
        Upstream::Gitlab => gitlab_story::tell(&folder, once),
    };
    std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || {
            let _ = sender.send(tell());
        })
        .map_err(CommandError::new)?;
    Ok(told)
}
