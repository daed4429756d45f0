//! `sidegate setup`: brings a host from installed packages to logins that are answered by sidegate, and takes it back.
//!
//! What the flags do not say is asked on a terminal. From the answers and the host comes a plan, a list of [`steps`](steps::step::Step); it
//! is shown, confirmed once, and then done step by step. Each step is written into a [`record`] before it is done, so that `--remove` finds
//! it whatever happened in between, and undoes that and nothing else. A step that is done already is left alone: a second run changes
//! nothing. The layout is that of docs/install.md.

mod answers;
mod certificates;
mod chain;
mod contents;
mod execute;
mod final_check;
mod host;
mod omnibus;
mod owned_file;
mod place;
mod plan;
mod questions;
mod read_secret;
mod record;
mod remove;
mod sshd;
mod steps;

use std::io::IsTerminal as _;

use nix::unistd::Uid;

use crate::cli::arguments::SetupArgs;
use crate::cli::exit_status::{CommandError, CommandResult};
use crate::cli::setup::answers::Answers;
use crate::cli::setup::host::Host;
use crate::cli::setup::questions::Questions;
use crate::cli::setup::record::Record;

/// Sets this host up, or undoes that. Exit status 0: done; 2: done, and `sidegate check` finds that it does not work; 1: not done, or not
/// wholly.
pub fn run(arguments: &SetupArgs) -> CommandResult {
    if !Uid::effective().is_root() {
        return Err(CommandError("setup writes configurations, secrets and sshd's drop-in; run it as root".to_owned()));
    }
    let host = Host::new(arguments.root.as_deref())?;
    let mut questions = Questions::of_terminal(std::io::stdin().is_terminal() && std::io::stdout().is_terminal());
    let record = Record::load(&host)?;
    if arguments.remove {
        return remove::run(&host, record, arguments, &mut questions);
    }
    let answers = Answers::collect(arguments, &host, &mut questions)?;
    record.require_same_primary(answers.primary)?;
    let steps = plan::steps(&answers, &host)?;
    execute::run(&host, record, &steps, &answers, arguments, &mut questions)
}
