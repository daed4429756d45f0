//! Creates the repositories of a project at the Gitaly of its storage. Equal calls that are under way at the same time are made once, so
//! many at once at most, each within one time limit; nothing of the directory is locked meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::single_flight::SingleFlight;
use crate::model::clock;
use crate::model::record::{Project, Storage};
use crate::model::repository_place::RepositoryPlace;
use crate::model::time::Time;
use crate::net::gitaly::address::GitalyAddress;
use crate::net::gitaly::client::{GitalyClient, GitalyServer, NewRepository};
use crate::primary::config::RepositoryCreation;
use crate::primary::pushes::creation_refusal::CreationRefusal;
use crate::primary::pushes::creations_under_way::{CreationUnderWay, CreationsUnderWay};
use crate::wire::gitaly_authorization::gitaly_authorization;

/// How many projects' repositories are being created at the same time at most. One more waits, within its time limit.
pub const MAX_CONCURRENT_CREATIONS: usize = 64;

/// Creates repositories, or leaves that to others.
pub struct RepositoryCreator {
    mode: RepositoryCreation,
    /// By the path on the storage and the storage's record, which together make two calls equal.
    calls: SingleFlight<(String, Arc<str>), Result<(), CreationRefusal>>,
    slots: Arc<Semaphore>,
    under_way: CreationsUnderWay,
    last_failure: Mutex<Option<CreationFailure>>,
}

/// The last failure, for `status`.
#[derive(Clone, Debug, Serialize)]
pub struct CreationFailure {
    /// When it was.
    pub at: Time,
    /// What failed.
    pub reason: String,
}

/// One creation, with all that it needs.
struct GitalyCall {
    client: GitalyClient,
    server: GitalyServer,
    repositories: [NewRepository; 2],
    time_limit: Duration,
    slots: Arc<Semaphore>,
    _under_way: Arc<CreationUnderWay>,
}

impl RepositoryCreator {
    /// Returns a creator that works in this way.
    #[must_use]
    pub fn new(mode: RepositoryCreation) -> Self {
        Self {
            mode,
            calls: SingleFlight::default(),
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT_CREATIONS)),
            under_way: CreationsUnderWay::default(),
            last_failure: Mutex::default(),
        }
    }

    /// Returns which projects are being created.
    #[must_use]
    pub fn under_way(&self) -> CreationsUnderWay {
        self.under_way.clone()
    }

    /// Returns when the repositories of code and wiki of this project are there; at once where something else creates them. Dropping the
    /// future cancels nothing: the call goes on, and a retry finds what it created.
    pub async fn create(&self, project: &Project, storage: &Storage, under_way: &Arc<CreationUnderWay>) -> Result<(), CreationRefusal> {
        let RepositoryCreation::Gitaly { client, time_limit } = &self.mode else { return Ok(()) };
        let call = GitalyCall {
            client: client.clone(),
            server: server_of(storage)?,
            repositories: repositories_of(project),
            time_limit: *time_limit,
            slots: Arc::clone(&self.slots),
            _under_way: Arc::clone(under_way),
        };
        let key = (project.relative_path.to_string(), Arc::from(storage.address.as_str()));
        let outcome = self.calls.run(key, || call.run()).await.unwrap_or(Err(CreationRefusal::Interrupted));
        if let Err(refusal) = &outcome {
            self.note_failure(refusal);
        }
        outcome
    }

    /// Returns what an operator may want to know.
    #[must_use]
    pub fn status(&self) -> CreationStatus {
        CreationStatus {
            repositories: match self.mode {
                RepositoryCreation::Gitaly { .. } => "gitaly",
                RepositoryCreation::ByOthers => "none",
            },
            under_way: MAX_CONCURRENT_CREATIONS - self.slots.available_permits(),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn note_failure(&self, refusal: &CreationRefusal) {
        let failure = CreationFailure { at: clock::wall_time(), reason: refusal.detail() };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

/// How repositories are created here, for `status`.
#[derive(Clone, Debug, Serialize)]
pub struct CreationStatus {
    /// `gitaly` or `none`, as configured.
    pub repositories: &'static str,
    /// How many projects' repositories are being created.
    pub under_way: usize,
    /// The last failure of a call, if there was one since the start.
    pub last_failure: Option<CreationFailure>,
}

impl GitalyCall {
    async fn run(self) -> Result<(), CreationRefusal> {
        let working = async {
            let _slot = self.slots.acquire().await.map_err(|_closed| CreationRefusal::Interrupted)?;
            let created = self.client.create_repositories(&self.server, &self.repositories, self.time_limit).await;
            created.map_err(CreationRefusal::Gitaly)
        };
        timeout(self.time_limit, working).await.unwrap_or(Err(CreationRefusal::TimedOut(self.time_limit)))
    }
}

fn server_of(storage: &Storage) -> Result<GitalyServer, CreationRefusal> {
    let address =
        GitalyAddress::parse(&storage.address).map_err(|reason| CreationRefusal::Address { storage: storage.name.to_string(), reason })?;
    let token = storage.token.as_str();
    let authorization = if token.is_empty() { None } else { gitaly_authorization(token, clock::wall_time()) };
    Ok(GitalyServer { address, authorization })
}

fn repositories_of(project: &Project) -> [NewRepository; 2] {
    let repository = |relative_path: String, word: &str, suffix: &str| NewRepository {
        storage: project.storage.to_string(),
        relative_path,
        gl_repository: format!("{word}-{}", project.id),
        gl_project_path: format!("{}{suffix}", project.path),
        default_branch: project.default_branch.to_string(),
    };
    let wiki = RepositoryPlace::of_project(project).side_path("wiki");
    [repository(project.relative_path.to_string(), "project", ""), repository(wiki, "wiki", ".wiki")]
}
