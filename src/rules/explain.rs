//! What a directory says of one question, for whoever has to explain the answer: the decisions of the rules, and the records that they read.

use std::sync::Arc;

use crate::model::access_decision::{AccessDenied, AccessEvaluation, Actor};
use crate::model::access_request::{AllowedRequest, ClaimedActor};
use crate::model::directory::{Directory, DirectoryError, read_at_one_moment};
use crate::model::enums::{AccessLevel, KeyUsage};
use crate::model::explanation::{KeyFacts, ProjectFacts, UserFacts};
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Key, Project, User};
use crate::model::time::Time;
use crate::rules::account::account_refusal;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::rules::project_access::{ProjectAccess, ProjectRole};
use crate::rules::refusal_reason::RefusalReason;
use crate::rules::repository::find_repository;

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The key with this fingerprint.
    Fingerprint(Fingerprint),
    /// The key with this id.
    KeyId(Id),
    /// A user, however they are named.
    User(ClaimedActor),
}

/// What a directory says.
#[derive(Clone, Debug)]
pub struct DirectoryFindings {
    /// The key, also one that is only for signing.
    pub key: Option<Arc<Key>>,
    /// Who asks.
    pub actor: Actor,
    /// Why this account or key may not use Git at all.
    pub account_refusal: Option<AccessDenied>,
    /// The decision about access, where one is asked for.
    pub access: Option<AccessEvaluation>,
    /// The project, where one is asked for and found.
    pub project: Option<Arc<Project>>,
    /// Who the actor is in that project.
    pub role: Option<ProjectRole>,
    /// The addresses from which alone its projects are given, if the root group has such a list.
    pub allowed_ips: Vec<String>,
}

/// Reads what a directory says, as it is at one moment. `access` is asked with the claimed actor of `asker`, whatever it names itself.
pub fn examine(
    directory: &dyn Directory,
    asker: &Asker,
    access: Option<&AllowedRequest>,
    now: Time,
) -> Result<DirectoryFindings, DirectoryError> {
    read_at_one_moment(directory, || examine_once(directory, asker, access, now))
}

fn examine_once(
    directory: &dyn Directory,
    asker: &Asker,
    access: Option<&AllowedRequest>,
    now: Time,
) -> Result<DirectoryFindings, DirectoryError> {
    let key = match asker {
        Asker::Fingerprint(fingerprint) => directory.key_by_fingerprint(fingerprint)?,
        Asker::KeyId(id) => directory.key(*id)?,
        Asker::User(_) => None,
    };
    let claimed = claimed_actor(asker, key.as_deref());
    let actor = resolve_actor(directory, &claimed)?;
    let account_refusal = refusal_of_actor(directory, &actor, now)?;
    let access = access.map(|request| AllowedRequest { claimed_actor: claimed.clone(), ..request.clone() });
    let mut findings = DirectoryFindings { key, actor, account_refusal, access: None, project: None, role: None, allowed_ips: Vec::new() };
    let Some(request) = access else { return Ok(findings) };
    findings.access = Some(decide(directory, &request, now)?);
    let lookup = find_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())?;
    if let Some(project) = lookup.repository.as_ref().and_then(|repository| repository.project()) {
        let found = ProjectAccess::load(directory, &findings.actor, project, now)?;
        findings.allowed_ips =
            found.root_namespace().map(|root| root.allowed_ips.iter().map(ToString::to_string).collect()).unwrap_or_default();
        (findings.project, findings.role) = (Some(Arc::clone(project)), Some(found.role));
    }
    Ok(findings)
}

/// Returns how whoever asks is named in a question about access: a key that was found by its id, as gitlab-shell names it.
#[must_use]
pub fn claimed_actor(asker: &Asker, key: Option<&Key>) -> ClaimedActor {
    match (asker, key) {
        (Asker::User(claimed), _) => claimed.clone(),
        (Asker::KeyId(id), _) => ClaimedActor::Key(Some(*id)),
        (Asker::Fingerprint(_), key) => ClaimedActor::Key(key.map(|key| key.id)),
    }
}

/// Returns why an account or key may not use Git, whatever it asks for.
fn refusal_of_actor(directory: &dyn Directory, actor: &Actor, now: Time) -> Result<Option<AccessDenied>, DirectoryError> {
    if actor.key().is_some_and(|key| key.expires_at.is_some_and(|end| end <= now)) {
        return Ok(Some(RefusalReason::KeyExpired.to_refusal()));
    }
    let Actor::User(user, _) = actor else { return Ok(None) };
    Ok(account_refusal(user, &*directory.settings()?, now).map(|reason| reason.to_refusal()))
}

impl DirectoryFindings {
    /// Returns whether sshd would let the key in by this directory.
    #[must_use]
    pub fn is_login_key(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.usage != KeyUsage::Signing)
    }

    /// Returns the key for the explanation.
    #[must_use]
    pub fn key_facts(&self) -> Option<KeyFacts> {
        self.key.as_deref().or_else(|| self.actor.key().map(AsRef::as_ref)).map(key_facts)
    }

    /// Returns the user for the explanation; a deploy key has none.
    #[must_use]
    pub fn user_facts(&self) -> Option<UserFacts> {
        let Actor::User(user, _) = &self.actor else { return None };
        Some(user_facts(user))
    }

    /// Returns the project for the explanation.
    #[must_use]
    pub fn project_facts(&self) -> Option<ProjectFacts> {
        let project = self.project.as_deref()?;
        Some(ProjectFacts {
            id: project.id.number(),
            path: project.path.to_string(),
            visibility: word(project.visibility),
            role: self.role.and_then(role_name),
        })
    }
}

fn key_facts(key: &Key) -> KeyFacts {
    KeyFacts {
        id: key.id.number(),
        fingerprint: Some(key.key.fingerprint().to_string()),
        algorithm: Some(key.key.algorithm().to_owned()),
        user_id: key.user_id.filter(|_| !key.deploy).map(Id::number),
        deploy: Some(key.deploy),
        expires_at: key.expires_at.map(|end| end.to_string()),
    }
}

fn user_facts(user: &User) -> UserFacts {
    UserFacts { id: user.id.number(), username: user.username.to_string(), state: Some(word(user.state)) }
}

fn role_name(role: ProjectRole) -> Option<String> {
    let name = match role {
        ProjectRole::Member { level, .. } => level_name(level),
        ProjectRole::DeployKey { can_push: true } => "deploy key that may push",
        ProjectRole::DeployKey { can_push: false } => "deploy key that may read",
        ProjectRole::Anonymous | ProjectRole::NonMember { .. } => return None,
    };
    Some(name.to_owned())
}

const fn level_name(level: AccessLevel) -> &'static str {
    match level {
        AccessLevel::Guest => "guest",
        AccessLevel::Planner => "planner",
        AccessLevel::Reporter => "reporter",
        AccessLevel::Developer => "developer",
        AccessLevel::Maintainer => "maintainer",
        AccessLevel::Owner => "owner",
    }
}

/// Returns a value of a closed set as the directory writes it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Asker, examine};
    use crate::model::access_decision::AccessDecision;
    use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
    use crate::model::directory::Directory as _;
    use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
    use crate::model::time::Time;
    use crate::rules::allowed::decide;
    use crate::rules::remedy;

    const STATES: [&str; 7] = ["active", "blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"];
    const VISIBILITIES: [&str; 3] = ["private", "internal", "public"];
    const LEVELS: [u8; 7] = [0, 10, 15, 20, 30, 40, 50];

    fn now() -> Time {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    #[derive(Debug, Clone)]
    struct Site {
        state: &'static str,
        visibility: &'static str,
        level: u8,
        flags: [bool; 5],
    }

    impl Site {
        fn directory(&self) -> MemoryDirectory {
            let [archived, expired, signing, deploy, external] = self.flags;
            let blob = ed25519_public_key(1);
            let end = if expired { r#","expires_at":"2026-05-01T00:00:00Z""# } else { "" };
            let usage = if signing { r#","usage":"signing""# } else { "" };
            let mut lines = vec![
                r#"{"kind":"storage","name":"default","address":"unix:/g"}"#.to_owned(),
                format!(r#"{{"kind":"user","id":7,"username":"zoe","name":"Zoe","state":"{}","external":{external}}}"#, self.state),
                r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#.to_owned(),
                format!(
                    r#"{{"kind":"project","id":9,"namespace_id":1,"path":"g/p","name":"p","visibility":"{}","archived":{archived},"relative_path":"p.git"}}"#,
                    self.visibility
                ),
                format!(
                    r#"{{"kind":"key","id":11,"user_id":7,"title":"t","key":"{blob}","created_at":"2026-01-01T00:00:00Z","deploy":{deploy}{end}{usage}}}"#
                ),
            ];
            if self.level > 0 {
                lines.push(format!(r#"{{"kind":"member","project_id":9,"user_id":7,"access_level":{}}}"#, self.level));
            }
            MemoryDirectory::from_lines(lines.iter().map(String::as_str))
        }
    }

    fn site() -> impl Strategy<Value = Site> {
        let choices = (prop::sample::select(&STATES[..]), prop::sample::select(&VISIBILITIES[..]), prop::sample::select(&LEVELS[..]));
        (choices, any::<[bool; 5]>()).prop_map(|((state, visibility, level), flags)| Site { state, visibility, level, flags })
    }

    proptest! {
        #[test]
        fn an_explanation_decides_as_the_rules_do_and_every_refusal_is_explained(site in site(), action in 0..3_usize, who in 0..3_usize, path in 0..3_usize) {
            let directory = site.directory();
            let action = [Action::UploadPack, Action::ReceivePack, Action::UploadArchive][action];
            let id = 11.try_into().unwrap();
            let key = directory.key(id).unwrap().unwrap();
            let (asker, claimed) = match who {
                0 => (Asker::KeyId(id), ClaimedActor::Key(Some(id))),
                1 => (Asker::Fingerprint(key.key.fingerprint()), ClaimedActor::Key(Some(id))),
                _ => (Asker::User(ClaimedActor::Username("zoe".to_owned())), ClaimedActor::Username("zoe".to_owned())),
            };
            let request = AllowedRequest {
                project: Some(["g/p", "g/new", "other/p"][path].to_owned()),
                ..AllowedRequest::new(claimed, action, Protocol::Ssh, RefChanges::Any)
            };
            let question = AllowedRequest { claimed_actor: ClaimedActor::Unspecified, ..request.clone() };
            let findings = examine(&directory, &asker, Some(&question), now()).unwrap();
            prop_assert_eq!(findings.access.as_ref(), Some(&decide(&directory, &request, now()).unwrap()));
            let login = crate::rules::authorized_keys::decide(&directory, key.key.blob()).unwrap();
            prop_assert_eq!(findings.is_login_key(), login.is_some() && who < 2);
            if let Some(AccessDecision::Denied(denied)) = findings.access.map(|access| access.decision) {
                prop_assert!(remedy::by_code(denied.reason).is_some(), "{}", denied.reason);
            }
            if let Some(refused) = &findings.account_refusal {
                prop_assert!(remedy::by_code(refused.reason).is_some());
            }
        }
    }
}
