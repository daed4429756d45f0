//! `sidegate admin backup`: the whole store of a primary in one file, which is in its place only once it is whole and was read back.

use std::io::BufReader;
use std::path::Path;

use crate::cli::admin_client::{AdminClient, TRANSFER_TIMEOUT};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::private_file::PrivateFile;
use crate::cli::progress::{Progress, ProgressWriter};
use crate::wire::directory::backup_lines;

/// Writes a backup of the primary to a file that only its owner may read.
pub fn backup(client: &AdminClient, path: &Path, with_progress: bool) -> CommandResult {
    let mut file = PrivateFile::create(path).map_err(CommandError::new)?;
    let nothing = |error: &dyn std::fmt::Display| CommandError(format!("{}: no backup was written: {error}", path.display()));
    let mut receiver = ProgressWriter::new(&mut file, Progress::begin("received", None, with_progress));
    client.copy_to("/-/admin/backup", TRANSFER_TIMEOUT, &mut receiver).map_err(|error| nothing(&error))?;
    drop(receiver);
    let written = file.reopen().map_err(|error| nothing(&error))?;
    let (header, counts) = backup_lines::verify(BufReader::new(written)).map_err(|error| nothing(&error))?;
    file.replace_target().map_err(CommandError::new)?;
    print_line(&format!(
        "backed up {} records and {} private entries, at seq {}, to {}, which only its owner may read: it holds every secret of the primary",
        counts.records,
        counts.private_entries,
        header.seq,
        path.display()
    ));
    Ok(Completion::Complete)
}
