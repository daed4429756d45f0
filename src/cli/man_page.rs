//! The manual pages: one for each command, from the same definition as `--help`, and one for each configuration, from the file of `docs/`
//! that describes it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::arguments::Arguments;
use crate::cli::exit_status::{CommandError, CommandResult, Completion, exit_codes};
use crate::cli::roff;

/// The pages of section 5: name, what the page describes, and its text in Markdown.
const CONFIG_PAGES: [(&str, &str, &str); 3] = [
    ("sidegate.toml", "configuration of the sidegate sidecar", include_str!("../../docs/sidegate.toml.5.md")),
    ("sidegate-primary.toml", "configuration of the sidegate primary", include_str!("../../docs/sidegate-primary.toml.5.md")),
    ("sidegate-mirror.toml", "configuration of the sidegate mirror", include_str!("../../docs/sidegate-mirror.toml.5.md")),
];

/// One manual page.
struct Page {
    /// What `man` is asked for, as `sidegate-admin-apply`.
    name: String,
    /// The section of the manual.
    section: u8,
    /// Its text in roff.
    roff: String,
}

/// Prints the manual page with this name, in roff.
pub fn print(name: &str) -> CommandResult {
    let pages = all_pages().map_err(CommandError::new)?;
    let Some(page) = pages.iter().find(|page| page.name == name) else {
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        return Err(CommandError(format!("there is no manual page {name}; name one of: {}", names.join(", "))));
    };
    print_whole(page.roff.as_bytes())
}

/// Writes every manual page into a folder, which is made where there is none, each as the file that `man` looks for.
pub fn write_all(folder: &Path) -> CommandResult {
    let pages = all_pages().map_err(CommandError::new)?;
    fs::create_dir_all(folder).map_err(|error| CommandError::with_context(&folder.display().to_string(), error))?;
    for page in pages {
        let file = folder.join(format!("{}.{}", page.name, page.section));
        fs::write(&file, &page.roff).map_err(|error| CommandError::with_context(&file.display().to_string(), error))?;
    }
    Ok(Completion::Complete)
}

/// Prints the completions for one shell.
pub fn print_completions(shell: clap_complete::Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown_commands(), "sidegate", &mut script);
    print_whole(&script)
}

/// Returns the program without the commands that only other programs run: bash would propose them too.
fn shown_commands() -> clap::Command {
    let all = Arguments::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("sidegate").version(env!("CARGO_PKG_VERSION")).subcommands(shown)
}

/// A reader that has closed its end is no error.
fn print_whole(text: &[u8]) -> CommandResult {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::with_context("standard output", error)),
        _ => Ok(Completion::Complete),
    }
}

fn all_pages() -> io::Result<Vec<Page>> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add_command_pages(&program, &mut pages)?;
    for (name, summary, markdown) in CONFIG_PAGES {
        pages.push(Page { name: name.to_owned(), section: 5, roff: roff::in_ascii(&roff::from_markdown(markdown, summary)) });
    }
    Ok(pages)
}

/// Adds the page of a command, and then those of the commands below it that the help shows.
fn add_command_pages(command: &clap::Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut rendered = Vec::new();
    clap_mangen::Man::new(command.clone()).source(concat!("sidegate ", env!("CARGO_PKG_VERSION"))).render(&mut rendered)?;
    let exit_status = if name == "sidegate" { roff::exit_status_section(&exit_codes()) } else { String::new() };
    let roff = roff::in_ascii(&String::from_utf8_lossy(&rendered)) + &exit_status + &see_also(&name);
    pages.push(Page { name, section: 1, roff });
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add_command_pages(below, pages)?;
    }
    Ok(())
}

/// Returns the last section of a command's page: the other pages, which it does not name by itself.
fn see_also(name: &str) -> String {
    let program = (name != "sidegate").then(|| "\\fBsidegate\\fR(1)".to_owned());
    let configurations = CONFIG_PAGES.iter().map(|(page, ..)| format!("\\fB{}\\fR(5)", page.replace('-', "\\-")));
    let named: Vec<String> = program.into_iter().chain(configurations).collect();
    format!(".SH \"SEE ALSO\"\n{}\n", named.join(", "))
}
