//! The table of the kinds of record: their order, their names, and their key fields. Everything that goes through all kinds is
//! generated from it.
//!
//! A line says, in this order: the struct (in `model/record.rs`), the name in the field `kind`, the kind's number in sort keys, the key
//! fields with their types as a delete names them, and how these are encoded in the sort key (the methods of
//! [`crate::model::sort_key::SortKeyBuilder`], called one after the other). The order of the lines is the order of a snapshot. The numbers
//! are in every store, so a number stays with its kind; a new kind takes the next one.
//!
//! Keys are last, whatever kinds are added, and apart: a delete names a key by its id, but it sorts by its fingerprint.

/// Calls the macro `$generate` with the table.
macro_rules! record_kinds {
    ($generate:ident) => {
        $generate! {
            Settings "settings" 0 {} => { }
            Storage "storage" 1 { name: Cow<'a, str> } => { text(name) }
            User "user" 2 { id: Id } => { id(*id) }
            Namespace "namespace" 3 { id: Id } => { id(*id) }
            Project "project" 4 { id: Id } => { id(*id) }
            Snippet "snippet" 5 { id: Id } => { id(*id) }
            Member "member" 6 { namespace_id: Option<Id>, project_id: Option<Id>, user_id: Id }
                => { namespace_or_project(*namespace_id, *project_id) id(*user_id) }
            Share "share" 7 { project_id: Option<Id>, namespace_id: Option<Id>, with_namespace_id: Id }
                => { namespace_or_project(*namespace_id, *project_id) id(*with_namespace_id) }
            DeployGrant "deploy_grant" 8 { key_id: Id, project_id: Id } => { id(*key_id) id(*project_id) }
            Redirect "redirect" 9 { from: Cow<'a, str> } => { text_ignoring_case(from) }
            ProtectedBranch "protected_branch" 10 { project_id: Id, pattern: Cow<'a, str> } => { id(*project_id) text(pattern) }
            ProtectedTag "protected_tag" 11 { project_id: Id, pattern: Cow<'a, str> } => { id(*project_id) text(pattern) }
            Agent "agent" 12 { id: Id } => { id(*id) }
            ErrorTrackingKey "error_tracking_key" 13 { project_id: Id, public_key: Cow<'a, str> } => { id(*project_id) text(public_key) }
            ; Key "key" 255 { id: Id }
        }
    };
}

pub(crate) use record_kinds;
