//! `sidegate admin export`: the directory as a file that can be applied.

use std::io;
use std::path::Path;

use crate::cli::admin_client::{AdminClient, TRANSFER_TIMEOUT};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::private_file::PrivateFile;

/// Prints the directory, or writes it to a file: it holds the tokens of storages, so the file is for its owner only.
pub fn export(client: &AdminClient, output: Option<&Path>) -> CommandResult {
    match output.filter(|path| *path != Path::new("-")) {
        None => client.copy_to("/-/admin/export", TRANSFER_TIMEOUT, &mut io::stdout().lock())?,
        Some(path) => {
            let mut file = PrivateFile::create(path).map_err(CommandError::new)?;
            client
                .copy_to("/-/admin/export", TRANSFER_TIMEOUT, &mut file)
                .map_err(|error| CommandError::with_context("nothing was written", error))?;
            file.replace_target().map_err(CommandError::new)?;
            print_line(&format!("exported the directory to {}, which only its owner may read", path.display()));
        }
    }
    Ok(Completion::Complete)
}
