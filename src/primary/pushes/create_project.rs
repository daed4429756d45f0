//! Creates a project on its first push: private, in the namespace that the path names, with a place of its own on the storage, and with
//! the repositories of its code and its wiki. (server.md 3.6)
//!
//! Under the directory's writer an id and a path on the storage are reserved; without it the repositories are created, which may take
//! seconds; under it again the project is committed, if the rules still say so. Whatever fails or is killed in between, nothing of the
//! project is recorded, and the next push to the path goes on with what was reserved.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::ApiError;
use crate::model::access_decision::{AccessDecision, NewProject};
use crate::model::access_request::{AllowedRequest, Protocol};
use crate::model::change::Change;
use crate::model::clock;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::enums::{FeatureAccess, Visibility};
use crate::model::record::{Project, Record, Settings, Storage};
use crate::model::text::Text;
use crate::primary::directory::reserved_projects::{self, ReservedProject};
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::metrics::PrimaryMetrics;
use crate::primary::pushes::creation_refusal::CreationRefusal;
use crate::primary::pushes::creations_under_way::CreationUnderWay;
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::pushes::repositories::RepositoryCreator;
use crate::rules::allowed::decide;
use crate::store::primary::primary_store::PrimaryStore;

/// The storage of new projects.
const DEFAULT_STORAGE: &str = "default";
/// The default branch of new projects.
const DEFAULT_BRANCH: &str = "main";

/// What creates projects.
#[derive(Clone, Copy)]
pub struct ProjectCreator<'a> {
    /// The directory's writer.
    pub writer: &'a Arc<DirectoryWriter>,
    /// The directory and the private store.
    pub store: &'a PrimaryStore,
    /// What creates the repositories.
    pub repositories: &'a RepositoryCreator,
    /// Where outcomes are counted.
    pub metrics: &'a PrimaryMetrics,
}

/// A project for which everything but the commit may be done.
struct Reservation {
    reserved: ReservedProject,
    project: Project,
    storage: Arc<Storage>,
    /// Held by the call of Gitaly too, which goes on where nobody waits for it.
    under_way: Arc<CreationUnderWay>,
}

/// What a step comes to: a value, nothing to do, or a refusal. Errors of the store are beside it.
type Step<T> = Result<Result<Option<T>, CreationRefusal>, ApiError>;

/// Creates the project that this request would create, if it still would once no other writer is at work. 422 if it cannot be created.
pub async fn create_project(creator: ProjectCreator<'_>, request: &AllowedRequest) -> Result<(), ApiError> {
    let outcome = reserve_create_commit(creator, request).await?;
    creator.metrics.record_creation(match &outcome {
        Ok(Some(_)) => "created",
        Ok(None) => "not_needed",
        Err(refusal) => refusal.label(),
    });
    match outcome {
        Ok(Some(project)) => {
            let (id, path) = (project.id, &project.path);
            tracing::info!(%id, %path, "a push created project {path} (id {id})");
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(refusal) => {
            let (path, reason) = (request.project.as_deref().unwrap_or_default(), refusal.detail());
            tracing::warn!(path, reason, "a push could not create project {path}: {reason}");
            Err(refusal.to_error())
        }
    }
}

async fn reserve_create_commit(creator: ProjectCreator<'_>, request: &AllowedRequest) -> Step<Project> {
    let reservation = match reserve(creator, request).await? {
        Ok(Some(reservation)) => reservation,
        Ok(None) => return Ok(Ok(None)),
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Err(refusal) = creator.repositories.create(&reservation.project, &reservation.storage, &reservation.under_way).await {
        return Ok(Err(refusal));
    }
    commit(creator, request, reservation).await
}

/// Reserves an id and a path on the storage, or returns what an earlier push to this path has reserved.
async fn reserve(creator: ProjectCreator<'_>, request: &AllowedRequest) -> Step<Reservation> {
    let (store, request, creations) = (creator.store.clone(), request.clone(), creator.repositories.under_way());
    let reserving = creator.writer.commit("reserve-project", move |directory| {
        let now = clock::wall_time();
        let AccessDecision::CreatesProject(creation) = decide(directory, &request, now)?.decision else {
            return Ok((Vec::new(), Ok(None)));
        };
        let Some(storage) = directory.storage(DEFAULT_STORAGE)? else {
            return Ok((Vec::new(), Err(CreationRefusal::NoStorage(DEFAULT_STORAGE))));
        };
        let is_under_way = |id| creations.contains(id);
        let Some(reserved) = reserved_projects::reserve(directory, store.private_store(), &creation.path, now, is_under_way)? else {
            return Ok((Vec::new(), Err(CreationRefusal::TooMany)));
        };
        let under_way = Arc::new(creations.begin(reserved.id));
        let project = new_project(&reserved, &creation)?;
        Ok((Vec::new(), Ok(Some(Reservation { reserved, project, storage, under_way }))))
    });
    Ok(reserving.await?.1)
}

/// Commits the project, if the rules still say so, with the reservation and the storage for which its repositories were created.
async fn commit(creator: ProjectCreator<'_>, request: &AllowedRequest, reservation: Reservation) -> Step<Project> {
    let (store, request) = (creator.store.clone(), request.clone());
    let committing = creator.writer.commit("create-project", move |directory| {
        let now = clock::wall_time();
        let AccessDecision::CreatesProject(creation) = decide(directory, &request, now)?.decision else {
            return Ok((Vec::new(), Ok(None)));
        };
        let same_storage = directory.storage(DEFAULT_STORAGE)?.is_some_and(|storage| storage.address == reservation.storage.address);
        // Consumed before the commit: a crash in between leaves an empty repository, and never a reservation of one that is in use.
        if !same_storage || !reserved_projects::consume(store.private_store(), &creation.path, &reservation.reserved)? {
            return Ok((Vec::new(), Err(CreationRefusal::Changed)));
        }
        let project = new_project(&reservation.reserved, &creation)?;
        let text = created_message(&*directory.settings()?, &project, &request.protocol);
        messages::queue(&store, creation.user.id, &format!("project-{}", project.id), MessageKind::Created, text, now)?;
        Ok((vec![Change::Put(Entry::from_record(Record::Project(project.clone()))?)], Ok(Some(project))))
    });
    Ok(committing.await?.1)
}

fn new_project(reserved: &ReservedProject, creation: &NewProject) -> Result<Project, ApiError> {
    let name = creation.path.rsplit('/').next().unwrap_or(&creation.path);
    Ok(Project {
        id: reserved.id,
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
        relative_path: parse_text(&reserved.relative_path)?,
    })
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
