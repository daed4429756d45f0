//! The primary and the sidecar decide as one: over generated directories with people in every state, nested groups, shares and deploy keys,
//! any question gets the same status and the same bytes from both.

use serde_json::json;

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_key_blob, contract_public_key};
use crate::support::env::TestEnv;
use crate::support::random::Random;
use crate::support::scaled;

const GROUPS: u64 = 12;
const SNIPPETS: u64 = 20;
const DEPLOY_KEYS: u64 = 20;
const LEVELS: [&str; 6] = ["10", "15", "20", "30", "40", "50"];
const PAST: &str = r#""expires_at":"2026-01-01T00:00:00Z""#;

impl Random {
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
        let mut directory =
            Self { people, projects: 30 + people / 10, lines: Vec::new(), paths: Vec::new(), actor_project_pairs: Vec::new() };
        let random = &mut Random::new(seed);
        directory.add_settings(random);
        let namespaces = directory.add_namespaces(random);
        directory.people(random);
        directory.projects(random, &namespaces);
        directory.add_deploy_keys(random);
        directory.add_roles(random);
        directory.add_snippets(random);
        directory
    }

    fn text(&self) -> String {
        self.lines.concat()
    }

    fn push_line(&mut self, line: String) {
        self.lines.push(line + "\n");
    }

    fn add_settings(&mut self, random: &mut Random) {
        self.push_line(r#"{"kind":"storage","name":"default","address":"unix:/g","token":"t"}"#.to_owned());
        let more = [
            random.maybe_field(8, r#""ssh_enabled":false"#),
            random.maybe_field(8, r#""maintenance":true"#),
            random.maybe_field(8, r#""read_only":true"#),
            random.maybe_field(3, r#""terms_required":true"#),
            random.maybe_field(3, r#""two_factor_for_cli":true"#),
            random.maybe_field(8, r#""key_rules":{"ed25519":"forbidden"}"#),
            random.maybe_field(2, r#""receive_max_input_size_mib":5"#),
        ];
        self.push_line(format!(r#"{{"kind":"settings","operations_per_minute":0{}}}"#, more.concat()));
    }

    fn add_namespaces(&mut self, random: &mut Random) -> Vec<(u64, String)> {
        let mut namespaces: Vec<(u64, String)> = Vec::new();
        for id in 1..=GROUPS {
            let parent = (id > 3 && !random.chance(3)).then(|| namespaces[usize::try_from(random.below(id - 1)).unwrap()].clone());
            let path = parent.as_ref().map_or(format!("g{id}"), |(_, above)| format!("{above}/g{id}"));
            let more = [
                parent.map_or(String::new(), |(parent, _)| format!(r#","parent_id":{parent}"#)),
                random.maybe_field(12, r#""archived":true"#),
                random.maybe_field(6, r#""allowed_ips":["10.0.0.0/8"]"#),
                format!(r#","project_creation":"{}""#, random.pick(&["developer", "maintainer", "owner", "noone"])),
            ];
            self.push_line(format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"g"{}}}"#, more.concat()));
            namespaces.push((id, path));
        }
        for id in 1..=self.people.min(30) {
            let namespace = 1_000_000 + id;
            self.push_line(format!(
                r#"{{"kind":"namespace","id":{namespace},"type":"user","path":"user{id}","name":"u","owner_id":{id}}}"#
            ));
            namespaces.push((namespace, format!("user{id}")));
        }
        namespaces
    }

    fn people(&mut self, random: &mut Random) {
        for id in 1..=self.people {
            let state = random.pick(&["blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"]);
            let more = [
                random.maybe_field(3, &format!(r#""state":"{state}""#)),
                random.maybe_field(40, r#""admin":true"#),
                random.maybe_field(6, r#""external":true"#),
                random.maybe_field(20, r#""bot":true"#),
                random.maybe_field(10, r#""two_factor":true"#),
                random.maybe_field(10, r#""terms_accepted":false"#),
                random.maybe_field(10, r#""password_expires_at":"2026-01-01T00:00:00Z""#),
                random.maybe_field(10, r#""ldap":true"#),
                random.maybe_field(10, r#""projects_limit":0"#),
            ];
            self.push_line(format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U{id}"{}}}"#, more.concat()));
            let owner = if random.chance(30) { r#","deploy":true"#.to_owned() } else { format!(r#","user_id":{id}"#) };
            self.add_key(random, id, &owner);
        }
    }

    fn add_key(&mut self, random: &mut Random, id: u64, more: &str) {
        let more = [more.to_owned(), random.maybe_field(10, r#""usage":"signing""#), random.maybe_field(8, PAST)].concat();
        let key = contract_public_key(id);
        self.push_line(format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2025-01-01T00:00:00Z"{more}}}"#));
    }

    fn projects(&mut self, random: &mut Random, namespaces: &[(u64, String)]) {
        for id in 1..=self.projects {
            let (namespace_id, above) = &namespaces[usize::try_from(random.below(namespaces.len() as u64)).unwrap()];
            let (path, access) = (format!("{above}/p{id}"), random.pick(&["private", "disabled"]));
            let more = [
                format!(r#","visibility":"{}""#, random.pick(&["private", "private", "internal", "public"])),
                random.maybe_field(3, &format!(r#""repository_access":"{access}""#)),
                random.maybe_field(3, &format!(r#""wiki_access":"{access}""#)),
                random.maybe_field(10, r#""archived":true"#),
                random.maybe_field(10, r#""repository_read_only":true"#),
                random.maybe_field(10, r#""repository_exists":false"#),
                random.maybe_field(10, r#""wiki_repository_exists":false"#),
                random.maybe_field(10, r#""lfs_enabled":false"#),
            ];
            let more = more.concat();
            self.push_line(format!(
                r#"{{"kind":"project","id":{id},"namespace_id":{namespace_id},"path":"{path}","name":"p","relative_path":"{id}.git"{more}}}"#
            ));
            if random.chance(4) {
                self.push_line(format!(r#"{{"kind":"redirect","from":"gone/old{id}","project_id":{id}}}"#));
            }
            if random.chance(4) {
                let push = random.pick(&["noone", "maintainer", "developer"]);
                self.push_line(format!(r#"{{"kind":"protected_branch","project_id":{id},"pattern":"m*","push":"{push}"}}"#));
            }
            self.paths.push(path);
        }
    }

    fn add_deploy_keys(&mut self, random: &mut Random) {
        for number in 1..=DEPLOY_KEYS {
            let id = 2_000_000 + number;
            let creator = 1 + random.below(self.people);
            self.add_key(random, id, &format!(r#","user_id":{creator},"deploy":true"#));
            let first = 1 + random.below(self.projects);
            for project in (first..=self.projects).step_by(7).take(4) {
                let push = random.maybe_field(2, r#""can_push":true"#);
                self.push_line(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project}{push}}}"#));
                self.actor_project_pairs.push((id, project));
            }
        }
    }

    fn add_roles(&mut self, random: &mut Random) {
        for user in 1..=self.people {
            let (group, project) = (1 + random.below(GROUPS), 1 + random.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if random.chance(3) {
                    continue;
                }
                let more = [random.maybe_field(8, r#""pending":true"#), random.maybe_field(8, PAST)].concat();
                let level = random.pick(&LEVELS);
                self.push_line(format!(r#"{{"kind":"member",{place},"user_id":{user},"access_level":{level}{more}}}"#));
                self.actor_project_pairs.push((user, project));
            }
        }
        for with in 1..=GROUPS {
            let (group, project) = (1 + random.below(GROUPS), 1 + random.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if group != with {
                    let (level, more) = (random.pick(&LEVELS), random.maybe_field(8, PAST));
                    self.push_line(format!(r#"{{"kind":"share",{place},"with_namespace_id":{with},"access_level":{level}{more}}}"#));
                }
            }
        }
    }

    fn add_snippets(&mut self, random: &mut Random) {
        for id in 1..=SNIPPETS {
            let project = if random.chance(3) { String::new() } else { format!(r#","project_id":{}"#, 1 + random.below(self.projects)) };
            let (author, visibility) = (1 + random.below(self.people), random.pick(&["private", "internal", "public"]));
            self.push_line(format!(
                r#"{{"kind":"snippet","id":{id}{project},"author_id":{author},"visibility":"{visibility}","storage":"default","relative_path":"s{id}.git"}}"#
            ));
        }
    }

    /// Some question that this directory may be asked.
    fn random_call(&self, random: &mut Random) -> ApiCall {
        let (someone, project) = match random.chance(2) {
            true => self.actor_project_pairs[usize::try_from(random.below(self.actor_project_pairs.len() as u64)).unwrap()],
            false => (1 + random.below(self.people + 5), 1 + random.below(self.projects + 3)),
        };
        match random.below(12) {
            0 => ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(someone)),
            1 => with_random_actor(ApiCall::get("/api/v4/internal/discover"), random, someone),
            2 => with_random_actor(
                self.with_random_project(ApiCall::post("/api/v4/internal/lfs_authenticate"), random, project),
                random,
                someone,
            ),
            _ => self.random_allowed_call(random, someone, project),
        }
    }

    fn random_allowed_call(&self, random: &mut Random, someone: u64, project: u64) -> ApiCall {
        let action =
            random.pick(&["git-upload-pack", "git-upload-pack", "git-receive-pack", "git-receive-pack", "git-upload-archive", "git-x"]);
        let call = ApiCall::post("/api/v4/internal/allowed")
            .with("action", action)
            .with("protocol", random.pick(&["ssh", "ssh", "ssh", "http", "web"]));
        let mut call = with_random_actor(self.with_random_project(call, random, project), random, someone);
        if !random.chance(8) {
            call = call.with("changes", "_any");
        } else if random.chance(2) {
            let (old, new) = ("1".repeat(40), random.pick(&["0", "2"]).repeat(40));
            call = call.with("changes", format!("{old} {new} refs/heads/{}", random.pick(&["main", "more", "other"])));
        }
        if random.chance(3) {
            call = call.with("check_ip", random.pick(&["10.1.1.1", "11.1.1.1", "x"]));
        }
        if random.chance(6) {
            call = call.with("namespace_path", format!("g{}", 1 + random.below(6)));
        }
        call
    }

    fn with_random_project(&self, call: ApiCall, random: &mut Random, id: u64) -> ApiCall {
        if random.chance(4) {
            return call.with("gl_repository", format!("{}-{id}", random.pick(&["project", "wiki", "design", "snippet"])));
        }
        let path = usize::try_from(id - 1).ok().and_then(|index| self.paths.get(index)).cloned();
        let path = path.unwrap_or_else(|| format!("{}/none{id}", random.pick(&["g1", "g2", "user1", "user2", "nowhere"])));
        call.with(
            "project",
            match random.below(12) {
                0 => format!("gone/old{id}"),
                1 => format!("snippets/{}", 1 + random.below(SNIPPETS)),
                2 => format!("{path}/snippets/{}", 1 + random.below(SNIPPETS)),
                3 => format!("{path}.design"),
                4 | 5 => format!("{path}.wiki.git"),
                6 => path.to_uppercase(),
                _ => format!("/{path}.git"),
            },
        )
    }
}

fn with_random_actor(call: ApiCall, random: &mut Random, id: u64) -> ApiCall {
    match random.below(8) {
        0 => call,
        1 => call.with("user_id", id),
        2 => call.with("username", format!("USER{id}")),
        3 => call.with("identifier", format!("key-{id}")),
        4 => call.with("key_id", 2_000_001 + random.below(DEPLOY_KEYS + 2)),
        _ => call.with("key_id", id),
    }
}

#[test]
fn primary_and_sidecar_answer_every_request_with_the_same_bytes() {
    let questions = scaled(500, 10_000);
    let mut env = None;
    for seed in 1..=scaled(2, 12) {
        let directory = GeneratedDirectory::generate(seed, scaled(300, 5_000));
        match &env {
            None => env = Some(TestEnv::running(&directory.text())),
            Some(env) => {
                env.apply_with_args(&directory.text(), &["--prune", "--accept-loss"]);
                env.wait_until_fresh();
            }
        }
        let random = &mut Random::new(seed);
        let mut statuses = std::collections::BTreeMap::<(u16, String), u64>::new();
        for _ in 0..questions {
            let call = directory.random_call(random);
            let (there, here) = request_both(env.as_ref().unwrap(), &call);
            let degraded = if here.header("x-sidegate-degraded").is_some() { ", degraded" } else { "" };
            let from = format!("{}{degraded}", here.header("x-sidegate-answer").unwrap_or("-"));
            assert_eq!((there.status, comparable_body(&there)), (here.status, comparable_body(&here)), "seed {seed}, {from}: {call:?}");
            *statuses.entry((there.status, from)).or_default() += 1;
        }
        eprintln!("directory {seed} of {} records: {questions} questions, alike: {statuses:?}", directory.lines.len());
    }
}

/// First the primary, then the sidecar: what a push makes is there for the second.
fn request_both(env: &TestEnv, call: &ApiCall) -> (crate::support::http::Response, crate::support::http::Response) {
    (env.request_primary(call.to_json_request()), env.request_sidecar(call.to_json_request()))
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
