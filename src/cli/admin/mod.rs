//! `sidegate admin`: the commands of the primary's operator, one file for each thing that they see to.

pub mod apply;
mod backup;
mod epoch;
mod export;
mod hosts;
mod missing_hosts;
mod records;
mod restore;
mod revocations;
mod revoke;
pub mod upload;

use std::path::Path;

use crate::cli::admin_client::AdminClient;
use crate::cli::arguments::AdminCommand;
use crate::cli::exit_status::CommandResult;
use crate::cli::status;

/// Runs one of the commands at the primary that listens on `socket`.
pub fn run(socket: &Path, action: AdminCommand) -> CommandResult {
    let client = AdminClient::new(socket)?;
    match action {
        AdminCommand::Apply(arguments) => apply::apply(&client, &arguments),
        AdminCommand::Export { output } => export::export(&client, output.as_deref()),
        AdminCommand::Backup { file, progress } => backup::backup(&client, &file, progress),
        AdminCommand::Restore { file, store } => restore::run(&file, &store),
        AdminCommand::RevokeKey { which, wait } => revoke::revoke_key(&client, &which, &wait),
        AdminCommand::BlockUser { username, wait } => revoke::block_user(&client, &username, &wait),
        AdminCommand::UnblockUser { username, wait } => revoke::unblock_user(&client, &username, &wait),
        AdminCommand::Show { kind, which, json } => records::show(&client, &kind, which.as_deref(), json),
        AdminCommand::List { kind, json } => records::list(&client, &kind, json),
        AdminCommand::Revocations => revocations::list(&client),
        AdminCommand::Hosts => hosts::list(&client),
        AdminCommand::ForgetHost { host, instance } => hosts::forget(&client, &host, instance.as_deref()),
        AdminCommand::AcceptLoss => epoch::accept_loss(&client),
        AdminCommand::NewEpoch => epoch::new_epoch(&client),
        AdminCommand::Status { json, watch } => status::run_admin(socket, json, &watch),
    }
}
