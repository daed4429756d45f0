//! What the whole instance allows: maintenance, the second factor, protocols, commands, writing. (server.md 3.1: E1, E4, 1, 6, 8)

use crate::model::access_decision::Actor;
use crate::model::access_request::{Action, Protocol};
use crate::rules::context::DecisionContext;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// E1: refuses pushes during maintenance.
pub fn check_maintenance(context: &DecisionContext) -> CheckResult {
    if context.settings.maintenance && context.is_push() { Err(RefusalReason::Maintenance.into()) } else { Ok(()) }
}

/// E4: where the instance requires it, a user with a second factor must have used it before a plain key works over SSH. Sessions are not
/// part of a directory, so no user has one here.
pub fn check_second_factor(context: &DecisionContext) -> CheckResult {
    match &context.actor {
        Actor::User(user, Some(_)) if user.two_factor && context.settings.two_factor_for_cli && is_ssh(&context.request.protocol) => {
            Err(RefusalReason::OneTimePassword { host: context.settings.host.to_string() }.into())
        }
        _ => Ok(()),
    }
}

/// 1: the protocol is enabled. `web` always is; an unknown protocol passes only where none is disabled.
pub fn check_protocol(context: &DecisionContext) -> CheckResult {
    let (ssh, http) = (context.settings.ssh_enabled, context.settings.http_enabled);
    let enabled = match &context.request.protocol {
        Protocol::Web => true,
        Protocol::Http => http,
        protocol if is_ssh(protocol) => ssh,
        _ => ssh && http,
    };
    if enabled { Ok(()) } else { Err(RefusalReason::ProtocolDisabled { protocol: protocol_label(&context.request.protocol) }.into()) }
}

/// 6: the command is one of the three that are known.
pub fn check_action(context: &DecisionContext) -> CheckResult {
    if context.request.action == Action::Unknown { Err(RefusalReason::UnknownAction.into()) } else { Ok(()) }
}

/// 8: the instance may be written to.
pub fn check_writable(context: &DecisionContext) -> CheckResult {
    if context.settings.read_only && context.is_push() { Err(RefusalReason::ReadOnlyInstance.into()) } else { Ok(()) }
}

/// Returns whether this is SSH. gitlab-shell of late 2023 sends `ssh_certificates` for sessions with a certificate. (client.md appendix B)
fn is_ssh(protocol: &Protocol) -> bool {
    match protocol {
        Protocol::Ssh => true,
        Protocol::Other(word) => word == "ssh_certificates",
        Protocol::Http | Protocol::Web => false,
    }
}

fn protocol_label(protocol: &Protocol) -> String {
    match protocol {
        Protocol::Ssh => "SSH".to_owned(),
        Protocol::Http => "HTTP".to_owned(),
        Protocol::Web => "WEB".to_owned(),
        Protocol::Other(word) => word.chars().filter(|letter| !letter.is_control()).take(32).collect::<String>().to_uppercase(),
    }
}
