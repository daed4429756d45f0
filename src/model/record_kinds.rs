//! The table of the kinds of record: their order, their names, their key fields, and which changes of them only give access. Everything
//! that goes through all kinds is generated from it.
//!
//! A line says, in this order: the struct (in `model/record.rs`), the name in the field `kind`, the kind's number in sort keys, the key
//! fields with their types as a delete names them, and how these are encoded in the sort key (the methods of
//! [`crate::model::sort_key::SortKeyBuilder`], called one after the other). The order of the lines is the order of a snapshot. The numbers
//! are in every store, so a number stays with its kind; a new kind takes the next one.
//!
//! What follows `gives` says which puts take no access away from anybody: whether a record that was not there before only gives (`new`), and
//! for each field the direction in which a change only gives (the functions of [`crate::model::record_access`]). A field that is not named
//! never only gives: whoever adds one needs to say nothing, and a change of it counts as a restriction. A restriction takes effect at once on
//! a host whose place in the feed is lost, and outlives a full disk; what only gives may wait.
//!
//! Keys are last, whatever kinds are added, and apart: a delete names a key by its id, but it sorts by its fingerprint.

/// Calls the macro `$generate` with the table.
macro_rules! record_kinds {
    ($generate:ident) => {
        $generate! {
            Settings "settings" 0 {} => { } gives {
                new: false; ssh_enabled: switched_on, http_enabled: switched_on, terms_required: switched_off, read_only: switched_off,
                maintenance: switched_off, two_factor_for_cli: switched_off
            }
            Storage "storage" 1 { name: Cow<'a, str> } => { text(name) } gives { new: false; }
            User "user" 2 { id: Id } => { id(*id) } gives {
                new: false; state: activated, admin: switched_on, external: switched_off, two_factor: switched_off,
                terms_accepted: switched_on, password_expires_at: extended, ldap: switched_on, projects_limit: raised
            }
            Namespace "namespace" 3 { id: Id } => { id(*id) } gives { new: false; visibility: widened, archived: switched_off }
            Project "project" 4 { id: Id } => { id(*id) } gives {
                new: false; visibility: widened, repository_access: widened, wiki_access: widened, archived: switched_off,
                repository_read_only: switched_off, repository_exists: switched_on, wiki_repository_exists: switched_on,
                lfs_enabled: switched_on
            }
            Snippet "snippet" 5 { id: Id } => { id(*id) } gives {
                new: false; visibility: widened, repository_exists: switched_on, repository_read_only: switched_off
            }
            Member "member" 6 { namespace_id: Option<Id>, project_id: Option<Id>, user_id: Id }
                => { namespace_or_project(*namespace_id, *project_id) id(*user_id) }
                gives { new: true; access_level: raised, expires_at: extended, pending: switched_off }
            Share "share" 7 { project_id: Option<Id>, namespace_id: Option<Id>, with_namespace_id: Id }
                => { namespace_or_project(*namespace_id, *project_id) id(*with_namespace_id) }
                gives { new: true; access_level: raised, expires_at: extended }
            DeployGrant "deploy_grant" 8 { key_id: Id, project_id: Id } => { id(*key_id) id(*project_id) } gives {
                new: true; can_push: switched_on
            }
            Redirect "redirect" 9 { from: Cow<'a, str> } => { text_ignoring_case(from) } gives { new: false; }
            ProtectedBranch "protected_branch" 10 { project_id: Id, pattern: Cow<'a, str> } => { id(*project_id) text(pattern) }
                gives { new: false; }
            ProtectedTag "protected_tag" 11 { project_id: Id, pattern: Cow<'a, str> } => { id(*project_id) text(pattern) }
                gives { new: false; }
            Agent "agent" 12 { id: Id } => { id(*id) } gives { new: false; }
            ErrorTrackingKey "error_tracking_key" 13 { project_id: Id, public_key: Cow<'a, str> } => { id(*project_id) text(public_key) }
                gives { new: true; active: switched_on }
            ; Key "key" 255 { id: Id } gives { new: true; expires_at: extended }
        }
    };
}

pub(crate) use record_kinds;
