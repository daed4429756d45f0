//! The table of kinds says which puts only give access. Tried against the rules on generated directories: a put of which the table says so
//! takes no answer away from anybody.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value};

use crate::model::access_decision::{AccessDecision, Actor};
use crate::model::access_request::{AllowedRequest, ClaimedActor, LfsAuthenticateRequest};
use crate::model::directory::Directory;
use crate::model::id::Id;
use crate::model::key::decode_blob;
use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
use crate::model::record::Record;
use crate::model::record_access::{only_gives_access, only_gives_access_if_new};
use crate::model::record_strategy;
use crate::rules;
use crate::rules::actor::resolve_actor;
use crate::rules::lfs::TokenEligibility;
use crate::rules::tests::properties::{GeneratedDirectory, SeededRng, now, random_request};

const PEOPLE: u64 = 40;
const PUTS_PER_DIRECTORY: u64 = 250;
/// How often a field is changed, and how many of the changes that only give are asked about.
const CHANGES_PER_FIELD: u64 = 12;
const PUTS_PER_FIELD: u64 = 4;
const QUESTIONS_PER_PUT: u64 = 120;
/// Some of the past, some of the future of [`now`], and none.
const TIMES: [&str; 4] = ["2026-01-01T00:00:00.000Z", "2026-05-31T00:00:00.000Z", "2027-01-01T00:00:00.000Z", ""];

/// What is asked: each question of a host, in the form in which it is answered with yes or no.
#[derive(Debug)]
pub enum Question {
    Allowed(AllowedRequest),
    AuthorizedKeys(u64),
    Discover(ClaimedActor),
    LfsAuthenticate(LfsAuthenticateRequest),
}

impl Question {
    pub fn random(rng: &mut SeededRng, generated: &GeneratedDirectory, about: &Record) -> Self {
        let mut request = random_request(rng, generated);
        if !rng.one_in(3) {
            aim_at(rng, &generated.directory, &mut request, about);
        }
        match rng.below(6) {
            0 => Self::AuthorizedKeys(key_number(&request.claimed_actor)),
            1 => Self::Discover(request.claimed_actor),
            2 => Self::LfsAuthenticate(LfsAuthenticateRequest {
                claimed_actor: request.claimed_actor,
                gl_repository: request.gl_repository,
                project: request.project,
                operation: None,
                unsupported_param: None,
            }),
            _ => Self::Allowed(request),
        }
    }

    /// Returns what a yes is about; `None` for everything that is no yes.
    pub fn yes(&self, directory: &dyn Directory) -> Option<String> {
        match self {
            Self::Allowed(request) => match rules::allowed::decide(directory, request, now()).ok()?.decision {
                AccessDecision::Granted(grant) => Some(grant.repository.gl_repository()),
                AccessDecision::CreatesProject(creation) => Some(creation.path),
                AccessDecision::Denied(_) => None,
            },
            Self::AuthorizedKeys(number) => {
                let key = ed25519_public_key(*number);
                let blob = decode_blob(key.split(' ').nth(1).unwrap()).unwrap();
                rules::authorized_keys::decide(directory, &blob)
                    .unwrap()
                    .map(|found| format!("key {} {:?}", found.key.id, found.key.user_id))
            }
            Self::Discover(actor) => rules::discover::decide(directory, actor).unwrap().map(|user| format!("user {}", user.id)),
            Self::LfsAuthenticate(request) => match rules::lfs::check_eligibility(directory, request).ok()? {
                TokenEligibility::Eligible(holder, repository) => Some(format!("{} {}", holder.login(), repository.gl_repository())),
                TokenEligibility::ContainerNotFound | TokenEligibility::ActorNotFound => None,
            },
        }
    }

    /// Returns whether the question names somebody who was nobody before the put. What is open to everybody was open to that number too;
    /// a host asks the primary about numbers that it does not know.
    fn is_by_somebody_new(&self, before: &MemoryDirectory) -> bool {
        let actor = match self {
            Self::Allowed(AllowedRequest { claimed_actor, .. })
            | Self::Discover(claimed_actor)
            | Self::LfsAuthenticate(LfsAuthenticateRequest { claimed_actor, .. }) => claimed_actor,
            Self::AuthorizedKeys(_) => return false,
        };
        *actor != ClaimedActor::Unspecified && resolve_actor(before, actor).unwrap() == Actor::Unknown
    }
}

fn key_number(actor: &ClaimedActor) -> u64 {
    match actor {
        ClaimedActor::Key(Some(id)) | ClaimedActor::KeyOwner(Some(id)) | ClaimedActor::User(Some(id)) => id.number(),
        _ => 1,
    }
}

/// Makes a request one that the record has a part in.
fn aim_at(rng: &mut SeededRng, directory: &MemoryDirectory, request: &mut AllowedRequest, record: &Record) {
    let mut project = None;
    let mut user = None;
    match record {
        Record::User(about) => user = Some(about.id),
        Record::Key(about) => request.claimed_actor = ClaimedActor::Key(Some(about.id)),
        Record::Project(about) => project = Some(about.id),
        Record::Namespace(about) => project = project_in(rng, directory, about.id),
        Record::Redirect(about) => request.project = Some(about.from.to_string()),
        Record::Member(about) => (project, user) = (about.project_id, Some(about.user_id)),
        Record::Share(about) => project = about.project_id,
        Record::DeployGrant(about) => {
            project = Some(about.project_id);
            request.claimed_actor = ClaimedActor::Key(Some(about.key_id));
        }
        Record::Snippet(about) => {
            user = Some(about.author_id).filter(|_| rng.one_in(2));
            request.gl_repository = Some(format!("snippet-{}", about.id));
        }
        _ => {}
    }
    if let Some(id) = user {
        request.claimed_actor = if rng.one_in(3) { ClaimedActor::User(Some(id)) } else { ClaimedActor::Key(Some(id)) };
    }
    if let Some(id) = project {
        request.gl_repository = Some(format!("{}-{id}", rng.choose(&["project", "project", "wiki", "design"])));
    }
}

fn project_in(rng: &mut SeededRng, directory: &MemoryDirectory, namespace: Id) -> Option<Id> {
    let inside: Vec<_> = directory
        .records()
        .filter_map(|record| match record {
            Record::Project(project) if project.namespace_id == namespace => Some(project.id),
            _ => None,
        })
        .collect();
    inside.get(usize::try_from(rng.below(inside.len().max(1) as u64)).unwrap()).copied()
}

/// Returns the record with one or two of its fields changed.
pub fn changed_record(rng: &mut SeededRng, runner: &mut TestRunner, old: &Record) -> Option<Record> {
    let fields = Record::field_names(old.kind()).unwrap();
    let mut changed = old.clone();
    for _ in 0..1 + rng.below(2) {
        let name = fields[usize::try_from(rng.below(fields.len() as u64)).unwrap()];
        changed = with_changed_field(rng, runner, &changed, name)?;
    }
    Some(changed)
}

/// Returns the record with a field taken from another record of its kind; `None` if that gives no record of the same identity.
fn with_changed_field(rng: &mut SeededRng, runner: &mut TestRunner, old: &Record, name: &str) -> Option<Record> {
    let to_fields = |record: &Record| -> Map<String, Value> { serde_json::from_str(&record.canonical().unwrap()).unwrap() };
    let value = match name {
        "username" | "path" | "relative_path" => Some(Value::from(format!("renamed{}", rng.below(1 << 40)))),
        name if name.ends_with("_at") => Some(Value::from(rng.choose(&TIMES))).filter(|time| time != ""),
        name => to_fields(&random_of_kind(runner, old.kind())).get(name).cloned(),
    };
    let mut fields = to_fields(old);
    match value {
        Some(value) => fields.insert(name.to_owned(), value),
        None => fields.remove(name),
    };
    let new = Record::parse(&Value::Object(fields).to_string()).ok()?;
    (identity(&new) == identity(old)).then_some(new)
}

fn random_of_kind(runner: &mut TestRunner, kind: &str) -> Record {
    let mut records = std::iter::repeat_with(|| record_strategy::record().new_tree(runner).unwrap().current());
    records.find(|record| record.kind() == kind).unwrap()
}

pub fn identity(record: &Record) -> String {
    let entry = crate::model::entry::Entry::from_record(record.clone()).unwrap();
    crate::model::record_identity::RecordIdentity::from_entry(&entry).to_string()
}

pub fn without(directory: &MemoryDirectory, record: &Record) -> MemoryDirectory {
    directory.filter_records(|other| identity(other) != identity(record))
}

/// The kinds that a generated directory has, and the rules read.
const KINDS: [&str; 10] = ["settings", "user", "namespace", "project", "snippet", "member", "share", "deploy_grant", "redirect", "key"];

/// A record of a kind that is chosen first, so that the many people do not crowd out the rest.
pub fn random_record(rng: &mut SeededRng, directory: &MemoryDirectory) -> Record {
    let kind = rng.choose(&KINDS);
    random_record_of(rng, directory, kind)
}

fn random_record_of(rng: &mut SeededRng, directory: &MemoryDirectory, kind: &str) -> Record {
    // Every second one is such that its other fields matter, which few are.
    let is_sought = rng.one_in(2);
    let homes: BTreeSet<_> = directory
        .records()
        .filter_map(|record| match record {
            Record::Project(project) => Some(project.namespace_id),
            _ => None,
        })
        .collect();
    let matters = |record: &Record| match record {
        Record::User(user) => user.password_expires_at.is_some() || user.two_factor,
        Record::Namespace(namespace) => homes.contains(&namespace.id),
        _ => true,
    };
    let all: Vec<_> = directory.records().filter(|record| record.kind() == kind && (!is_sought || matters(record))).collect();
    let chosen = all.get(usize::try_from(rng.below(all.len().max(1) as u64)).unwrap());
    chosen.map_or_else(|| Record::parse(r#"{"kind":"settings"}"#).unwrap(), |record| (*record).clone())
}

/// Returns a question whose answer a put takes away, if one is found.
fn question_that_loses(rng: &mut SeededRng, generated: &GeneratedDirectory, old: Option<&Record>, new: &Record) -> Option<Question> {
    let mut after = without(&generated.directory, new);
    let before = if old.is_some() { generated.directory.clone() } else { after.clone() };
    after.put(new.clone());
    (0..QUESTIONS_PER_PUT).map(|_| Question::random(rng, generated, new)).find(|question| {
        let yes = question.yes(&before);
        let counts = yes.is_some() && (old.is_some() || !question.is_by_somebody_new(&before));
        counts && question.yes(&after) != yes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_put_that_is_known_only_to_give_access_takes_no_answer_away(seed: u64) {
        let mut generated = GeneratedDirectory::generate(seed, PEOPLE);
        // So that most questions are not refused for the instance's sake, and accounts are looked at closely.
        let settings = [r#"{"kind":"settings"}"#, r#"{"kind":"settings","terms_required":true,"two_factor_for_cli":true}"#];
        generated.directory.put(Record::parse(settings[usize::from(seed % 2 == 0)]).unwrap());
        let (rng, runner) = (&mut SeededRng(seed ^ 6), &mut TestRunner::deterministic());
        let (mut tried, mut wrong) = (BTreeSet::new(), BTreeMap::new());
        for kind in KINDS {
            for field in Record::field_names(kind).unwrap() {
                let mut only_giving = 0;
                for _ in 0..CHANGES_PER_FIELD {
                    let old = random_record_of(rng, &generated.directory, kind);
                    let Some(new) = with_changed_field(rng, runner, &old, field).filter(|new| *new != old) else { continue };
                    if only_gives_access(&old, &new) && only_giving < PUTS_PER_FIELD {
                        only_giving += 1;
                        tried.insert(format!("{kind}.{field}"));
                        if let Some(question) = question_that_loses(rng, &generated, Some(&old), &new) {
                            wrong.insert(format!("{kind}.{field}"), format!("{question:?}\n from {old:?}\n to {new:?}"));
                        }
                    }
                }
            }
            let new = random_record_of(rng, &generated.directory, kind);
            if only_gives_access_if_new(&new)
                && let Some(question) = question_that_loses(rng, &generated, None, &new)
            {
                wrong.insert(kind.to_owned(), format!("{question:?}\n new {new:?}"));
            }
        }
        prop_assert!(wrong.is_empty(), "{:?}\n{:#?}", wrong.keys(), wrong.values().next());
        prop_assert!(tried.len() > 10, "{tried:?}");
    }

    /// The other half of the same: what the rules find to be taken away, the table never says to only give. Every field is changed here,
    /// whatever the table says of it.
    #[test]
    fn a_put_that_takes_an_answer_away_restricts(seed: u64) {
        let generated = GeneratedDirectory::generate(seed, PEOPLE);
        let (rng, runner) = (&mut SeededRng(seed ^ 7), &mut TestRunner::deterministic());
        let mut taken = 0;
        for _ in 0..PUTS_PER_DIRECTORY {
            let old = random_record(rng, &generated.directory);
            let Some(new) = changed_record(rng, runner, &old) else { continue };
            let mut after = without(&generated.directory, &old);
            after.put(new.clone());
            for _ in 0..QUESTIONS_PER_PUT / 10 {
                let question = Question::random(rng, &generated, &old);
                if question.yes(&generated.directory).is_some_and(|yes| question.yes(&after) != Some(yes)) {
                    taken += 1;
                    prop_assert!(!only_gives_access(&old, &new), "{question:?}\n from {old:?}\n to {new:?}");
                }
            }
        }
        prop_assert!(taken > 0);
    }
}

#[test]
fn no_field_of_an_account_gives_in_both_directions() {
    let user = |fields: &str| Record::parse(&format!(r#"{{"kind":"user","id":1,"username":"a","name":"A"{fields}}}"#)).unwrap();
    for name in Record::field_names("user").unwrap().iter().filter(|name| !["id", "username", "name"].contains(name)) {
        let values = ["true", "false", "5", r#""blocked""#, r#""2026-01-01T00:00:00.000Z""#];
        let changed = values.iter().find_map(|value| {
            let line = format!(r#"{{"kind":"user","id":1,"username":"a","name":"A","{name}":{value}}}"#);
            Record::parse(&line).ok().filter(|changed| *changed != user(""))
        });
        let changed = changed.unwrap_or_else(|| panic!("no other value for {name}"));
        let both = [only_gives_access(&user(""), &changed), only_gives_access(&changed, &user(""))];
        assert!(both.contains(&false), "`{name}`");
    }
}
