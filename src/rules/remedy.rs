//! Each reason for a refusal in an operator's words: why, as the end of a sentence with "because", and what would have to change for a yes.
//!
//! The codes are those of [`refusal_reason`](crate::rules::refusal_reason). A sentence of a GitLab is recognised by how it begins.

/// A reason in an operator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its stable code.
    pub code: &'static str,
    /// Why, without a full stop.
    pub because: &'static str,
    /// What would have to change for a yes.
    pub remedy: &'static str,
    /// How the sentence of a GitLab begins that means it; empty where none does.
    message: &'static str,
}

const fn row(code: &'static str, because: &'static str, remedy: &'static str, message: &'static str) -> Explained {
    Explained { code, because, remedy, message }
}

/// Returns a reason by its code.
#[must_use]
pub fn by_code(code: &str) -> Option<&'static Explained> {
    TABLE.iter().find(|row| row.code == code)
}

/// Returns the reason that a sentence of a GitLab states, if it is one that is known.
#[must_use]
pub fn by_message(message: &str) -> Option<&'static Explained> {
    TABLE.iter().find(|row| !row.message.is_empty() && message.starts_with(row.message))
}

#[rustfmt::skip]
static TABLE: &[Explained] = &[
    row("repository_word", "`gl_repository` names no kind of repository", "ask for `project-<id>`, `wiki-<id>`, `snippet-<id>` or `design-<id>`, or by its path", ""),
    row("kerberos_principal", "Kerberos logins are not known here", "log in with an SSH key", ""),
    row("maintenance", "the instance is in maintenance mode and takes no pushes", "an administrator ends the maintenance mode (`maintenance` of the settings)", "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance"),
    row("one_time_password", "the instance asks for a one-time password before Git over SSH", "the person runs `ssh git@HOST 2fa_verify`, or an administrator ends `two_factor_for_cli`", "OTP verification is required"),
    row("protocol_disabled", "Git over this protocol is switched off for the instance", "an administrator switches it on (`ssh_enabled`, `http_enabled` of the settings)", "Git access over "),
    row("key_too_short", "the key has fewer bits than the instance demands", "the person adds a longer key, or an administrator lowers `key_rules`", "Your SSH key must be at least"),
    row("key_type_forbidden", "the instance forbids keys of this type", "the person adds a key of another type, or an administrator changes `key_rules`", "Your SSH key type is forbidden"),
    row("key_expired", "the key has expired", "the person adds a new key, or one with a later end", "Your SSH key has expired"),
    row("user_internal", "the account is one of the instance's own and no person's", "another account is used", "This action cannot be performed by internal users"),
    row("user_pending_approval", "the account waits for an administrator's approval", "an administrator approves the account", "Your account is pending approval"),
    row("terms_not_accepted", "the person has not accepted the terms of service", "the person accepts them in a browser", "You (@"),
    row("user_deactivated", "the account is deactivated", "the person logs in in a browser once, or an administrator activates the account", "Your account has been deactivated"),
    row("user_unconfirmed", "the account's primary e-mail address is not confirmed", "the person confirms it by the link that was sent", "Your primary email address is not confirmed"),
    row("user_blocked", "the account is blocked", "an administrator unblocks the account", "Your account has been blocked"),
    row("user_banned", "the account is banned", "an administrator unbans the account", ""),
    row("password_expired", "the account's password has expired", "the person sets a new password in a browser", "Your password expired"),
    row("unknown_action", "the command is none of Git's", "ask for git-upload-pack, git-upload-archive or git-receive-pack", "The command you're trying to execute is not allowed"),
    row("read_only_instance", "the instance is read-only", "an administrator makes it writable (`read_only` of the settings)", "You can't push code to a read-only GitLab instance"),
    row("namespace_rule", "the certificate holds for another group only", "the project is in the certificate's group", "You are not allowed to access projects in this namespace"),
    row("namespace_not_found", "no group or user owns the beginning of this path", "the path is spelt right, or that group exists", "The namespace you were looking for"),
    row("project_not_found", "there is no such project, or the account may not see it", "the path is spelt right, and the account is a member or the project is visible to it (also from the client's address)", "The project you were looking for"),
    row("project_not_made", "the push could not create the project", "what its message says is put right", "Could not create project"),
    row("repository_missing", "the project has no repository yet", "somebody pushes to the project first", "A repository for this project does not exist yet"),
    row("storage_missing", "the directory does not name the storage of the repository", "an administrator adds the storage to the directory", "The storage of this repository is not known"),
    row("download", "the role in the project does not reach to reading its code", "the role is reporter or above, or the project's repository is open to everybody who sees it", "You are not allowed to download code from this project"),
    row("repository_read_only", "the repository is read-only for now", "an administrator makes it writable again", "The repository is temporarily read-only"),
    row("archived", "the project is archived", "an owner unarchives the project", "You can't push code to an archived project"),
    row("deploy_key_read_only", "the deploy key may only read this project", "a maintainer lets the deploy key write, or another key is used", "This deploy key does not have write access"),
    row("no_uploader", "nobody who may push asks", "an account or a deploy key that may push is used", "You are not allowed to upload code for this project"),
    row("push", "the role in the project does not reach to pushing", "the role is developer or above", "You are not allowed to push code to this project"),
    row("wiki_not_found", "there is no such wiki, or the account may not see it", "the project has a wiki that the account may see", "The wiki you were looking for"),
    row("wiki_missing", "the wiki has no repository yet", "somebody writes the first page", "A repository for this wiki does not exist yet"),
    row("wiki_download", "the role in the project does not reach to reading its wiki", "the wiki is open to the account's role", "You are not allowed to download files from this wiki"),
    row("wiki_write", "the role in the project does not reach to writing its wiki", "the role is developer or above", "You are not allowed to write to this project's wiki"),
    row("snippet_not_found", "there is no such snippet, or the account may not see it", "its number is right, and the account may see it", "The snippet you were looking for could not be found"),
    row("snippet_actor", "snippets are for users, not for deploy keys", "a user's own key is used", "The authentication mechanism is not supported"),
    row("snippet_missing", "the snippet has no repository yet", "somebody writes to the snippet first", "The snippet repository you were looking for"),
    row("snippet_read", "the account may not read this snippet", "its author makes it visible", "You are not allowed to read this snippet"),
    row("snippet_write", "the account may not change this snippet", "its author writes to it", "You are not allowed to update this snippet"),
    row("design_protocol", "designs are not given over SSH", "the web interface is used", "Designs are only accessible"),
    row("design", "the role in the project does not reach to its designs", "the role is developer or above", "You are not allowed to manage designs"),
    row("change_line", "a line of the changes is none", "each line is `<old revision> <new revision> <ref>`", ""),
    row("default_branch_deleted", "the default branch cannot be deleted", "another branch is made the default first", "The default branch of a project cannot be deleted"),
    row("hexadecimal_branch", "a branch may not be named like a revision", "the branch has another name", "You cannot create a branch with a 40-character"),
    row("protected_branch_push", "the branch is protected against this role", "the role is what the protection asks for", "You are not allowed to push code to protected branches"),
    row("protected_branch_create", "the branch is protected against being made by this role", "the role is what the protection asks for", "You are not allowed to create protected branches"),
    row("protected_branch_create_outside_web", "protected branches are made in the web interface", "it is made in the web interface", "You can only create protected branches"),
    row("protected_branch_basis", "a new protected branch must begin at another protected one", "it begins there", "You can only use an existing protected branch ref"),
    row("protected_branch_delete", "the branch is protected against being deleted by this role", "a maintainer deletes it", "You are not allowed to delete protected branches"),
    row("protected_branch_delete_outside_web", "protected branches are deleted in the web interface", "it is deleted in the web interface", "You can only delete protected branches"),
    row("existing_tag", "existing tags may be changed by maintainers only", "the role is maintainer or above", "You are not allowed to change existing tags"),
    row("protected_tag_update", "protected tags are never changed", "a new tag is made", "Protected tags cannot be updated"),
    row("protected_tag_delete", "the tag is protected against being deleted by this role", "a maintainer deletes it", "You are not allowed to delete protected tags"),
    row("protected_tag_delete_outside_web", "protected tags are deleted in the web interface", "it is deleted in the web interface", "You can only delete protected tags"),
    row("protected_tag_create", "the tag is protected against being made by this role", "the role is what the protection asks for", "You are not allowed to create this tag"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{TABLE, by_code, by_message};
    use crate::rules::refusal_reason::RefusalReason;

    /// Returns the codes that stand in the table of reasons.
    fn codes() -> HashSet<&'static str> {
        let source = include_str!("refusal_reason.rs");
        let rows = source.split("=> ").skip(1).filter(|row| row.starts_with("return formatted_row(") || row.starts_with('('));
        rows.filter_map(|row| row.split('"').nth(1))
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
            .collect()
    }

    #[test]
    fn every_reason_is_explained_and_nothing_else() {
        let explained: HashSet<&str> = TABLE.iter().map(|row| row.code).collect();
        assert!(codes().len() > 50, "{:?}", codes());
        assert_eq!(explained, codes());
        for row in TABLE {
            assert!(!row.because.ends_with('.') && !row.remedy.ends_with('.'), "{}", row.code);
        }
    }

    #[test]
    fn a_sentence_of_a_gitlab_is_recognised_as_the_same_reason() {
        for reason in [
            RefusalReason::UserBlocked,
            RefusalReason::KeyExpired,
            RefusalReason::KeyTooShort { bits: 2048 },
            RefusalReason::TermsNotAccepted { username: "zoe".to_owned(), url: "https://git".to_owned() },
            RefusalReason::ProjectNotFound,
            RefusalReason::Download,
            RefusalReason::Push,
            RefusalReason::Archived,
            RefusalReason::Maintenance,
            RefusalReason::ProtectedBranchPush,
        ] {
            assert_eq!(by_message(&reason.message()).map(|row| row.code), Some(reason.code()), "{reason:?}");
        }
        assert_eq!((by_message("Something else."), by_message(""), by_code("other")), (None, None, None));
    }
}
