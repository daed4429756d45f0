//! A question whose answer may be kept: how the primary is asked it, and what it is kept under.
//!
//! The key is a digest over everything that enters the decision, each part in one spelling: a key's blob and not its Base64, a name in
//! lower case, a path without its first `/` and its last `.git` in lower case. A request that the rules do not read wholly never comes
//! here.

use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::kept_answer::{KeptKind, KeptSubject, QuestionKey};
use crate::model::key::Fingerprint;
use crate::sidecar::config::CheckIp;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::{TimeLimit, UpstreamQuery};

/// A question whose answer may be kept.
#[derive(Clone, Debug)]
pub struct KeptQuestion {
    /// What it is kept under.
    pub key: QuestionKey,
    /// Its kind.
    pub kind: KeptKind,
    /// How the primary is asked it.
    pub query: UpstreamQuery,
    /// Who asks, as far as the question says: a key, a user or a name.
    pub asker: Option<KeptSubject>,
    /// The repository that is asked for, if any.
    pub repository: AskedRepository,
}

/// The repository that a question names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedRepository {
    /// None: it is about a key or a user.
    None,
    /// By its full path, normalised.
    Path(String),
    /// By its `gl_repository`, which wins over a path.
    GlRepository(String),
}

impl KeptQuestion {
    /// Whose key is this?
    #[must_use]
    pub fn authorized_keys(query: UpstreamQuery) -> Self {
        let blob: &[u8] = if let QueryKind::AuthorizedKeys(blob) = &query.kind { blob } else { &[] };
        let key = digest("authorized_keys", &[Some(&Digest::of(blob).to_string())]);
        Self { key, kind: KeptKind::AuthorizedKeys, query, asker: None, repository: AskedRepository::None }
    }

    /// Whose is the key with this fingerprint? For looking at what is kept: the primary cannot be asked by a fingerprint.
    #[must_use]
    pub fn of_fingerprint(fingerprint: &Fingerprint) -> Self {
        let hex: String = fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = digest("authorized_keys", &[Some(&hex)]);
        let query = UpstreamQuery::get(QueryKind::AuthorizedKeys(Vec::new()), String::new());
        Self { key, kind: KeptKind::AuthorizedKeys, query, asker: None, repository: AskedRepository::None }
    }

    /// Whom does this certificate stand for?
    #[must_use]
    pub fn authorized_certs(key: &str, user_identifier: &str, query: UpstreamQuery) -> Self {
        let key = digest("authorized_certs", &[Some(key), Some(user_identifier)]);
        Self { key, kind: KeptKind::AuthorizedCerts, query, asker: None, repository: AskedRepository::None }
    }

    /// Who is this? `None` where nobody in particular is named.
    #[must_use]
    pub fn discover(actor: &ClaimedActor, query: UpstreamQuery) -> Option<Self> {
        let (form, asker) = asker_of(actor)?;
        let key = digest("discover", &[Some(form), Some(&subject_text(&asker))]);
        Some(Self { key, kind: KeptKind::Discover, query, asker: Some(asker), repository: AskedRepository::None })
    }

    /// May this be done? `None` if nobody in particular asks, or for no repository, or something that is not an action of Git's.
    #[must_use]
    pub fn allowed(request: &AllowedRequest, check_ip: CheckIp, query: UpstreamQuery) -> Option<Self> {
        let (form, asker) = asker_of(&request.claimed_actor)?;
        let repository = AskedRepository::of(request)?;
        let (kind, action) = match request.action {
            Action::UploadPack => (KeptKind::Pull, "git-upload-pack"),
            Action::UploadArchive => (KeptKind::Pull, "git-upload-archive"),
            Action::ReceivePack if request.changes == RefChanges::Any => (KeptKind::Push, "git-receive-pack"),
            Action::ReceivePack | Action::Unknown => return None,
        };
        let protocol = match &request.protocol {
            Protocol::Ssh => "ssh",
            Protocol::Http => "http",
            Protocol::Web => "web",
            Protocol::Other(_) => return None,
        };
        let address = request.check_ip.as_deref().filter(|_| check_ip == CheckIp::Matters);
        let (path, gl_repository) = match &repository {
            AskedRepository::Path(path) => (Some(path.as_str()), None),
            AskedRepository::GlRepository(gl_repository) => (None, Some(gl_repository.as_str())),
            AskedRepository::None => return None,
        };
        let push_options = serde_json::to_string(&request.push_options).unwrap_or_default();
        let parts = [
            Some(form),
            Some(&subject_text(&asker)),
            path,
            gl_repository,
            Some(action),
            Some(protocol),
            address,
            request.namespace_path.as_deref(),
            request.relative_path.as_deref(),
            Some(&push_options),
        ];
        Some(Self { key: digest("allowed", &parts), kind, query, asker: Some(asker), repository })
    }

    /// As what the primary is asked it where nothing is kept.
    #[must_use]
    pub const fn miss_class(&self) -> RequestClass {
        match self.kind {
            KeptKind::AuthorizedKeys | KeptKind::AuthorizedCerts => RequestClass::KeyMiss,
            KeptKind::Discover | KeptKind::Pull => RequestClass::Other,
            // It may take as long as what is passed through.
            KeptKind::Push => RequestClass::PassedThrough,
        }
    }

    /// What it is about for the person who asked.
    #[must_use]
    pub const fn request_subject(&self) -> RequestSubject {
        match self.kind {
            KeptKind::AuthorizedKeys | KeptKind::AuthorizedCerts | KeptKind::Discover => RequestSubject::Login,
            KeptKind::Pull => RequestSubject::Read,
            KeptKind::Push => RequestSubject::Push,
        }
    }

    /// Returns the question as it is asked where nothing is kept, so that the primary is waited for: a push may create its project, which
    /// takes a while.
    #[must_use]
    pub fn without_yes(&self) -> Self {
        let time_limit = if self.kind == KeptKind::Push { TimeLimit::ForwardTimeout } else { self.query.time_limit };
        Self { query: UpstreamQuery { time_limit, ..self.query.clone() }, ..self.clone() }
    }

    /// Returns the key that asks, if one does.
    #[must_use]
    pub const fn asking_key(&self) -> Option<Id> {
        match &self.asker {
            Some(KeptSubject::Key(id)) => Some(*id),
            _ => None,
        }
    }
}

impl AskedRepository {
    fn of(request: &AllowedRequest) -> Option<Self> {
        match (&request.gl_repository, &request.project) {
            (Some(gl_repository), _) => Some(Self::GlRepository(gl_repository.clone())),
            (None, Some(project)) => Some(Self::Path(normalize_path(project))),
            (None, None) => None,
        }
    }
}

/// Returns a repository's path in its one spelling. (server.md 1.4)
#[must_use]
pub fn normalize_path(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase()
}

/// Returns how somebody is named, and who that is; `None` for nobody in particular.
fn asker_of(actor: &ClaimedActor) -> Option<(&'static str, KeptSubject)> {
    match actor {
        ClaimedActor::Key(id) => Some(("key_id", KeptSubject::Key((*id)?))),
        ClaimedActor::User(id) => Some(("user_id", KeptSubject::User((*id)?))),
        ClaimedActor::Username(name) => Some(("username", KeptSubject::username(name))),
        ClaimedActor::KeyOwner(id) => Some(("identifier", KeptSubject::Key((*id)?))),
        ClaimedActor::Unspecified => None,
    }
}

fn subject_text(subject: &KeptSubject) -> String {
    match subject {
        KeptSubject::Key(id) | KeptSubject::User(id) | KeptSubject::Project(id) => id.to_string(),
        KeptSubject::Username(text) | KeptSubject::Path(text) => text.to_string(),
    }
}

/// Returns the digest of named parts: each with its length, so that no two lists have one text.
fn digest(endpoint: &str, parts: &[Option<&str>]) -> QuestionKey {
    let mut text = endpoint.to_owned();
    for part in parts {
        match part {
            Some(part) => text.push_str(&format!("\n{}:{part}", part.len())),
            None => text.push_str("\n-"),
        }
    }
    QuestionKey(Digest::of(text.as_bytes()))
}

#[cfg(test)]
pub mod tests {
    use std::collections::HashSet;

    use super::{AskedRepository, KeptQuestion};
    use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
    use crate::model::key::Fingerprint;
    use crate::sidecar::config::CheckIp;
    use crate::sidecar::upstream::decision::QueryKind;
    use crate::sidecar::upstream::query::UpstreamQuery;

    /// A question to the primary that nobody asks.
    pub fn query(kind: QueryKind) -> UpstreamQuery {
        UpstreamQuery::get(kind, "/".to_owned())
    }

    /// A pull of `g/p` by key 11.
    pub fn request() -> AllowedRequest {
        let actor = ClaimedActor::Key("11".parse().ok());
        AllowedRequest { project: Some("g/p".to_owned()), ..AllowedRequest::new(actor, Action::UploadPack, Protocol::Ssh, RefChanges::Any) }
    }

    /// The question of a request.
    pub fn allowed(request: &AllowedRequest) -> Option<KeptQuestion> {
        KeptQuestion::allowed(request, CheckIp::Matters, query(QueryKind::Allowed))
    }

    #[test]
    fn everything_that_enters_the_decision_enters_the_key() {
        let text = |text: &str| Some(text.to_owned());
        let id = |number: &str| number.parse().ok();
        let with = |change: &dyn Fn(&mut AllowedRequest)| {
            let mut changed = request();
            change(&mut changed);
            allowed(&changed).unwrap().key
        };
        let keys = [
            with(&|_| {}),
            with(&|request| request.claimed_actor = ClaimedActor::Key(id("12"))),
            with(&|request| request.claimed_actor = ClaimedActor::KeyOwner(id("11"))),
            with(&|request| request.claimed_actor = ClaimedActor::User(id("11"))),
            with(&|request| request.claimed_actor = ClaimedActor::Username("11".to_owned())),
            with(&|request| request.project = text("g/q")),
            with(&|request| request.project = text("g/p.wiki")),
            with(&|request| request.gl_repository = text("project-1")),
            with(&|request| request.action = Action::UploadArchive),
            with(&|request| request.action = Action::ReceivePack),
            with(&|request| request.protocol = Protocol::Http),
            with(&|request| request.check_ip = text("10.0.0.1")),
            with(&|request| request.check_ip = text("10.0.0.2")),
            with(&|request| request.namespace_path = text("g")),
            with(&|request| request.relative_path = text("g")),
            with(&|request| request.push_options = vec!["g".to_owned()]),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn one_question_has_one_key_however_it_is_spelt() {
        for path in ["/g/p", "g/p.git", "G/P", "/g/P.git"] {
            let asked = AllowedRequest { project: Some(path.to_owned()), ..request() };
            let question = allowed(&asked).unwrap();
            assert_eq!(question.key, allowed(&request()).unwrap().key, "{path}");
            assert_eq!(question.repository, AskedRepository::Path("g/p".to_owned()));
        }
        let named = |name: &str| allowed(&AllowedRequest { claimed_actor: ClaimedActor::Username(name.to_owned()), ..request() });
        assert_eq!(named("Zoe").unwrap().key, named("zoe").unwrap().key);
        let by = |kind| KeptQuestion::authorized_keys(UpstreamQuery::get(kind, "/".to_owned())).key;
        assert_ne!(by(QueryKind::AuthorizedKeys(vec![1])), by(QueryKind::AuthorizedKeys(vec![2])));
        assert_eq!(KeptQuestion::of_fingerprint(&Fingerprint::of(&[1])).key, by(QueryKind::AuthorizedKeys(vec![1])));
    }

    #[test]
    fn without_lists_of_addresses_an_address_does_not_matter() {
        let from = |address: &str| AllowedRequest { check_ip: Some(address.to_owned()), ..request() };
        let key = |address, check_ip| KeptQuestion::allowed(&from(address), check_ip, query(QueryKind::Allowed)).unwrap().key;
        assert_eq!(key("10.0.0.1", CheckIp::Ignored), key("10.0.0.2", CheckIp::Ignored));
    }

    #[test]
    fn nobody_no_repository_and_what_is_no_action_are_never_kept() {
        for asked in [
            AllowedRequest { claimed_actor: ClaimedActor::Unspecified, ..request() },
            AllowedRequest { claimed_actor: ClaimedActor::Key(None), ..request() },
            AllowedRequest { project: None, ..request() },
            AllowedRequest { action: Action::Unknown, ..request() },
            AllowedRequest { action: Action::ReceivePack, changes: RefChanges::Absent, ..request() },
            AllowedRequest { protocol: Protocol::Other(String::new()), ..request() },
        ] {
            assert!(allowed(&asked).is_none(), "{asked:?}");
        }
        assert!(KeptQuestion::discover(&ClaimedActor::Unspecified, query(QueryKind::Discover)).is_none());
    }
}
