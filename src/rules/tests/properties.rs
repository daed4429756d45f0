//! What must hold of every directory, tried on generated ones: hundreds to thousands of users in every state, nested groups, shares,
//! deploy keys, all kinds of repositories.

use proptest::prelude::*;

use crate::model::access_decision::{AccessDecision, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::enums::UserState;
use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
use crate::model::record::Record;
use crate::model::time::Time;
use crate::rules::account;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::rules::project_access::ProjectAccess;

/// A source of choices that is the same for the same seed.
pub struct SeededRng(pub u64);

impl SeededRng {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub fn choose<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        let index = self.below(all.len() as u64);
        all[usize::try_from(index).unwrap_or(0)]
    }

    /// Usually nothing, one time in `many` this field.
    fn maybe_field(&mut self, many: u64, field: &str) -> String {
        if self.one_in(many) { format!(",{field}") } else { String::new() }
    }
}

const GROUPS: u64 = 12;
const PROJECTS: u64 = 30;
const SNIPPETS: u64 = 20;
const DEPLOY_KEYS: u64 = 20;
const LEVELS: [u64; 6] = [10, 15, 20, 30, 40, 50];

/// A generated directory, and what its questions are made of.
pub struct GeneratedDirectory {
    pub directory: MemoryDirectory,
    user_count: u64,
    /// Users with a role in a project of their own, as (user, project): most pairs at random would have nothing to do with each other.
    member_pairs: Vec<(u64, u64)>,
}

impl GeneratedDirectory {
    pub fn generate(seed: u64, people: u64) -> Self {
        let directory = generate_table(seed, people);
        let pair = |record: &Record| match record {
            Record::Member(member) => member.project_id.map(|project| (member.user_id.number(), project.number())),
            _ => None,
        };
        let pairs = directory.records().filter_map(pair).collect();
        Self { directory, user_count: people, member_pairs: pairs }
    }

    fn random_pair(&self, rng: &mut SeededRng) -> (u64, u64) {
        let known = usize::try_from(rng.below(2 * self.member_pairs.len() as u64 + 1)).unwrap_or(0);
        self.member_pairs.get(known).copied().unwrap_or_else(|| (1 + rng.below(self.user_count + 5), 1 + rng.below(PROJECTS + 3)))
    }
}

/// Users 1 to `people`, each with a key of the same number; groups from 1, people's namespaces from 1001; deploy keys from 100001.
fn generate_table(seed: u64, people: u64) -> MemoryDirectory {
    let rng = &mut SeededRng(seed);
    let mut lines = vec![r#"{"kind":"storage","name":"default","address":"unix:/g"}"#.to_owned(), generate_settings(rng)];
    generate_namespaces(rng, people, &mut lines);
    generate_users(rng, people, &mut lines);
    generate_memberships(rng, people, &mut lines);
    generate_repositories(rng, people, &mut lines);
    MemoryDirectory::from_lines(lines.iter().map(String::as_str))
}

fn generate_settings(rng: &mut SeededRng) -> String {
    let fields = [
        rng.maybe_field(8, r#""ssh_enabled":false"#),
        rng.maybe_field(8, r#""maintenance":true"#),
        rng.maybe_field(8, r#""read_only":true"#),
        rng.maybe_field(3, r#""terms_required":true"#),
        rng.maybe_field(3, r#""two_factor_for_cli":true"#),
        rng.maybe_field(10, r#""key_rules":{"ed25519":"forbidden"}"#),
    ];
    format!(r#"{{"kind":"settings"{}}}"#, fields.concat())
}

fn generate_users(rng: &mut SeededRng, people: u64, lines: &mut Vec<String>) {
    for id in 1..=people {
        let state = rng.choose(&["blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"]);
        let fields = [
            rng.maybe_field(3, &format!(r#""state":"{state}""#)),
            rng.maybe_field(40, r#""admin":true"#),
            rng.maybe_field(6, r#""external":true"#),
            rng.maybe_field(20, r#""bot":true"#),
            rng.maybe_field(10, r#""two_factor":true"#),
            rng.maybe_field(10, r#""terms_accepted":false"#),
            rng.maybe_field(10, r#""password_expires_at":"2026-01-01T00:00:00Z""#),
            rng.maybe_field(10, r#""ldap":true"#),
            rng.maybe_field(10, r#""projects_limit":0"#),
        ];
        lines.push(format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U"{}}}"#, fields.concat()));
        let owner = if rng.one_in(30) { String::new() } else { format!(r#","user_id":{id}"#) };
        lines.push(generate_key(rng, id, &owner));
    }
    for id in 100_001..=100_000 + DEPLOY_KEYS {
        lines.push(generate_key(rng, id, r#","deploy":true"#));
        for _ in 0..4 {
            let project = 1 + rng.below(PROJECTS);
            let push = rng.maybe_field(2, r#""can_push":true"#);
            lines.push(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project}{push}}}"#));
        }
    }
}

fn generate_key(rng: &mut SeededRng, id: u64, owner: &str) -> String {
    let usage = rng.maybe_field(10, r#""usage":"signing""#);
    let end = rng.maybe_field(8, r#""expires_at":"2026-05-01T00:00:00Z""#);
    format!(
        r#"{{"kind":"key","id":{id}{owner},"title":"t","key":"{}","created_at":"2026-01-01T00:00:00Z"{usage}{end}}}"#,
        ed25519_public_key(id)
    )
}

fn generate_namespaces(rng: &mut SeededRng, people: u64, lines: &mut Vec<String>) {
    let mut paths = vec![String::new()];
    for id in 1..=GROUPS {
        let parent = if id < 4 || rng.one_in(3) { 0 } else { rng.below(id) };
        let above = &paths[usize::try_from(parent).unwrap_or(0)];
        let path = if parent == 0 { format!("g{id}") } else { format!("{above}/g{id}") };
        let parent = if parent == 0 { String::new() } else { format!(r#","parent_id":{parent}"#) };
        let creation = rng.choose(&["developer", "maintainer", "owner", "noone"]);
        let more = [
            rng.maybe_field(12, r#""archived":true"#),
            rng.maybe_field(6, r#""allowed_ips":["10.0.0.0/8"]"#),
            rng.maybe_field(2, &format!(r#""project_creation":"{creation}""#)),
        ];
        lines.push(format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"g"{parent}{}}}"#, more.concat()));
        paths.push(path);
    }
    for id in 1..=people.min(30) {
        let namespace = 1000 + id;
        lines.push(format!(r#"{{"kind":"namespace","id":{namespace},"type":"user","path":"user{id}","name":"u","owner_id":{id}}}"#));
    }
}

fn generate_memberships(rng: &mut SeededRng, people: u64, lines: &mut Vec<String>) {
    for user in 1..=people {
        for _ in 0..rng.below(8) {
            let level = LEVELS[usize::try_from(rng.below(6)).unwrap_or(0)];
            let more = [rng.maybe_field(8, r#""pending":true"#), rng.maybe_field(8, r#""expires_at":"2026-05-01T00:00:00Z""#)].concat();
            lines.push(generate_member(rng, user, level, &more));
        }
    }
    for _ in 0..20 {
        let (with, level) = (1 + rng.below(GROUPS), LEVELS[usize::try_from(rng.below(6)).unwrap_or(0)]);
        let place = random_container(rng);
        let end = rng.maybe_field(8, r#""expires_at":"2026-05-01T00:00:00Z""#);
        lines.push(format!(r#"{{"kind":"share",{place},"with_namespace_id":{with},"access_level":{level}{end}}}"#));
    }
}

fn random_container(rng: &mut SeededRng) -> String {
    match rng.one_in(2) {
        true => format!(r#""namespace_id":{}"#, 1 + rng.below(GROUPS)),
        false => format!(r#""project_id":{}"#, 1 + rng.below(PROJECTS)),
    }
}

fn generate_member(rng: &mut SeededRng, user: u64, level: u64, more: &str) -> String {
    let place = random_container(rng);
    format!(r#"{{"kind":"member",{place},"user_id":{user},"access_level":{level}{more}}}"#)
}

fn generate_repositories(rng: &mut SeededRng, people: u64, lines: &mut Vec<String>) {
    let homes = MemoryDirectory::from_lines(lines.iter().map(String::as_str).filter(|line| line.contains(r#""kind":"namespace""#)));
    let homes: Vec<_> = homes
        .records()
        .filter_map(|record| match record {
            Record::Namespace(namespace) => Some((namespace.id, namespace.path.to_string())),
            _ => None,
        })
        .collect();
    for id in 1..=PROJECTS {
        let (namespace, above) = &homes[usize::try_from(rng.below(homes.len() as u64)).unwrap_or(0)];
        let access = rng.choose(&["private", "disabled"]);
        let more = [
            format!(r#","visibility":"{}""#, rng.choose(&["private", "private", "internal", "public"])),
            rng.maybe_field(3, &format!(r#""repository_access":"{access}""#)),
            rng.maybe_field(3, &format!(r#""wiki_access":"{access}""#)),
            rng.maybe_field(10, r#""archived":true"#),
            rng.maybe_field(10, r#""repository_read_only":true"#),
            rng.maybe_field(10, r#""repository_exists":false"#),
            rng.maybe_field(10, r#""wiki_repository_exists":false"#),
        ];
        let fields = more.concat();
        lines.push(format!(r#"{{"kind":"project","id":{id},"namespace_id":{namespace},"path":"{above}/p{id}","name":"p","relative_path":"{id}.git"{fields}}}"#));
        if rng.one_in(4) {
            lines.push(format!(r#"{{"kind":"redirect","from":"{}/old{id}","project_id":{id}}}"#, rng.choose(&["gone", "g1", "user1"])));
        }
    }
    for id in 1..=SNIPPETS {
        let project = if rng.one_in(3) { String::new() } else { format!(r#","project_id":{}"#, 1 + rng.below(PROJECTS)) };
        let (author, visibility) = (1 + rng.below(people), rng.choose(&["private", "internal", "public"]));
        lines.push(format!(r#"{{"kind":"snippet","id":{id}{project},"author_id":{author},"visibility":"{visibility}","storage":"default","relative_path":"s{id}.git"}}"#));
    }
}

pub fn now() -> Time {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Some question that this world may be asked.
pub fn random_request(rng: &mut SeededRng, generated: &GeneratedDirectory) -> AllowedRequest {
    let (someone, something) = generated.random_pair(rng);
    let deploy_key = 100_001 + rng.below(DEPLOY_KEYS + 2);
    let claimed_actor = match rng.below(8) {
        0 => ClaimedActor::Unspecified,
        1 => ClaimedActor::User(someone.try_into().ok()),
        2 => ClaimedActor::Username(format!("USER{someone}")),
        3 => ClaimedActor::KeyOwner(someone.try_into().ok()),
        4 => ClaimedActor::Key(deploy_key.try_into().ok()),
        _ => ClaimedActor::Key(someone.try_into().ok()),
    };
    let (gl_repository, project) = random_repository(rng, &generated.directory, something);
    let namespace = format!("g{}", 1 + rng.below(6));
    AllowedRequest {
        claimed_actor,
        gl_repository,
        project,
        action: match rng.below(9) {
            0 => Action::UploadArchive,
            1 => Action::Unknown,
            2..5 => Action::UploadPack,
            _ => Action::ReceivePack,
        },
        protocol: match rng.below(5) {
            0 => Protocol::Web,
            1 => Protocol::Http,
            _ => Protocol::Ssh,
        },
        changes: if rng.one_in(5) { RefChanges::Absent } else { RefChanges::Any },
        env: None,
        check_ip: rng.one_in(3).then(|| rng.choose(&["10.1.1.1", "11.1.1.1", "x"]).to_owned()),
        namespace_path: rng.one_in(5).then_some(namespace),
        relative_path: None,
        push_options: Vec::new(),
        unsupported_param: None,
    }
}

fn random_repository(rng: &mut SeededRng, directory: &MemoryDirectory, id: u64) -> (Option<String>, Option<String>) {
    use crate::model::directory::Directory as _;
    if rng.one_in(4) {
        return (Some(format!("{}-{id}", rng.choose(&["project", "wiki", "design", "snippet"]))), None);
    }
    let found = Some(id).filter(|_| !rng.one_in(6)).and_then(|id| id.try_into().ok()).and_then(|id| directory.project(id).ok().flatten());
    let path =
        found.map_or_else(|| format!("{}/none{id}", rng.choose(&["g1", "g2", "g3", "user1", "user2"])), |project| project.path.to_string());
    let path = match rng.below(10) {
        0 => format!("{}/old{id}", rng.choose(&["gone", "g1", "user1"])),
        1 => format!("snippets/{}", 1 + rng.below(SNIPPETS)),
        2 => format!("{path}/snippets/{}", 1 + rng.below(SNIPPETS)),
        3 => format!("{path}.design"),
        4 | 5 => format!("{path}.wiki.git"),
        _ => format!("/{path}.git"),
    };
    (None, Some(path))
}

fn decide_now(directory: &MemoryDirectory, request: &AllowedRequest) -> AccessDecision {
    decide(directory, request, now()).unwrap().decision
}

fn is_allowed(decision: &AccessDecision) -> bool {
    matches!(decision, AccessDecision::Granted(_) | AccessDecision::CreatesProject(_))
}

fn as_anonymous(request: &AllowedRequest) -> AllowedRequest {
    AllowedRequest { claimed_actor: ClaimedActor::Unspecified, ..request.clone() }
}

/// Whether nothing may be let through on this actor's own account.
fn has_no_access_of_its_own(directory: &MemoryDirectory, actor: &Actor) -> bool {
    use crate::model::directory::Directory as _;
    let settings = directory.settings().unwrap();
    let expired = actor.key().and_then(|key| key.expires_at).is_some_and(|end| end <= now());
    match actor {
        Actor::Unknown | Actor::OrphanedKey(_) => true,
        Actor::User(user, _) => expired || user.state == UserState::Blocked || account::account_refusal(user, &settings, now()).is_some(),
        Actor::DeployKey(..) => expired,
    }
}

/// One question tried for each of these, in each world.
const REQUESTS_PER_DIRECTORY: u64 = 150;

fn any_directory_seed() -> impl Strategy<Value = (u64, u64)> {
    (any::<u64>(), 100..1500_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn who_is_blocked_expired_or_unknown_gets_no_more_than_nobody((seed, people) in any_directory_seed()) {
        let generated = GeneratedDirectory::generate(seed, people);
        let directory = &generated.directory;
        let rng = &mut SeededRng(seed ^ 1);
        for _ in 0..REQUESTS_PER_DIRECTORY * 4 {
            let request = random_request(rng, &generated);
            let actor = resolve_actor(directory, &request.claimed_actor).unwrap();
            if has_no_access_of_its_own(directory, &actor) && is_allowed(&decide_now(directory, &request)) {
                prop_assert!(is_allowed(&decide_now(directory, &as_anonymous(&request))), "{request:?}");
            }
        }
    }

    #[test]
    fn an_additional_membership_takes_no_access_away((seed, people) in any_directory_seed()) {
        let generated = GeneratedDirectory::generate(seed, people);
        let directory = &generated.directory;
        let rng = &mut SeededRng(seed ^ 2);
        for _ in 0..REQUESTS_PER_DIRECTORY {
            let request = random_request(rng, &generated);
            let Actor::User(user, _) = resolve_actor(directory, &request.claimed_actor).unwrap() else { continue };
            let level = LEVELS[usize::try_from(rng.below(6)).unwrap_or(0)];
            let Ok(Record::Member(member)) = Record::parse(&generate_member(rng, user.id.number(), level, "")) else { panic!("no member") };
            let there = |record: &Record| matches!(record, Record::Member(other) if other.user_id == member.user_id
                && other.namespace_id == member.namespace_id && other.project_id == member.project_id);
            if is_allowed(&decide_now(directory, &request)) && !directory.records().any(there) {
                let mut more = directory.clone();
                more.put(Record::Member(member.clone()));
                prop_assert!(is_allowed(&decide_now(&more, &request)), "{request:?} {member:?}");
            }
        }
    }

    #[test]
    fn who_may_push_may_pull((seed, people) in any_directory_seed()) {
        let generated = GeneratedDirectory::generate(seed, people);
        let directory = &generated.directory;
        let rng = &mut SeededRng(seed ^ 3);
        for _ in 0..REQUESTS_PER_DIRECTORY * 4 {
            let request = AllowedRequest { action: Action::ReceivePack, ..random_request(rng, &generated) };
            if matches!(decide_now(directory, &request), AccessDecision::Granted(_)) {
                let pull = AllowedRequest { action: Action::UploadPack, ..request };
                prop_assert!(is_allowed(&decide_now(directory, &pull)), "{pull:?}");
            }
        }
    }

    #[test]
    fn a_user_whom_no_record_names_has_no_access((seed, people) in any_directory_seed()) {
        let generated = GeneratedDirectory::generate(seed, people);
        let directory = &generated.directory;
        let rng = &mut SeededRng(seed ^ 4);
        for _ in 0..REQUESTS_PER_DIRECTORY / 8 {
            let request = random_request(rng, &generated);
            let Actor::User(user, _) = resolve_actor(directory, &request.claimed_actor).unwrap() else { continue };
            let without = directory.filter_records(|record| match record {
                Record::User(other) => other.id != user.id,
                Record::Key(key) => key.user_id != Some(user.id),
                Record::Member(member) => member.user_id != user.id,
                Record::Snippet(snippet) => snippet.author_id != user.id,
                Record::Namespace(namespace) => namespace.owner_id != Some(user.id),
                _ => true,
            });
            prop_assert_eq!(decide_now(&without, &request), decide_now(&without, &as_anonymous(&request)), "{:?}", request);
        }
    }

    #[test]
    fn an_unreadable_project_cannot_be_told_from_a_missing_one((seed, people) in any_directory_seed()) {
        use crate::model::directory::Directory as _;
        let generated = GeneratedDirectory::generate(seed, people);
        let directory = &generated.directory;
        let rng = &mut SeededRng(seed ^ 5);
        let mut tried = 0;
        for _ in 0..REQUESTS_PER_DIRECTORY * 8 {
            let request = random_request(rng, &generated);
            let snippet = request.gl_repository.as_deref().is_some_and(|word| word.starts_with("snippet"));
            let context = crate::rules::context::DecisionContext::load(directory, &request, now()).unwrap();
            let Some(project) = context.lookup.repository.as_ref().and_then(|found| found.project()) else { continue };
            let ground = ProjectAccess::load(directory, &context.actor, project, now()).unwrap();
            if snippet || ground.is_readable(&context) || tried == REQUESTS_PER_DIRECTORY / 8 {
                continue;
            }
            tried += 1;
            let id = project.id;
            let without = directory.filter_records(|record| match record {
                Record::Project(other) => other.id != id,
                Record::Redirect(redirect) => redirect.project_id != id,
                Record::Member(member) => member.project_id != Some(id),
                Record::Share(share) => share.project_id != Some(id),
                Record::Snippet(snippet) => snippet.project_id != Some(id),
                Record::DeployGrant(grant) => grant.project_id != id,
                _ => true,
            });
            prop_assert!(without.project(id).unwrap().is_none());
            let missing = decide_now(&without, &request);
            // Who may create in a namespace learns that a path of it is taken by a project that has moved away.
            let taken = context.lookup.found_by == FoundBy::Redirect && (is_allowed(&missing) || matches!(&missing, AccessDecision::Denied(no) if no.status == 422));
            if !taken {
                prop_assert_eq!(decide_now(directory, &request), missing, "{:?}", request);
            }
        }
        prop_assert!(tried > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_decided(
        path in "(/|g1|user1|p1|\\.git|\\.wiki|snippets/|\\PC|.){0,8}",
        word in proptest::option::of("(project|wiki|snippet|design|group|x)?-?[0-9a-z]{0,20}(-wiki)?"),
        address in proptest::option::of("(\\PC|[0-9.:/]){0,20}"),
        namespace in proptest::option::of("(g1|/|.){0,4}"),
        changes in "([0-9a-f]{40} |[0-9a-f]{40} |refs/heads/|refs/tags/|\n|.){0,6}",
        user in 1..120_u64,
        push: bool,
    ) {
        let rng = &mut SeededRng(user);
        let asked = AllowedRequest {
            claimed_actor: ClaimedActor::User(user.try_into().ok()),
            gl_repository: word,
            project: Some(path),
            action: if push { Action::ReceivePack } else { Action::UploadPack },
            changes: RefChanges::Listed(changes),
            check_ip: address,
            namespace_path: namespace,
            ..SMALL.with(|generated| random_request(rng, generated))
        };
        for changes in [RefChanges::Any, asked.changes.clone()] {
            SMALL.with(|generated| {
                let _ = decide_now(&generated.directory, &AllowedRequest { changes, ..asked.clone() });
            });
        }
    }
}

thread_local! {
    static SMALL: GeneratedDirectory = GeneratedDirectory::generate(1, 100);
}

/// The generated worlds hold what the properties are about: otherwise they would say nothing.
#[test]
fn generated_directories_cover_every_verdict() {
    let (mut pulls, mut pushes, mut creates, mut spents, mut refusals) = (0, 0, 0, 0, std::collections::BTreeSet::new());
    for seed in 0..6 {
        let generated = GeneratedDirectory::generate(seed, 600);
        let rng = &mut SeededRng(seed ^ 77);
        for _ in 0..2000 {
            let request = random_request(rng, &generated);
            let judgement = decide(&generated.directory, &request, now()).unwrap();
            spents += u32::from(has_no_access_of_its_own(&generated.directory, &judgement.actor) && judgement.actor != Actor::Unknown);
            match judgement.decision {
                AccessDecision::Granted(_) if request.action == Action::ReceivePack => pushes += 1,
                AccessDecision::Granted(_) => pulls += 1,
                AccessDecision::CreatesProject(_) => creates += 1,
                AccessDecision::Denied(refusal) => {
                    refusals.insert(refusal.reason);
                }
            }
        }
    }
    assert!(pulls > 200 && pushes > 50 && creates > 0 && spents > 1000, "{pulls} {pushes} {creates} {spents}");
    assert!(refusals.len() > 30, "{refusals:?}");
}
