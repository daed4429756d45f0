//! Questions that are asked all the time at every host, and their answers with the time before asking and after the answer.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use serde_json::json;
use sidegate::model::clock;

use crate::random_revocations::answer::{Answer, Question, Source, Verdict};
use crate::random_revocations::directory::{UNTOUCHED, project};
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;
use crate::support::random::Random;

/// How many ask each host at once.
pub const ASKERS_PER_HOST: u64 = 6;
/// How long each waits between two questions: the daemons share the processors with those who ask.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(6);
/// How long each waits for a host that is not there.
const AFTER_FAILURE: Duration = Duration::from_millis(30);

/// What is asked about, and what was answered since it was last taken.
#[derive(Default)]
pub struct Load {
    pub ended: AtomicBool,
    /// Who loses something now, and is asked about most.
    pub losing: RwLock<Vec<u64>>,
    /// Up to whom people lost something before.
    pub lost_before: RwLock<u64>,
    answers: Mutex<Vec<Answer>>,
}

impl Load {
    /// Asks one host until the load ends.
    pub fn ask(&self, env: &TestEnv, host: usize, socket: &Path, mut random: Random) {
        while !self.ended.load(Ordering::SeqCst) {
            let (person, question) = self.draw(&mut random);
            let request = request(env, person, question);
            let asked = clock::boot_time().0;
            let Ok(response) = request.try_send(socket) else {
                std::thread::park_timeout(AFTER_FAILURE);
                continue;
            };
            let answered = clock::boot_time().0;
            let verdict = verdict(&response, question);
            let said_age = response.header("x-sidegate-age").and_then(|age| age.parse().ok());
            self.answers.lock().unwrap().push(Answer { host, person, question, asked, answered, verdict, said_age });
            std::thread::park_timeout(BETWEEN_QUESTIONS);
        }
    }

    /// Takes the answers that were given since this was last called.
    pub fn take_answers(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.answers.lock().unwrap())
    }

    fn draw(&self, random: &mut Random) -> (u64, Question) {
        let losing = self.losing.read().unwrap();
        let person = match random.below(10) {
            0..7 if !losing.is_empty() => losing[usize::try_from(random.below(losing.len() as u64)).unwrap()],
            0..9 => random.below(UNTOUCHED) + 1,
            _ => random.below(*self.lost_before.read().unwrap() + 1) + 1,
        };
        let question = match random.below(4) {
            0..2 => Question::Key,
            2 => Question::Pull,
            _ => Question::Push,
        };
        (person, question)
    }
}

fn request(env: &TestEnv, person: u64, question: Question) -> Request {
    let action = match question {
        Question::Key => return lookup_request(&key_blob(person)),
        Question::Pull => "git-upload-pack",
        Question::Push => "git-receive-pack",
    };
    let path = format!("root/p{}", project(person));
    let body = json!({"action": action, "project": path, "protocol": "ssh", "changes": "_any", "key_id": person});
    Request::post("/api/v4/internal/allowed", &body).header("Gitlab-Shell-Api-Request", &env.shell_token())
}

fn verdict(response: &Response, question: Question) -> Verdict {
    let says_status = |status: bool| serde_json::from_slice::<serde_json::Value>(&response.body).is_ok_and(|body| body["status"] == status);
    match (response.status, question) {
        (200, Question::Key) => Verdict::Yes(source(response)),
        (200, _) if says_status(true) => Verdict::Yes(source(response)),
        (404, Question::Key) => Verdict::No,
        (401 | 403 | 404, _) if says_status(false) => Verdict::No,
        (424, _) => Verdict::Outage,
        (status, _) => Verdict::Unexpected(status),
    }
}

fn source(response: &Response) -> Source {
    match (response.header("x-sidegate-degraded"), response.header("x-sidegate-answer")) {
        (Some(_), _) => Source::Stale,
        (None, Some("forwarded")) => Source::Primary,
        (None, _) => Source::Fresh,
    }
}
