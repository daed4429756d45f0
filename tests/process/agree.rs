//! The primary and the sidecar decide as one: over generated directories with people in every state, nested groups, shares and deploy keys,
//! any question gets the same status and the same bytes from both.

use serde_json::json;

use crate::cases::table::Ask;
use crate::cases::world::{blob, public_key};
use crate::house::House;
use crate::keys::{scaled, scrambled};

const GROUPS: u64 = 12;
const SNIPPETS: u64 = 20;
const DEPLOY_KEYS: u64 = 20;
const LEVELS: [&str; 6] = ["10", "15", "20", "30", "40", "50"];
const PAST: &str = r#""expires_at":"2026-01-01T00:00:00Z""#;

/// A source of choices that is the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = scrambled(self.0);
        self.0 % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Usually nothing, one time in `many` this field.
    fn perhaps(&mut self, many: u64, field: &str) -> String {
        if self.one_in(many) { format!(",{field}") } else { String::new() }
    }
}

/// A generated directory, and what its questions are made of.
struct World {
    people: u64,
    projects: u64,
    lines: Vec<String>,
    paths: Vec<String>,
    /// Person and project, where there is a role.
    pairs: Vec<(u64, u64)>,
}

impl World {
    /// Users 1 to `people`, each with a key of the same number; groups from 1, people's namespaces from 1,000,001; deploy keys from
    /// 2,000,001.
    fn of(seed: u64, people: u64) -> Self {
        let mut world = Self { people, projects: 30 + people / 10, lines: Vec::new(), paths: Vec::new(), pairs: Vec::new() };
        let dice = &mut Dice(seed);
        world.settings(dice);
        let homes = world.namespaces(dice);
        world.people(dice);
        world.projects(dice, &homes);
        world.deploy_keys(dice);
        world.roles(dice);
        world.snippets(dice);
        world
    }

    fn text(&self) -> String {
        self.lines.concat()
    }

    fn put(&mut self, line: String) {
        self.lines.push(line + "\n");
    }

    fn settings(&mut self, dice: &mut Dice) {
        self.put(r#"{"kind":"storage","name":"default","address":"unix:/g","token":"t"}"#.to_owned());
        let more = [
            dice.perhaps(8, r#""ssh_enabled":false"#),
            dice.perhaps(8, r#""maintenance":true"#),
            dice.perhaps(8, r#""read_only":true"#),
            dice.perhaps(3, r#""terms_required":true"#),
            dice.perhaps(3, r#""two_factor_for_cli":true"#),
            dice.perhaps(8, r#""key_rules":{"ed25519":"forbidden"}"#),
            dice.perhaps(2, r#""receive_max_input_size_mib":5"#),
        ];
        self.put(format!(r#"{{"kind":"settings","operations_per_minute":0{}}}"#, more.concat()));
    }

    fn namespaces(&mut self, dice: &mut Dice) -> Vec<(u64, String)> {
        let mut homes: Vec<(u64, String)> = Vec::new();
        for id in 1..=GROUPS {
            let parent = (id > 3 && !dice.one_in(3)).then(|| homes[usize::try_from(dice.below(id - 1)).unwrap()].clone());
            let path = parent.as_ref().map_or(format!("g{id}"), |(_, above)| format!("{above}/g{id}"));
            let more = [
                parent.map_or(String::new(), |(parent, _)| format!(r#","parent_id":{parent}"#)),
                dice.perhaps(12, r#""archived":true"#),
                dice.perhaps(6, r#""allowed_ips":["10.0.0.0/8"]"#),
                format!(r#","project_creation":"{}""#, dice.pick(&["developer", "maintainer", "owner", "noone"])),
            ];
            self.put(format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"g"{}}}"#, more.concat()));
            homes.push((id, path));
        }
        for id in 1..=self.people.min(30) {
            let namespace = 1_000_000 + id;
            self.put(format!(r#"{{"kind":"namespace","id":{namespace},"type":"user","path":"user{id}","name":"u","owner_id":{id}}}"#));
            homes.push((namespace, format!("user{id}")));
        }
        homes
    }

    fn people(&mut self, dice: &mut Dice) {
        for id in 1..=self.people {
            let state = dice.pick(&["blocked", "pending_approval", "deactivated", "banned", "unconfirmed", "internal"]);
            let more = [
                dice.perhaps(3, &format!(r#""state":"{state}""#)),
                dice.perhaps(40, r#""admin":true"#),
                dice.perhaps(6, r#""external":true"#),
                dice.perhaps(20, r#""bot":true"#),
                dice.perhaps(10, r#""two_factor":true"#),
                dice.perhaps(10, r#""terms_accepted":false"#),
                dice.perhaps(10, r#""password_expires_at":"2026-01-01T00:00:00Z""#),
                dice.perhaps(10, r#""ldap":true"#),
                dice.perhaps(10, r#""projects_limit":0"#),
            ];
            self.put(format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U{id}"{}}}"#, more.concat()));
            let owner = if dice.one_in(30) { String::new() } else { format!(r#","user_id":{id}"#) };
            self.key(dice, id, &owner);
        }
    }

    fn key(&mut self, dice: &mut Dice, id: u64, more: &str) {
        let more = [more.to_owned(), dice.perhaps(10, r#""usage":"signing""#), dice.perhaps(8, PAST)].concat();
        let key = public_key(id);
        self.put(format!(r#"{{"kind":"key","id":{id},"title":"t","key":"{key}","created_at":"2025-01-01T00:00:00Z"{more}}}"#));
    }

    fn projects(&mut self, dice: &mut Dice, homes: &[(u64, String)]) {
        for id in 1..=self.projects {
            let (home, above) = &homes[usize::try_from(dice.below(homes.len() as u64)).unwrap()];
            let (path, access) = (format!("{above}/p{id}"), dice.pick(&["private", "disabled"]));
            let more = [
                format!(r#","visibility":"{}""#, dice.pick(&["private", "private", "internal", "public"])),
                dice.perhaps(3, &format!(r#""repository_access":"{access}""#)),
                dice.perhaps(3, &format!(r#""wiki_access":"{access}""#)),
                dice.perhaps(10, r#""archived":true"#),
                dice.perhaps(10, r#""repository_read_only":true"#),
                dice.perhaps(10, r#""repository_exists":false"#),
                dice.perhaps(10, r#""wiki_repository_exists":false"#),
                dice.perhaps(10, r#""lfs_enabled":false"#),
            ];
            let more = more.concat();
            self.put(format!(
                r#"{{"kind":"project","id":{id},"namespace_id":{home},"path":"{path}","name":"p","relative_path":"{id}.git"{more}}}"#
            ));
            if dice.one_in(4) {
                self.put(format!(r#"{{"kind":"redirect","from":"gone/old{id}","project_id":{id}}}"#));
            }
            if dice.one_in(4) {
                let push = dice.pick(&["noone", "maintainer", "developer"]);
                self.put(format!(r#"{{"kind":"protected_branch","project_id":{id},"pattern":"m*","push":"{push}"}}"#));
            }
            self.paths.push(path);
        }
    }

    fn deploy_keys(&mut self, dice: &mut Dice) {
        for number in 1..=DEPLOY_KEYS {
            let id = 2_000_000 + number;
            let creator = 1 + dice.below(self.people);
            self.key(dice, id, &format!(r#","user_id":{creator},"deploy":true"#));
            let first = 1 + dice.below(self.projects);
            for project in (first..=self.projects).step_by(7).take(4) {
                let push = dice.perhaps(2, r#""can_push":true"#);
                self.put(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project}{push}}}"#));
                self.pairs.push((id, project));
            }
        }
    }

    fn roles(&mut self, dice: &mut Dice) {
        for user in 1..=self.people {
            let (group, project) = (1 + dice.below(GROUPS), 1 + dice.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if dice.one_in(3) {
                    continue;
                }
                let more = [dice.perhaps(8, r#""pending":true"#), dice.perhaps(8, PAST)].concat();
                let level = dice.pick(&LEVELS);
                self.put(format!(r#"{{"kind":"member",{place},"user_id":{user},"access_level":{level}{more}}}"#));
                self.pairs.push((user, project));
            }
        }
        for with in 1..=GROUPS {
            let (group, project) = (1 + dice.below(GROUPS), 1 + dice.below(self.projects));
            for place in [format!(r#""namespace_id":{group}"#), format!(r#""project_id":{project}"#)] {
                if group != with {
                    let (level, more) = (dice.pick(&LEVELS), dice.perhaps(8, PAST));
                    self.put(format!(r#"{{"kind":"share",{place},"with_namespace_id":{with},"access_level":{level}{more}}}"#));
                }
            }
        }
    }

    fn snippets(&mut self, dice: &mut Dice) {
        for id in 1..=SNIPPETS {
            let project = if dice.one_in(3) { String::new() } else { format!(r#","project_id":{}"#, 1 + dice.below(self.projects)) };
            let (author, visibility) = (1 + dice.below(self.people), dice.pick(&["private", "internal", "public"]));
            self.put(format!(
                r#"{{"kind":"snippet","id":{id}{project},"author_id":{author},"visibility":"{visibility}","storage":"default","relative_path":"s{id}.git"}}"#
            ));
        }
    }

    /// Some question that this world may be asked.
    fn question(&self, dice: &mut Dice) -> Ask {
        let (someone, project) = match dice.one_in(2) {
            true => self.pairs[usize::try_from(dice.below(self.pairs.len() as u64)).unwrap()],
            false => (1 + dice.below(self.people + 5), 1 + dice.below(self.projects + 3)),
        };
        match dice.below(12) {
            0 => Ask::get("/api/v4/internal/authorized_keys").with("key", blob(someone)),
            1 => asker(Ask::get("/api/v4/internal/discover"), dice, someone),
            2 => asker(self.target(Ask::post("/api/v4/internal/lfs_authenticate"), dice, project), dice, someone),
            _ => self.allowed(dice, someone, project),
        }
    }

    fn allowed(&self, dice: &mut Dice, someone: u64, project: u64) -> Ask {
        let action =
            dice.pick(&["git-upload-pack", "git-upload-pack", "git-receive-pack", "git-receive-pack", "git-upload-archive", "git-x"]);
        let ask =
            Ask::post("/api/v4/internal/allowed").with("action", action).with("protocol", dice.pick(&["ssh", "ssh", "ssh", "http", "web"]));
        let mut ask = asker(self.target(ask, dice, project), dice, someone);
        if !dice.one_in(8) {
            ask = ask.with("changes", "_any");
        } else if dice.one_in(2) {
            let (old, new) = ("1".repeat(40), dice.pick(&["0", "2"]).repeat(40));
            ask = ask.with("changes", format!("{old} {new} refs/heads/{}", dice.pick(&["main", "more", "other"])));
        }
        if dice.one_in(3) {
            ask = ask.with("check_ip", dice.pick(&["10.1.1.1", "11.1.1.1", "x"]));
        }
        if dice.one_in(6) {
            ask = ask.with("namespace_path", format!("g{}", 1 + dice.below(6)));
        }
        ask
    }

    fn target(&self, ask: Ask, dice: &mut Dice, id: u64) -> Ask {
        if dice.one_in(4) {
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

fn asker(ask: Ask, dice: &mut Dice, id: u64) -> Ask {
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
fn any_question_gets_the_same_bytes_from_both() {
    let questions = scaled(500, 10_000);
    let mut house = None;
    for seed in 1..=scaled(2, 12) {
        let world = World::of(seed, scaled(300, 5_000));
        match &house {
            None => house = Some(House::running(&world.text())),
            Some(house) => {
                house.apply_with(&world.text(), &["--prune", "--accept-loss"]);
                house.wait_until_fresh();
            }
        }
        let dice = &mut Dice(seed);
        let mut statuses = std::collections::BTreeMap::<(u16, String), u64>::new();
        for _ in 0..questions {
            let ask = world.question(dice);
            let (there, here) = asked(house.as_ref().unwrap(), &ask);
            let degraded = if here.header("x-sidegate-degraded").is_some() { ", degraded" } else { "" };
            let from = format!("{}{degraded}", here.header("x-sidegate-answer").unwrap_or("-"));
            assert_eq!((there.status, without_anew(&there)), (here.status, without_anew(&here)), "seed {seed}, {from}: {ask:?}");
            *statuses.entry((there.status, from)).or_default() += 1;
        }
        eprintln!("directory {seed} of {} records: {questions} questions, alike: {statuses:?}", world.lines.len());
    }
}

/// First the primary, then the sidecar: what a push makes is there for the second.
fn asked(house: &House, ask: &Ask) -> (crate::http::Answer, crate::http::Answer) {
    (house.ask_primary(ask.as_json()), house.ask(ask.as_json()))
}

/// The bytes of an answer; of one with a token for large files, all but the token and what is left of its time, which differ each time.
fn without_anew(answer: &crate::http::Answer) -> String {
    if !answer.text().contains("\"lfs_token\"") {
        return answer.text();
    }
    let mut body = answer.json();
    body["lfs_token"] = json!("");
    body["expires_in"] = json!(0);
    body.to_string()
}
