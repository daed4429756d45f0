//! Creates a project on its first push: private, in the namespace that the path names, with a place of its own on the storage.
//! (server.md 3.6)

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::api::error::ApiError;
use crate::model::access_decision::{AccessDecision, NewProject};
use crate::model::access_request::{AllowedRequest, Protocol};
use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::enums::{FeatureAccess, Visibility};
use crate::model::id::Id;
use crate::model::record::{Project, Record, Settings};
use crate::model::text::Text;
use crate::model::time::Time;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::rules::allowed::decide;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// The storage of new projects.
const DEFAULT_STORAGE: &str = "default";
/// The default branch of new projects.
const DEFAULT_BRANCH: &str = "main";
/// The key of the id of the last project that was created here.
const LAST_PROJECT_ID_KEY: &[u8] = b"last/project";

/// Creates the project that this request would create, if it still would once no other writer is at work.
pub async fn create_project(
    writer: &Arc<DirectoryWriter>,
    private_store: &PrivateStore,
    request: &AllowedRequest,
    now: Time,
) -> Result<(), ApiError> {
    let (private_store, request) = (private_store.clone(), request.clone());
    let commit = writer.commit("create-project", move |directory| {
        let AccessDecision::CreatesProject(creation) = decide(directory, &request, now)?.decision else {
            return Ok((Vec::new(), None));
        };
        let project = new_project(directory, next_project_id(directory, &private_store)?, &creation)?;
        let text = created_message(&*directory.settings()?, &project, &request.protocol);
        messages::queue(&private_store, creation.user.id, &format!("project-{}", project.id), MessageKind::Created, text, now)?;
        let created = (project.id, project.path.clone());
        Ok((vec![Change::Put(Entry::from_record(Record::Project(project))?)], Some(created)))
    });
    let (head, created) = commit.await?;
    if let Some((id, path)) = created {
        tracing::info!(%id, %path, seq = head.seq, "a push created project {path} (id {id})");
    }
    Ok(())
}

fn new_project(directory: &Generation, id: Id, creation: &NewProject) -> Result<Project, ApiError> {
    if directory.storage(DEFAULT_STORAGE)?.is_none() {
        let text = format!("Could not create project: there is no storage `{DEFAULT_STORAGE}` in the directory");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let name = creation.path.rsplit('/').next().unwrap_or(&creation.path);
    Ok(Project {
        id,
        namespace_id: creation.namespace_id,
        path: parse_text(&creation.path)?,
        name: parse_text(name)?,
        visibility: Visibility::Private,
        repository_access: FeatureAccess::Enabled,
        wiki_access: FeatureAccess::Enabled,
        archived: false,
        repository_read_only: false,
        repository_exists: true,
        wiki_repository_exists: true,
        lfs_enabled: true,
        print_merge_request_link: true,
        default_branch: parse_text(DEFAULT_BRANCH)?,
        storage: parse_text(DEFAULT_STORAGE)?,
        relative_path: parse_text(&hashed_storage_path(id))?,
    })
}

/// Returns the id after the last one that was created here; if the operator has used that one, the id after the highest there is.
fn next_project_id(directory: &Generation, private_store: &PrivateStore) -> Result<Id, ApiError> {
    let last = private_store.read(LAST_PROJECT_ID_KEY)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(u64::from_be_bytes);
    let next = |id: u64| Id::try_from(id + 1).map_err(ApiError::internal);
    let id = match last.map(next).transpose()? {
        Some(id) if directory.project(id)?.is_none() => id,
        _ => next(highest_project_id(directory)?)?,
    };
    private_store.write(PrivateWrites { entries: vec![(LAST_PROJECT_ID_KEY.to_vec(), Some(id.bytes().to_vec()))] })?;
    Ok(id)
}

fn highest_project_id(directory: &Generation) -> Result<u64, ApiError> {
    let mut highest = 0;
    for entry in directory.entries() {
        match entry?.record().map(AsRef::as_ref) {
            Some(Record::Project(project)) => highest = highest.max(project.id.number()),
            // Snippets come after all projects.
            Some(Record::Snippet(_)) => break,
            _ => {}
        }
    }
    Ok(highest)
}

/// Returns the path of a project's repository on its storage, from the SHA-256 of its id, so that it stays when the project is moved.
fn hashed_storage_path(id: Id) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(id.to_string()) {
        let _infallible = write!(hex, "{byte:02x}");
    }
    format!("@hashed/{}/{}/{hex}.git", &hex[..2], &hex[2..4])
}

fn parse_text(text: &str) -> Result<Text, ApiError> {
    Text::try_from(text).map_err(|error| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("Could not create project: {error}")))
}

/// Returns the URL of a project for the protocol that was used.
#[must_use]
pub fn remote_url(settings: &Settings, path: &str, protocol: &Protocol) -> String {
    match protocol {
        Protocol::Ssh => format!("git@{}:{path}.git", settings.host),
        Protocol::Http | Protocol::Web | Protocol::Other(_) => format!("{}/{path}.git", settings.web_url.trim_end_matches('/')),
    }
}

fn created_message(settings: &Settings, project: &Project, protocol: &Protocol) -> String {
    let path = &project.path;
    let remote = remote_url(settings, path, protocol);
    let web = settings.web_url.trim_end_matches('/');
    format!(
        "The private project {path} was successfully created.\n\n\
         To configure the remote, run:\n  git remote add origin {remote}\n\nTo view the project, visit:\n  {web}/{path}"
    )
}

#[cfg(test)]
mod tests {
    use super::hashed_storage_path;

    #[test]
    fn a_repository_path_is_the_sha256_of_the_project_id() {
        let expected = "@hashed/6b/86/6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b.git";
        assert_eq!(hashed_storage_path("1".parse().unwrap()), expected);
    }
}
