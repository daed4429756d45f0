//! Every reason for a refusal, in one table: its status, its code for logs and metrics, and the message that a person reads.
//!
//! Statuses and messages are the contract's, byte for byte (server.md 3.1, 3.2, 3.7, 3.8): people and programs look for them.

use std::borrow::Cow;

use crate::model::access_decision::AccessDenied;
use crate::model::directory::DirectoryError;

/// Why a request is refused. Closed: whoever adds a rule adds its reason here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each reason has its message in the table below")]
pub enum RefusalReason {
    RepositoryWord,
    KerberosPrincipal,
    Maintenance,
    OneTimePassword { host: String },
    ProtocolDisabled { protocol: String },
    KeyTooShort { bits: u32 },
    KeyTypeForbidden { allowed: String },
    KeyExpired,
    UserInternal,
    UserPendingApproval,
    TermsNotAccepted { username: String, url: String },
    UserDeactivated { url: String },
    UserUnconfirmed { url: String },
    UserBlocked,
    UserBanned,
    PasswordExpired,
    UnknownAction,
    ReadOnlyInstance,
    NamespaceRule,
    NamespaceNotFound,
    ProjectNotFound,
    ProjectNotMade { detail: String },
    RepositoryMissing,
    StorageMissing,
    Download,
    RepositoryReadOnly,
    Archived,
    DeployKeyReadOnly,
    NoUploader,
    Push,
    WikiNotFound,
    WikiMissing,
    WikiDownload,
    WikiWrite,
    SnippetNotFound,
    SnippetActor,
    SnippetMissing,
    SnippetRead,
    SnippetWrite,
    DesignProtocol,
    Design,
    ChangeLine { line: usize },
    DefaultBranchDeleted,
    HexadecimalBranch,
    ProtectedBranchPush,
    ProtectedBranchCreate,
    ProtectedBranchCreateOutsideWeb,
    ProtectedBranchBasis,
    ProtectedBranchDelete,
    ProtectedBranchDeleteOutsideWeb,
    ExistingTag,
    ProtectedTagUpdate,
    ProtectedTagDelete,
    ProtectedTagDeleteOutsideWeb,
    ProtectedTagCreate,
}

use self::RefusalReason as R;

impl RefusalReason {
    /// Returns the HTTP status: 400, 401, 404 or 422.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.table_row().0
    }

    /// Returns the stable code for logs, metrics and `explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.table_row().1
    }

    /// Returns the message for the person.
    #[must_use]
    pub fn message(&self) -> String {
        self.table_row().2.into_owned()
    }

    /// Returns the refusal that the response is made from.
    #[must_use]
    pub fn to_refusal(&self) -> AccessDenied {
        let (status, reason, text) = self.table_row();
        AccessDenied { status, reason, message: text.into_owned() }
    }

    #[rustfmt::skip]
    fn table_row(&self) -> (u16, &'static str, Cow<'static, str>) {
        let (status, word, text): (u16, &'static str, &'static str) = match self {
            R::OneTimePassword { host } => return formatted_row(401, "one_time_password", format!("OTP verification is required to access the repository.\n\n   Use: ssh git@{host} 2fa_verify")),
            R::ProtocolDisabled { protocol } => return formatted_row(401, "protocol_disabled", format!("Git access over {protocol} is not allowed")),
            R::KeyTooShort { bits } => return formatted_row(401, "key_too_short", format!("Your SSH key must be at least {bits} bits.")),
            R::KeyTypeForbidden { allowed } => return formatted_row(401, "key_type_forbidden", format!("Your SSH key type is forbidden. Must be {allowed}.")),
            R::TermsNotAccepted { username, url } => return formatted_row(401, "terms_not_accepted", format!("You (@{username}) must accept the Terms of Service in order to perform this action. To accept these terms, please access GitLab from a web browser at {url}.")),
            R::UserDeactivated { url } => return formatted_row(401, "user_deactivated", format!("Your account has been deactivated by your administrator. Please log back in from a web browser to reactivate your account at {url}")),
            R::UserUnconfirmed { url } => return formatted_row(401, "user_unconfirmed", format!("Your primary email address is not confirmed. Please check your inbox for the confirmation instructions. In case the link is expired, you can request a new confirmation email at {url}")),
            R::ProjectNotMade { detail: why } => return formatted_row(422, "project_not_made", format!("Could not create project: {why}")),
            R::ChangeLine { line } => return formatted_row(400, "change_line", format!("Line {line} of the changes is not `<old revision> <new revision> <ref>`.")),
            R::RepositoryWord => (400, "repository_word", "`gl_repository` is none of `project-<id>`, `wiki-<id>`, `snippet-<id>` and `design-<id>`."),
            R::KerberosPrincipal => (400, "kerberos_principal", "This Git server does not know Kerberos logins. Please log in with an SSH key."),
            R::Maintenance => (401, "maintenance", "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode."),
            R::KeyExpired => (401, "key_expired", "Your SSH key has expired."),
            R::UserInternal => (401, "user_internal", "This action cannot be performed by internal users"),
            R::UserPendingApproval => (401, "user_pending_approval", "Your account is pending approval from your administrator and hence blocked."),
            R::UserBlocked => (401, "user_blocked", "Your account has been blocked."),
            R::UserBanned => (401, "user_banned", "Your account has been blocked."),
            R::PasswordExpired => (401, "password_expired", "Your password expired. Please access GitLab from a web browser to update your password."),
            R::UnknownAction => (401, "unknown_action", "The command you're trying to execute is not allowed."),
            R::ReadOnlyInstance => (401, "read_only_instance", "You can't push code to a read-only GitLab instance."),
            R::NamespaceRule => (401, "namespace_rule", "You are not allowed to access projects in this namespace."),
            R::NamespaceNotFound => (404, "namespace_not_found", "The namespace you were looking for could not be found."),
            R::ProjectNotFound => (404, "project_not_found", "The project you were looking for could not be found or you don't have permission to view it."),
            R::RepositoryMissing => (404, "repository_missing", "A repository for this project does not exist yet."),
            R::StorageMissing => (422, "storage_missing", "The storage of this repository is not known. Please ask your administrator."),
            R::Download => (401, "download", "You are not allowed to download code from this project."),
            R::RepositoryReadOnly => (401, "repository_read_only", "The repository is temporarily read-only. Please try again later."),
            R::Archived => (401, "archived", "You can't push code to an archived project."),
            R::DeployKeyReadOnly => (401, "deploy_key_read_only", "This deploy key does not have write access to this project."),
            R::NoUploader => (401, "no_uploader", "You are not allowed to upload code for this project."),
            R::Push => (401, "push", "You are not allowed to push code to this project."),
            R::WikiNotFound => (404, "wiki_not_found", "The wiki you were looking for could not be found."),
            R::WikiMissing => (404, "wiki_missing", "A repository for this wiki does not exist yet."),
            R::WikiDownload => (401, "wiki_download", "You are not allowed to download files from this wiki."),
            R::WikiWrite => (401, "wiki_write", "You are not allowed to write to this project's wiki."),
            R::SnippetNotFound => (404, "snippet_not_found", "The snippet you were looking for could not be found."),
            R::SnippetActor => (401, "snippet_actor", "The authentication mechanism is not supported."),
            R::SnippetMissing => (404, "snippet_missing", "The snippet repository you were looking for could not be found."),
            R::SnippetRead => (401, "snippet_read", "You are not allowed to read this snippet."),
            R::SnippetWrite => (401, "snippet_write", "You are not allowed to update this snippet."),
            R::DesignProtocol => (401, "design_protocol", "Designs are only accessible using the web interface"),
            R::Design => (401, "design", "You are not allowed to manage designs of this project"),
            R::DefaultBranchDeleted => (401, "default_branch_deleted", "The default branch of a project cannot be deleted."),
            R::HexadecimalBranch => (401, "hexadecimal_branch", "You cannot create a branch with a 40-character hexadecimal branch name."),
            R::ProtectedBranchPush => (401, "protected_branch_push", "You are not allowed to push code to protected branches on this project."),
            R::ProtectedBranchCreate => (401, "protected_branch_create", "You are not allowed to create protected branches on this project."),
            R::ProtectedBranchCreateOutsideWeb => (401, "protected_branch_create_outside_web", "You can only create protected branches using the web interface and API."),
            R::ProtectedBranchBasis => (401, "protected_branch_basis", "You can only use an existing protected branch ref as the basis of a new protected branch."),
            R::ProtectedBranchDelete => (401, "protected_branch_delete", "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch."),
            R::ProtectedBranchDeleteOutsideWeb => (401, "protected_branch_delete_outside_web", "You can only delete protected branches using the web interface."),
            R::ExistingTag => (401, "existing_tag", "You are not allowed to change existing tags on this project."),
            R::ProtectedTagUpdate => (401, "protected_tag_update", "Protected tags cannot be updated."),
            R::ProtectedTagDelete => (401, "protected_tag_delete", "You are not allowed to delete protected tags from this project. Only a project maintainer or owner can delete a protected tag."),
            R::ProtectedTagDeleteOutsideWeb => (401, "protected_tag_delete_outside_web", "You can only delete protected tags using the web interface."),
            R::ProtectedTagCreate => (401, "protected_tag_create", "You are not allowed to create this tag as it is protected."),
        };
        (status, word, Cow::Borrowed(text))
    }
}

fn formatted_row(status: u16, word: &'static str, text: String) -> (u16, &'static str, Cow<'static, str>) {
    (status, word, Cow::Owned(text))
}

/// Whom a refusal is about, where it is not the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedParty {
    /// The key that was used.
    Key,
    /// The account.
    Account,
}

/// How the messages that refuse a key, and an account, begin: ours and those of a GitLab.
const KEY_MESSAGES: [&str; 1] = ["Your SSH key "];
const ACCOUNT_MESSAGES: [&str; 5] =
    ["Your account ", "Your password ", "Your primary email address ", "You (@", "This action cannot be performed by internal users"];

/// Returns whom a refusal with status 401 and this message is about; `None` where it is about the repository or the action.
#[must_use]
pub fn refused_party(message: &str) -> Option<RefusedParty> {
    let begins = |messages: &[&str]| messages.iter().any(|begin| message.starts_with(begin));
    if begins(&KEY_MESSAGES) {
        return Some(RefusedParty::Key);
    }
    begins(&ACCOUNT_MESSAGES).then_some(RefusedParty::Account)
}

/// Why the checks end before the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// A rule refuses the request.
    Refused(RefusalReason),
    /// The directory could not be read: there is no decision.
    Directory(DirectoryError),
}

impl From<RefusalReason> for CheckError {
    fn from(reason: RefusalReason) -> Self {
        Self::Refused(reason)
    }
}

impl From<DirectoryError> for CheckError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// The outcome of one rule.
pub type CheckResult<T = ()> = Result<T, CheckError>;

#[cfg(test)]
mod tests {
    use super::{RefusalReason, RefusedParty, refused_party};

    #[test]
    fn a_refusal_names_the_key_or_the_account_or_neither() {
        let text = String::new;
        for (reason, party) in [
            (RefusalReason::KeyTooShort { bits: 2048 }, Some(RefusedParty::Key)),
            (RefusalReason::KeyTypeForbidden { allowed: text() }, Some(RefusedParty::Key)),
            (RefusalReason::KeyExpired, Some(RefusedParty::Key)),
            (RefusalReason::UserInternal, Some(RefusedParty::Account)),
            (RefusalReason::UserPendingApproval, Some(RefusedParty::Account)),
            (RefusalReason::TermsNotAccepted { username: text(), url: text() }, Some(RefusedParty::Account)),
            (RefusalReason::UserDeactivated { url: text() }, Some(RefusedParty::Account)),
            (RefusalReason::UserUnconfirmed { url: text() }, Some(RefusedParty::Account)),
            (RefusalReason::UserBlocked, Some(RefusedParty::Account)),
            (RefusalReason::UserBanned, Some(RefusedParty::Account)),
            (RefusalReason::PasswordExpired, Some(RefusedParty::Account)),
            (RefusalReason::Download, None),
            (RefusalReason::Push, None),
            (RefusalReason::DeployKeyReadOnly, None),
            (RefusalReason::Maintenance, None),
        ] {
            assert_eq!(refused_party(&reason.message()), party, "{reason:?}");
        }
    }
}
