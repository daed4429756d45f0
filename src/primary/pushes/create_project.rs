//! Creates a project on its first push: private, in the namespace that the path names, with a place of its own on the storage.
//! (server.md 3.6)

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;

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
use crate::primary::credentials::random::random_bytes;
use crate::primary::directory::project_ids;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::rules::allowed::decide;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;

/// The storage of new projects.
const DEFAULT_STORAGE: &str = "default";
/// The default branch of new projects.
const DEFAULT_BRANCH: &str = "main";

/// Creates the project that this request would create, if it still would once no other writer is at work.
pub async fn create_project(
    writer: &Arc<DirectoryWriter>,
    store: &PrimaryStore,
    request: &AllowedRequest,
    now: Time,
) -> Result<(), ApiError> {
    let (store, request) = (store.clone(), request.clone());
    let commit = writer.commit("create-project", move |directory| {
        let AccessDecision::CreatesProject(creation) = decide(directory, &request, now)?.decision else {
            return Ok((Vec::new(), None));
        };
        let project = new_project(directory, project_ids::next(directory, store.private_store())?, &creation)?;
        let text = created_message(&*directory.settings()?, &project, &request.protocol);
        messages::queue(&store, creation.user.id, &format!("project-{}", project.id), MessageKind::Created, text, now)?;
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
        relative_path: parse_text(&random_storage_path()?)?,
    })
}

/// Returns a new path on a storage, in the form of GitLab's hashed storage. It is random and not computed from the id, so that no store
/// that gives an id again, because it was restored, gives away the repository of the project that had it.
fn random_storage_path() -> Result<String, ApiError> {
    let mut hex = String::with_capacity(64);
    for byte in random_bytes::<32>()? {
        let _infallible = write!(hex, "{byte:02x}");
    }
    Ok(format!("@hashed/{}/{}/{hex}.git", &hex[..2], &hex[2..4]))
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
    use super::random_storage_path;

    #[test]
    fn a_repository_path_has_the_form_of_hashed_storage_and_no_two_are_equal() {
        let (one, other) = (random_storage_path().unwrap(), random_storage_path().unwrap());
        let hex = one.rsplit('/').next().and_then(|name| name.strip_suffix(".git")).unwrap();
        assert_eq!(one, format!("@hashed/{}/{}/{hex}.git", &hex[..2], &hex[2..4]));
        assert!(hex.len() == 64 && one != other, "{one} {other}");
    }
}
