//! The primary and the sidecar decide as one: over generated directories with people in every state, nested groups, shares and deploy keys,
//! any question gets the same status and the same bytes from both.

use serde_json::json;

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_key_blob, contract_public_key};
use crate::support::env::TestEnv;
use crate::support::generated_directory::{pseudo_random, scaled};

const GROUPS: u64 = 12;
const SNIPPETS: u64 = 20;
const DEPLOY_KEYS: u64 = 20;
const LEVELS: [&str; 6] = ["10", "15", "20", "30", "40", "50"];
const PAST: &str = r#""expires_at":"2026-01-01T00:00:00Z""#;

/// A source of choices that is the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = pseudo_random(self.0);
        self.0 % bound
    }

    fn chance(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Usually nothing, one time in `many` this field.
    fn maybe_field(&mut self, many: u64, field: &str) -> String {
        if self.chance(many) { format!(",{field}") } else { String::new() }
    }
}

/// A generated directory, and what its questions are made of.
struct GeneratedDirectory {
    people: u64,
    projects: u64,
    lines: Vec<String>,
    paths: Vec<String>,
    /// Person and project, where there is a role.
    actor_project_pairs: Vec<(u64, u64)>,
}

impl GeneratedDirectory {
    /// Users 1 to `people`, each with a key of the same number; groups from 1, people's namespaces from 1,000,001; deploy keys from
    /// 2,000,001.
    fn generate(seed: u64, people: u64) -> Self {
        let mut world = Self { people, projects: 30 + people / 10, lines: Vec::new(), paths: Vec::new(), actor_project_pairs: Vec::new() };
        let dice = &mut Random(seed);
        world.add_settings(dice);
        let homes = world.add_namespaces(dice);
        world.people(dice);
        world.projects(dice, &homes);
        world.add_deploy_keys(dice);
        world.add_roles(dice);
        world.add_snippets(dice);
        world
    }

    fn text(&self) -> String {
        self.lines.concat()
    }

    fn push_line(&mut self, line: String) {
        self.lines.push(line + "\n");
    }

    fn add_settings(&mut self, dice: &mut Random) {
        self.push_line(r#"{"kind":"storage","name":"default","address":"unix:/g","token":"t"}"#.to_owned());
        let more = [
            dice.maybe_field(8, r#""ssh_enabled":false"#),
            dice.maybe_field(8, r#""maintenance":true"#),
            dice.maybe_field(8, r#""read_only":true"#),
            dice.maybe_field(3, r#""terms_required":true"#),
            dice.maybe_field(3, r#""two_factor_for_cli":true"#),
            dice.maybe_field(8, r#""key_rules":{"ed25519":"forbidden"}"#),
            dice.maybe_field(2, r#""receive_max_input_size_mib":5"#),
        ];
        self.push_line(format!(r#"{{"kind":"settings","operations_per_minute":0{}}}"#, more.concat()));
    }

    fn add_namespaces(&mut self, dice: &mut Random) -> Vec<(u64, String)> {
        let mut homes: Vec<(u64, String)> = Vec::new();
        for id in 1..=GROUPS {
            let parent = (id > 3 && !dice.chance(3)).then(|| homes[usize::try_from(dice.below(id - 1)).unwrap()].clone());
            let path = parent.as_ref().map_or(format!("g{id}"), |(_, above)| format!("{above}/g{id}"));
            let more = [
                parent.map_or(String::new(), |(parent, _)| format!(r#","parent_id":{parent}"#)),
                dice.maybe_field(12, r#""archived":true"#),
                dice.maybe_field(6, r#""allowed_ips":["10.0.0.0/8"]"#),
                format!(r#","project_creation":"{}""#, dice.pick(&["developer", "maintainer", "owner", "noone"])),
            ];
            self.push_line(format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"g"{}}}"#, more.concat()));
            homes.push((id, path));
        }
        for id in 1..=self.people.min(30) {
            let namespace = 1_000_000 + id;
            self.push_line(format!(
                r#"{{"kind":"namespace","id":{namespace},"type":"user","path":"user{id}","name":"u","owner_id":{id}}}"#
            ));
            homes.push((namespace, format!("user{id}")));
        }
        homes
    }

    fn people(&mut self, dice: &mut Random) {
        for id in 1..=self.people {
            let state = dice.pick(&["blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"]);
            let more = [
                dice.maybe_field(3, &format!(r#""state":"{state}""#)),
                dice.maybe_field(40, r#""admin":true"#),
                dice.maybe_field(6, r#""external":true"#),
                dice.maybe_field(20, r#""bot":true"#),
                dice.maybe_field(10, r#""two_factor":true"#),
                dice.maybe_field(10, r#""terms_accepted":false"#),
                dice.maybe_field(10, r#""password_expires_at":"2026-01-01T00:00:00Z""#),
                dice.maybe_field(10, r#""ldap":true"#),
                dice.maybe_field(10, r#""projects_limit":0"#),
            ];
            self.push_line(format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U{id}"{}}}"#, more.concat()));
            let owner = if dice.chance(30) { String::new() } else { format!(r#","user_id":{id}"#) };
            self.add_key(dice, id, &owner);
        }
    }

    fn add_key(&mut self, dice: &mut Random, id: u64, more: &str) {
        let more = [more.to_owned(), dice.maybe_field(10, r#""usage":"signing""#), dice.maybe_field(8, PAST)].concat();
        let key = contract_public_key(id);
        self.push_line(format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2025-01-01T00:00:00Z"{more}}}"#));
    }

    fn projects(&mut self, dice: &mut Random, homes: &[(u64, String)]) {
        for id in 1..=self.projects {
            let (home, above) = &homes[usize::try_from(dice.below(homes.len() as u64)).unwrap()];
            let (path, access) = (format!("{above}/p{id}"), dice.pick(&["private", "disabled"]));
            let more = [
                format!(r#","visibility":"{}""#, dice.pick(&["private", "private", "internal", "public"])),
                dice.maybe_field(3, &format!(r#""repository_access":"{access}""#)),
                dice.maybe_field(3, &format!(r#""wiki_access":"{access}""#)),
                dice.maybe_field(10, r#""archived":true"#),
                dice.maybe_field(10, r#""repository_read_only":true"#),
                dice.maybe_field(10, r#""repository_exists":false"#),
                dice.maybe_field(10, r#""wiki_repository_exists":false"#),
                dice.maybe_field(10, r#""lfs_enabled":false"#),
            ];
            let more = more.concat();
            self.push_line(format!(
                r#"{{"kind":"project","id":{id},"namespace_id":{home},"path":"{path}","name":"p","relative_path":"{id}.git"{more}}}"#
            ));
            if dice.chance(4) {
                self.push_line(format!(r#"{{"kind":"redirect","from":"gone/old{id}","project_id":{id}}}"#));
            }
            if dice.chance(4) {
                let push = dice.pick(&["noone", "maintainer", "developer"]);
                self.push_line(format!(r#"{{"kind":"protected_branch","project_id":{id},"pattern":"m*","push":"{push}"}}"#));
            }
            self.paths.push(path);
        }
    }

    fn add_deploy_keys(&mut self, dice: &mut Random) {
        for number in 1..=DEPLOY_KEYS {
            let id = 2_000_000 + number;
            let creator = 1 + dice.below(self.people);
            self.add_key(dice, id, &format!(r#","user_id":{creator},"deploy":true"#));
            let first = 1 + dice.below(self.projects);
            for project in (first..=self.projects).step_by(7).take(4) {
                let push = dice.maybe_field(2, r#""can_push":true"#);
                self.push_line(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project}{push}}}"#));
                self.actor_project_pairs.push((id, project));
            }
        }
    }

    fn add_roles(&mut self, dice: &mut Random) {
        for user in 1..=self.people {
            let (group, project) = (1 + dice.below(GROUPS), 1 + dice.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if dice.chance(3) {
                    continue;
                }
                let more = [dice.maybe_field(8, r#""pending":true"#), dice.maybe_field(8, PAST)].concat();
                let level = dice.pick(&LEVELS);
                self.push_line(format!(r#"{{"kind":"member",{place},"user_id":{user},"access_level":{level}{more}}}"#));
                self.actor_project_pairs.push((user, project));
            }
        }
        for with in 1..=GROUPS {
            let (group, project) = (1 + dice.below(GROUPS), 1 + dice.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if group != with {
                    let (level, more) = (dice.pick(&LEVELS), dice.maybe_field(8, PAST));
                    self.push_line(format!(r#"{{"kind":"share",{place},"with_namespace_id":{with},"access_level":{level}{more}}}"#));
                }
            }
        }
    }

    fn add_snippets(&mut self, dice: &mut Random) {
        for id in 1..=SNIPPETS {
            let project = if dice.chance(3) { String::new() } else { format!(r#","project_id":{}"#, 1 + dice.below(self.projects)) };
            let (author, visibility) = (1 + dice.below(self.people), dice.pick(&["private", "internal", "public"]));
            self.push_line(format!(
                r#"{{"kind":"snippet","id":{id}{project},"author_id":{author},"visibility":"{visibility}","storage":"default","relative_path":"s{id}.git"}}"#
            ));
        }
    }

    /// Some question that this world may be asked.
    fn random_call(&self, dice: &mut Random) -> ApiCall {
        let (someone, project) = match dice.chance(2) {
            true => self.actor_project_pairs[usize::try_from(dice.below(self.actor_project_pairs.len() as u64)).unwrap()],
            false => (1 + dice.below(self.people + 5), 1 + dice.below(self.projects + 3)),
        };
        match dice.below(12) {
            0 => ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(someone)),
            1 => with_random_actor(ApiCall::get("/api/v4/internal/discover"), dice, someone),
            2 => with_random_actor(
                self.with_random_project(ApiCall::post("/api/v4/internal/lfs_authenticate"), dice, project),
                dice,
                someone,
            ),
            _ => self.random_allowed_call(dice, someone, project),
        }
    }

    fn random_allowed_call(&self, dice: &mut Random, someone: u64, project: u64) -> ApiCall {
        let action =
            dice.pick(&["git-upload-pack", "git-upload-pack", "git-receive-pack", "git-receive-pack", "git-upload-archive", "git-x"]);
        let ask = ApiCall::post("/api/v4/internal/allowed")
            .with("action", action)
            .with("protocol", dice.pick(&["ssh", "ssh", "ssh", "http", "web"]));
        let mut ask = with_random_actor(self.with_random_project(ask, dice, project), dice, someone);
        if !dice.chance(8) {
            ask = ask.with("changes", "_any");
        } else if dice.chance(2) {
            let (old, new) = ("1".repeat(40), dice.pick(&["0", "2"]).repeat(40));
            ask = ask.with("changes", format!("{old} {new} refs/heads/{}", dice.pick(&["main", "more", "other"])));
        }
        if dice.chance(3) {
            ask = ask.with("check_ip", dice.pick(&["10.1.1.1", "11.1.1.1", "x"]));
        }
        if dice.chance(6) {
            ask = ask.with("namespace_path", format!("g{}", 1 + dice.below(6)));
        }
        ask
    }

    fn with_random_project(&self, ask: ApiCall, dice: &mut Random, id: u64) -> ApiCall {
        if dice.chance(4) {
            return ask.with("gl_repository", format!("{}-{id}", dice.pick(&["project", "wiki", "design", "snippet"])));
        }
        let path = usize::try_from(id - 1).ok().and_then(|index| self.paths.get(index)).cloned();
        let path = path.unwrap_or_else(|| format!("{}/none{id}", dice.pick(&["g1", "g2", "user1", "user2", "nowhere"])));
        ask.with(
            "project",
            match dice.below(12) {
                0 => format!("gone/old{id}"),
                1 => format!("snippets/{}", 1 + dice.below(SNIPPETS)),
                2 => format!("{path}/snippets/{}", 1 + dice.below(SNIPPETS)),
                3 => format!("{path}.design"),
                4 | 5 => format!("{path}.wiki.git"),
                6 => path.to_uppercase(),
                _ => format!("/{path}.git"),
            },
        )
    }
}

fn with_random_actor(ask: ApiCall, dice: &mut Random, id: u64) -> ApiCall {
    match dice.below(8) {
        0 => ask,
        1 => ask.with("user_id", id),
        2 => ask.with("username", format!("USER{id}")),
        3 => ask.with("identifier", format!("key-{id}")),
        4 => ask.with("key_id", 2_000_001 + dice.below(DEPLOY_KEYS + 2)),
        _ => ask.with("key_id", id),
    }
}

#[test]
fn primary_and_sidecar_answer_every_request_with_the_same_bytes() {
    let questions = scaled(500, 10_000);
    let mut env = None;
    for seed in 1..=scaled(2, 12) {
        let world = GeneratedDirectory::generate(seed, scaled(300, 5_000));
        match &env {
            None => env = Some(TestEnv::running(&world.text())),
            Some(env) => {
                env.apply_with_args(&world.text(), &["--prune", "--accept-loss"]);
                env.wait_until_fresh();
            }
        }
        let dice = &mut Random(seed);
        let mut statuses = std::collections::BTreeMap::<(u16, String), u64>::new();
        for _ in 0..questions {
            let ask = world.random_call(dice);
            let (there, here) = request_both(env.as_ref().unwrap(), &ask);
            let degraded = if here.header("x-sidegate-degraded").is_some() { ", degraded" } else { "" };
            let from = format!("{}{degraded}", here.header("x-sidegate-answer").unwrap_or("-"));
            assert_eq!((there.status, comparable_body(&there)), (here.status, comparable_body(&here)), "seed {seed}, {from}: {ask:?}");
            *statuses.entry((there.status, from)).or_default() += 1;
        }
        eprintln!("directory {seed} of {} records: {questions} questions, alike: {statuses:?}", world.lines.len());
    }
}

/// First the primary, then the sidecar: what a push makes is there for the second.
fn request_both(env: &TestEnv, ask: &ApiCall) -> (crate::support::http::Response, crate::support::http::Response) {
    (env.request_primary(ask.to_json_request()), env.request_sidecar(ask.to_json_request()))
}

/// The bytes of an answer; of one with a token for large files, all but the token and what is left of its time, which differ each time.
fn comparable_body(answer: &crate::support::http::Response) -> String {
    if !answer.text().contains("\"lfs_token\"") {
        return answer.text();
    }
    let mut body = answer.json();
    body["lfs_token"] = json!("");
    body["expires_in"] = json!(0);
    body.to_string()
}
