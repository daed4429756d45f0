//! The manual page and the completions of shells, printed from the same definition as `--help`.

use std::io;

use clap::CommandFactory as _;

use crate::cli::arguments::Arguments;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};

/// Prints sidegate(1) in roff.
pub fn print_man_page() -> CommandResult {
    clap_mangen::Man::new(Arguments::command()).render(&mut io::stdout()).map_err(CommandError::new)?;
    Ok(Completion::Complete)
}

/// Prints the completions for one shell.
#[expect(clippy::unnecessary_wraps, reason = "every command ends the same way")]
pub fn print_completions(shell: clap_complete::Shell) -> CommandResult {
    clap_complete::generate(shell, &mut Arguments::command(), "sidegate", &mut io::stdout());
    Ok(Completion::Complete)
}
