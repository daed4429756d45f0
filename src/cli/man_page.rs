//! The manual pages and the completions of shells. sidegate(1) comes from the same definition as `--help`; the pages of the configurations
//! are the files of `docs/`, turned into roff.

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::cli::arguments::{Arguments, ManualPage};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::roff;

const SIDECAR_CONFIG_PAGE: &str = include_str!("../../docs/sidegate.toml.5.md");
const MIRROR_CONFIG_PAGE: &str = include_str!("../../docs/sidegate-mirror.toml.5.md");
const PRIMARY_CONFIG_PAGE: &str = include_str!("../../docs/sidegate-primary.toml.5.md");

/// Prints a manual page in roff.
pub fn print_man_page(page: ManualPage) -> CommandResult {
    let mut out = io::stdout().lock();
    let printed = match page {
        ManualPage::Sidegate => clap_mangen::Man::new(Arguments::command()).render(&mut out),
        ManualPage::SidecarConfig => {
            out.write_all(roff::from_markdown(SIDECAR_CONFIG_PAGE, "configuration of the sidegate sidecar").as_bytes())
        }
        ManualPage::PrimaryConfig => {
            out.write_all(roff::from_markdown(PRIMARY_CONFIG_PAGE, "configuration of the sidegate primary").as_bytes())
        }
        ManualPage::MirrorConfig => {
            out.write_all(roff::from_markdown(MIRROR_CONFIG_PAGE, "configuration of the sidegate mirror").as_bytes())
        }
    };
    printed.map_err(CommandError::new)?;
    Ok(Completion::Complete)
}

/// Prints the completions for one shell.
#[expect(clippy::unnecessary_wraps, reason = "every command ends the same way")]
pub fn print_completions(shell: clap_complete::Shell) -> CommandResult {
    clap_complete::generate(shell, &mut Arguments::command(), "sidegate", &mut io::stdout());
    Ok(Completion::Complete)
}
