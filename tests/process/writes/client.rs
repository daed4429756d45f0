//! A client: what it writes next, what it has written, and whether that is what is there.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sidegate::model::digest::Digest;

use super::seen::Seen;
use super::write::{Held, KINDS, Own, Write};
use super::{Dice, Running};
use crate::cases::world::agent;
use crate::house::House;
use crate::http::{Answer, Request};
use crate::keys::{made_key, user};

/// One who writes, one write after another.
pub struct Client {
    pub own: Own,
    dice: Dice,
    /// What must be there, by all that was answered.
    pub held: Held,
    /// What was sent last, if no answer came.
    unanswered: Option<Write>,
    /// Said again first.
    again: Option<Write>,
    /// The tokens that were given, and their names.
    tokens: Vec<(String, String)>,
    /// How many of them were given before this round.
    tokens_before: usize,
    /// The repositories of the projects.
    repositories: BTreeMap<String, String>,
    next: u64,
    /// Uses that were told in this round: answered, and not.
    pub uses: [u64; 2],
    kinds: [u64; KINDS.len()],
}

impl Client {
    pub fn new(number: u64, dice: Dice) -> Self {
        let own = Own(number);
        Self {
            own,
            dice,
            held: Held::default(),
            unanswered: None,
            again: None,
            tokens: Vec::new(),
            tokens_before: 0,
            repositories: [(base(own), own.base())].into(),
            next: 1,
            uses: [0; 2],
            kinds: [0; KINDS.len()],
        }
    }

    /// The lines of the directory that are about it.
    pub fn directory(&self) -> String {
        let (own, id) = (self.own, self.own.id());
        let mut lines = Vec::new();
        if own.0 == 0 {
            lines.push(
                json!({"kind": "settings", "host": "git.example.com", "web_url": "https://git.example.com", "operations_per_minute": 0}),
            );
            lines.push(json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock"}));
        }
        lines.push(json!({"kind": "namespace", "id": 100 + own.0, "type": "user", "path": own.path(), "name": own.path(), "owner_id": id}));
        for number in (0..=5).chain(10..20) {
            let path = format!("group-{}", own.group(number));
            lines.push(json!({"kind": "namespace", "id": own.group(number), "type": "group", "path": path, "name": path}));
        }
        lines.push(json!({"kind": "project", "id": id, "namespace_id": 100 + own.0, "path": base(own), "name": "base", "relative_path": format!("{id}.git")}));
        lines.push(agent(id, &own.agent_token(), id));
        let person = user(id).replace("}\n", ",\"two_factor\":true}\n");
        lines.iter().map(|line| format!("{line}\n")).collect::<String>() + &person + &made_key(id, id)
    }

    /// Writes until no answer comes, which must be because the primary was killed.
    pub fn write_until_killed(&mut self, house: &House, running: &Running) {
        loop {
            let write = self.again.take().unwrap_or_else(|| self.chosen());
            let answered = write.request(house, self.own).try_to(&house.primary_socket()).ok().filter(is_whole);
            let Some(answer) = answered else {
                assert!(running.killed.load(Ordering::SeqCst), "{write:?} had no answer of a primary that lives");
                self.uses[1] += u64::from(write == Write::Used);
                self.unanswered = Some(write);
                return;
            };
            write.judge(&answer, &self.held, self.own);
            self.kinds[write.kind()] += 1;
            self.held = write.applied(&self.held, self.own);
            self.learn(&write, &answer);
            running.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What only the answer tells.
    fn learn(&mut self, write: &Write, answer: &Answer) {
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        match write {
            Write::Codes => {
                let codes = answer.json()["recovery_codes"].as_array().unwrap().clone();
                self.held.codes = codes.iter().map(|code| Digest::of(code.as_str().unwrap().as_bytes()).to_string()).collect();
            }
            Write::Token(number) => self.tokens.push((text("token"), self.own.mark(*number))),
            Write::Create(path) => drop(self.repositories.insert(path.clone(), text("gl_repository"))),
            Write::Used => self.uses[0] += 1,
            _ => {}
        }
    }

    /// The next write; one that would change nothing by itself is thrown again.
    fn chosen(&mut self) -> Write {
        loop {
            let kind = KINDS[usize::try_from(self.dice.below(KINDS.len() as u64)).unwrap()];
            if let Some(write) = self.of_kind(kind) {
                return write;
            }
        }
    }

    fn of_kind(&mut self, kind: &str) -> Option<Write> {
        self.next += 1;
        let (number, own) = (self.next, self.own);
        let waiting = self.held.waiting.first().cloned();
        Some(match kind {
            // A sentence that waits must be fetched within minutes.
            "create" if self.held.waiting.len() >= 3 => return self.of_kind("push ends"),
            "create" => Write::Create(format!("{}/made-{number}", own.path())),
            "push begins" => {
                let made = waiting.map(|path| self.repositories[&path].clone()).filter(|made| !self.held.pushes.contains_key(made));
                Write::PushBegins(made.filter(|_| self.dice.below(2) == 0).unwrap_or_else(|| own.base()))
            }
            "push ends" => {
                let told = self.held.projects.last().filter(|path| !self.held.waiting.contains(*path)).cloned();
                let ended = (self.held.pushes.get(&own.base()) > Some(&0)).then(|| base(own));
                let path = waiting.or_else(|| if self.dice.below(4) == 0 { told } else { ended })?;
                Write::PushEnds(self.repositories[&path].clone(), path)
            }
            "codes" => Write::Codes,
            // A person may have so many.
            "token" => (self.held.tokens.len() < 950).then_some(Write::Token(number))?,
            "event" => Write::Event(number),
            "packs" => Write::Packs(number, 1 + self.dice.below(3)),
            "move" => Write::Move(usize::from(self.held.packs[0].is_empty())),
            "subscribe" => {
                let free = (10..20).map(|number| own.group(number)).find(|group| !self.held.subscriptions.contains_key(group));
                Write::Subscribe(free?, number)
            }
            "resubscribe" => Write::Resubscribe(*any(&mut self.dice, self.held.subscriptions.keys())?, number),
            "reconcile" => {
                let first = self.dice.below(4);
                Write::Reconcile([own.group(2 + first), own.group(2 + (first + 1) % 4)], number)
            }
            "take back" => Write::TakeBack(*any(&mut self.dice, self.held.reconciliations.keys())?),
            "found" => Write::Found(self.dice.below(60)),
            "scanned" => Write::Scanned((0..60).filter(|_| self.dice.below(3) > 0).collect()),
            "used" => Write::Used,
            "configure" => Write::Configure(number),
            "apply" => Write::Apply(number),
            "revoke" => Write::Revoke(any(&mut self.dice, self.held.keys.iter())? - own.brought(0)),
            "block" => {
                let active = self.held.accounts.iter().filter(|(_, blocked)| !**blocked).map(|(id, _)| id);
                Write::Block(any(&mut self.dice, active)? - own.brought(0))
            }
            other => panic!("{other} is no kind of write"),
        })
    }

    /// All that was answered is there, and of what was not all or nothing; whether it was there, if there was one.
    pub fn check(&mut self, house: &House, seen: &Seen) -> Option<bool> {
        let there = seen.held(house, self.own).sorted();
        let before = std::mem::take(&mut self.held).sorted();
        let Some(write) = self.unanswered.take() else {
            assert_eq!(there, before, "client {}\n{}", self.own.0, house.logs());
            self.held = there;
            return None;
        };
        let mut after = write.applied(&before, self.own).sorted();
        if write == Write::Codes && there.codes != before.codes {
            assert!(there.codes.len() == 10 && there.codes.is_disjoint(&before.codes), "a whole new set, without the old one");
            after.codes.clone_from(&there.codes);
        }
        let differs = |from: &Held| {
            format!("{from:#?}").lines().zip(format!("{there:#?}").lines()).find(|(a, b)| a != b).map(|(a, b)| format!("{a} is {b}"))
        };
        assert!(
            there == before || there == after,
            "client {}, unanswered {write:?}: without it {:?}, with it {:?}\n{}",
            self.own.0,
            differs(&before),
            differs(&after),
            house.logs()
        );
        let took_effect = there != before;
        for (path, repository) in seen.repositories(self.own) {
            let known = self.repositories.entry(path.clone()).or_insert_with(|| repository.clone());
            assert_eq!(*known, repository, "{path} is the project that was answered");
        }
        self.held = there;
        self.again = write.is_idempotent().then_some(write);
        self.check_tokens(house);
        Some(took_effect)
    }

    /// The tokens of this round and some older ones are good, and are what was answered.
    fn check_tokens(&mut self, house: &House) {
        let older = self.tokens_before;
        let some: Vec<usize> = (0..10).filter(|_| older > 0).map(|_| usize::try_from(self.dice.below(older as u64)).unwrap()).collect();
        for (token, name) in some.into_iter().chain(older..self.tokens.len()).map(|place| &self.tokens[place]) {
            let itself = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", token).to(&house.primary_socket());
            let told = itself.json();
            let expected = (200, Some(name.as_str()), Some(self.own.id()), &json!(["read_user"]), &Value::Bool(true));
            assert_eq!(
                (itself.status, told["name"].as_str(), told["user_id"].as_u64(), &told["scopes"], &told["active"]),
                expected,
                "{told}"
            );
        }
        self.tokens_before = self.tokens.len();
    }

    /// What counts for one round is counted anew.
    pub fn settle(&mut self) {
        self.uses = [0; 2];
    }

    pub fn add_kinds(mut sums: [u64; KINDS.len()], client: &Self) -> [u64; KINDS.len()] {
        sums.iter_mut().zip(client.kinds).for_each(|(sum, count)| *sum += count);
        sums
    }
}

fn base(own: Own) -> String {
    format!("{}/base", own.path())
}

fn any<'a, T>(dice: &mut Dice, of: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let all: Vec<&T> = of.collect();
    (!all.is_empty()).then(|| all[usize::try_from(dice.below(all.len() as u64)).unwrap()])
}

/// Whether an answer came to its end. One that was cut off may as well not have come.
fn is_whole(answer: &Answer) -> bool {
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    answer.status == 204 || length == Some(answer.body.len())
}
