//! The manual page and completions, printed from the same definition as `--help`.

use std::io;

use clap::CommandFactory as _;

use crate::cli::arguments::Arguments;
use crate::cli::outcome::{Done, Failure, Outcome};

/// `sidegate(1)` in roff.
pub fn page() -> Outcome {
    clap_mangen::Man::new(Arguments::command()).render(&mut io::stdout()).map_err(Failure::of)?;
    Ok(Done::Wholly)
}

/// Completions for one shell.
#[expect(clippy::unnecessary_wraps, reason = "every command ends the same way")]
pub fn completions(shell: clap_complete::Shell) -> Outcome {
    clap_complete::generate(shell, &mut Arguments::command(), "sidegate", &mut io::stdout());
    Ok(Done::Wholly)
}
