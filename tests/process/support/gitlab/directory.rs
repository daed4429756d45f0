//! What a GitLab knows, and who may do what by it: as much of the rules as questions of sidecars need. (server.md 3)

use std::collections::BTreeMap;

/// A key of a person, or a deploy key.
#[derive(Clone, Debug)]
pub struct GitlabKey {
    pub id: u64,
    /// The Base64 of its blob.
    pub blob: String,
    /// Whose it is; a deploy key is nobody's.
    pub user: Option<u64>,
    /// RFC 3339, with milliseconds.
    pub expires_at: Option<String>,
    /// Where a deploy key may read, and whether it may write there.
    pub projects: BTreeMap<u64, bool>,
}

#[derive(Clone, Debug)]
pub struct GitlabUser {
    pub id: u64,
    pub username: String,
    pub blocked: bool,
}

#[derive(Clone, Debug)]
pub struct GitlabProject {
    pub id: u64,
    /// As people write it.
    pub path: String,
    pub public: bool,
    /// Access levels by user: 10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner.
    pub members: BTreeMap<u64, u64>,
    /// Former paths, in lower case.
    pub redirects: Vec<String>,
}

/// Everything that is known, and what was done.
#[derive(Clone, Debug, Default)]
pub struct GitlabDirectory {
    pub keys: BTreeMap<u64, GitlabKey>,
    pub users: BTreeMap<u64, GitlabUser>,
    pub projects: BTreeMap<u64, GitlabProject>,
    /// Names of tokens that were made, in their order.
    pub tokens: Vec<String>,
    /// How often recovery codes were made.
    pub recovery_codes: u64,
    /// Addresses that may not read or write: what an address list of a group refuses.
    pub refused_addresses: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum GitlabActor {
    User(GitlabUser, Option<u64>),
    DeployKey(GitlabKey),
    Nobody,
}

/// A project as it was found.
pub struct FoundProject<'a> {
    pub project: &'a GitlabProject,
    pub wiki: bool,
}

/// A refusal.
pub type Refusal = (u16, &'static str);

const NOT_FOUND: Refusal = (404, "The project you were looking for could not be found or you don't have permission to view it.");

impl GitlabDirectory {
    /// Users, keys and private projects with the same numbers: user n has key n and is developer of `group/project-n`.
    pub fn of_size(count: u64) -> Self {
        let mut directory = Self::default();
        for id in 1..=count {
            directory.add_user(id);
            directory.add_key(id, id);
            directory.add_project(id, &format!("group/project-{id}"), false, &[(id, 30)]);
        }
        directory
    }

    /// Adds `person-ID`.
    pub fn add_user(&mut self, id: u64) {
        self.users.insert(id, GitlabUser { id, username: format!("person-{id}"), blocked: false });
    }

    /// Adds the generated key of this number to a user.
    pub fn add_key(&mut self, id: u64, user: u64) {
        let blob = crate::support::generated_directory::key_blob(id);
        self.keys.insert(id, GitlabKey { id, blob, user: Some(user), expires_at: None, projects: BTreeMap::new() });
    }

    /// Adds a deploy key for one project, by the generated key of its number.
    pub fn add_deploy_key(&mut self, id: u64, project: u64, may_write: bool) {
        let blob = crate::support::generated_directory::key_blob(id);
        let projects = BTreeMap::from([(project, may_write)]);
        self.keys.insert(id, GitlabKey { id, blob, user: None, expires_at: None, projects });
    }

    pub fn add_project(&mut self, id: u64, path: &str, public: bool, members: &[(u64, u64)]) {
        let members = members.iter().copied().collect();
        self.projects.insert(id, GitlabProject { id, path: path.to_owned(), public, members, redirects: Vec::new() });
    }

    /// Gives a project another path; the former one leads there.
    pub fn move_project(&mut self, id: u64, path: &str) {
        let project = self.projects.get_mut(&id).unwrap();
        project.redirects.push(project.path.to_ascii_lowercase());
        path.clone_into(&mut project.path);
    }

    pub fn key_by_blob(&self, blob: &str) -> Option<&GitlabKey> {
        let bare = blob.trim_end_matches('=');
        self.keys.values().find(|key| key.blob.trim_end_matches('=') == bare)
    }

    /// Who is behind a key's id.
    pub fn actor_of_key(&self, id: u64) -> GitlabActor {
        match self.keys.get(&id) {
            Some(key) if key.user.is_none() => GitlabActor::DeployKey(key.clone()),
            Some(key) => match key.user.and_then(|user| self.users.get(&user)) {
                Some(user) => GitlabActor::User(user.clone(), Some(id)),
                None => GitlabActor::Nobody,
            },
            None => GitlabActor::Nobody,
        }
    }

    pub fn actor_of_user(&self, id: u64) -> GitlabActor {
        self.users.get(&id).map_or(GitlabActor::Nobody, |user| GitlabActor::User(user.clone(), None))
    }

    pub fn actor_of_name(&self, name: &str) -> GitlabActor {
        let user = self.users.values().find(|user| user.username.eq_ignore_ascii_case(name));
        user.map_or(GitlabActor::Nobody, |user| GitlabActor::User(user.clone(), None))
    }

    pub fn find_project(&self, path: &str) -> Option<FoundProject<'_>> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase();
        let (path, wiki) = path.strip_suffix(".wiki").map_or((path.as_str(), false), |path| (path, true));
        let current = self.projects.values().find(|project| project.path.to_ascii_lowercase() == path);
        let former = || self.projects.values().find(|project| project.redirects.iter().any(|former| former == path));
        let project = current.or_else(former)?;
        Some(FoundProject { project, wiki })
    }

    pub fn find_repository(&self, gl_repository: &str) -> Option<FoundProject<'_>> {
        let (kind, id) = gl_repository.split_once('-')?;
        let project = self.projects.get(&id.parse().ok()?)?;
        Some(FoundProject { project, wiki: kind == "wiki" })
    }

    /// Decides whether an actor may read or write, in the order of the server's checks.
    pub fn check_access(&self, actor: &GitlabActor, found: Option<&FoundProject<'_>>, request: &AccessQuestion<'_>) -> Result<(), Refusal> {
        self.check_key(actor, request)?;
        if let GitlabActor::User(GitlabUser { blocked: true, .. }, _) = actor {
            return Err((401, "Your account has been blocked."));
        }
        let found = found.ok_or(NOT_FOUND)?;
        let level = self.level(actor, found.project);
        let readable = found.project.public || level > 0;
        let address_is_refused = request.address.is_some_and(|address| self.refused_addresses.iter().any(|refused| refused == address));
        if !readable || address_is_refused {
            return Err(NOT_FOUND);
        }
        match (request.action, actor) {
            ("git-receive-pack", GitlabActor::DeployKey(_)) if level < 30 => {
                Err((401, "This deploy key does not have write access to this project."))
            }
            ("git-receive-pack", GitlabActor::Nobody) => Err((401, "You are not allowed to upload code for this project.")),
            ("git-receive-pack", _) if level < 30 => Err((401, "You are not allowed to push code to this project.")),
            ("git-receive-pack", _) => Ok(()),
            _ if found.project.public || level >= 20 => Ok(()),
            _ => Err((401, "You are not allowed to download code from this project.")),
        }
    }

    /// A key that has expired is refused before anything else is looked at.
    fn check_key(&self, actor: &GitlabActor, request: &AccessQuestion<'_>) -> Result<(), Refusal> {
        let id = match actor {
            GitlabActor::User(_, Some(id)) => *id,
            GitlabActor::DeployKey(key) => key.id,
            _ => return Ok(()),
        };
        let expires_at = self.keys.get(&id).and_then(|key| key.expires_at.as_deref());
        let expired = expires_at.and_then(|text| text.parse::<jiff::Timestamp>().ok()).is_some_and(|time| time <= request.now);
        if expired { Err((401, "Your SSH key has expired.")) } else { Ok(()) }
    }

    fn level(&self, actor: &GitlabActor, project: &GitlabProject) -> u64 {
        match actor {
            GitlabActor::User(user, _) => project.members.get(&user.id).copied().unwrap_or(0),
            GitlabActor::DeployKey(key) => key.projects.get(&project.id).map_or(0, |may_write| if *may_write { 30 } else { 20 }),
            GitlabActor::Nobody => 0,
        }
    }
}

/// What is asked of an actor and a project.
pub struct AccessQuestion<'a> {
    pub action: &'a str,
    pub address: Option<&'a str>,
    pub now: jiff::Timestamp,
}
