//! A decision that is overtaken by a commit rests on the records from before it or on those from after it, and not on some of each.

use std::cell::RefCell;
use std::sync::Arc;

use crate::model::access_decision::AccessDecision;
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::change::Change;
use crate::model::directory::{Container, Directory, DirectoryError, LookupResult};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Settings, Share, Snippet, Storage, User,
};
use crate::model::repository_place::RepositoryPlace;
use crate::model::time::Time;
use crate::rules;
use crate::store::error::StoreError;
use crate::store::generations::generation::{Generation, StoreOptions};

/// A generation to which a commit is applied just before a project is looked up for the first time.
struct Overtaken {
    generation: Generation,
    commit: RefCell<Vec<Change>>,
}

macro_rules! delegated {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $result { self.generation.$name($($argument),*) })*
    };
}

impl Directory for Overtaken {
    fn project_by_path(&self, path: &str) -> LookupResult<Project> {
        let commit = self.commit.take();
        if !commit.is_empty() {
            self.generation.apply(&commit, None)?;
        }
        self.generation.project_by_path(path)
    }

    delegated! {
        version() -> Option<u64>;
        is_path_unanswered(path: &str) -> Result<bool, DirectoryError>;
        settings() -> Result<Arc<Settings>, DirectoryError>;
        storage(name: &str) -> LookupResult<Storage>;
        user(id: Id) -> LookupResult<User>;
        user_by_username(username: &str) -> LookupResult<User>;
        key_by_fingerprint(fingerprint: &Fingerprint) -> LookupResult<Key>;
        key(id: Id) -> LookupResult<Key>;
        namespace(id: Id) -> LookupResult<Namespace>;
        namespace_by_path(path: &str) -> LookupResult<Namespace>;
        project(id: Id) -> LookupResult<Project>;
        project_by_former_path(path: &str) -> LookupResult<Project>;
        snippet(id: Id) -> LookupResult<Snippet>;
        is_shared_repository(place: &RepositoryPlace<'_>) -> Result<bool, DirectoryError>;
        member(container: Container, user: Id) -> LookupResult<Member>;
        shares(container: Container) -> Result<Vec<Arc<Share>>, DirectoryError>;
        deploy_grant(key: Id, project: Id) -> LookupResult<DeployGrant>;
        protected_branches(project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError>;
        protected_tags(project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError>;
        count_projects_in(namespace: Id) -> Result<u64, DirectoryError>;
    }
}

#[test]
fn a_decision_that_a_commit_overtakes_is_that_of_before_it_or_of_after_it() {
    let entry = |line: String| Entry::parse(&line).unwrap();
    let user = |more: &str| entry(format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoe"{more}}}"#));
    let project = |more: &str| {
        let path = r#""path":"g/p","name":"p""#;
        entry(format!(r#"{{"kind":"project","id":1,"namespace_id":1,{path}{more},"relative_path":"p.git"}}"#))
    };
    let storage = entry(r#"{"kind":"storage","name":"default","address":"unix:/g"}"#.to_owned());
    let group = entry(r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#.to_owned());
    let held = [storage, user(""), group, project("")];
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 64 };
    let generation = Generation::create(folder.path(), &options, held.into_iter().map(Ok::<_, StoreError>)).unwrap();
    let request = AllowedRequest {
        project: Some("g/p".to_owned()),
        ..AllowedRequest::new(ClaimedActor::User(Some(Id::try_from(1).unwrap())), Action::UploadPack, Protocol::Ssh, RefChanges::Any)
    };
    let decide = |directory: &dyn Directory| match rules::allowed::decide(directory, &request, Time::EPOCH).unwrap().decision {
        AccessDecision::Denied(refusal) => Some(refusal.status),
        _ => None,
    };
    assert_eq!(decide(&generation), Some(404), "before, the project is hidden");
    let commit = vec![Change::Put(user(r#","state":"blocked""#)), Change::Put(project(r#","visibility":"public""#))];
    let overtaken = Overtaken { generation: generation.clone(), commit: RefCell::new(commit) };
    // Zoe as she was before and the project as it is after would be a yes.
    assert!(matches!(decide(&overtaken), Some(401 | 403)));
    assert!(matches!(decide(&generation), Some(401 | 403)), "after, the account is blocked");
}
