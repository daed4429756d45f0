//! People with one key and one project each, what is taken from them at the GitLab, and what is asked about them.

use serde_json::json;

use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;
use crate::support::random::Random;

/// What is taken away from somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The key is removed.
    Key,
    /// The user is blocked.
    Block,
    /// The membership of the project ends.
    Member,
    /// The project was public, and is private from now on.
    Private,
}

/// Who is named in a question about access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    Key,
    User,
    Name,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Whose key is this?
    Key,
    /// Who is behind this key's id?
    Discover,
    Pull(Actor),
    /// A push, the changes not known yet.
    Push(Actor),
}

/// What a host answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes(Source),
    No,
    /// 424: it cannot be known now.
    Outage,
    /// Any other status.
    Unexpected(u16),
}

/// Where a yes comes from, as the response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Kept, given without asking.
    Fresh,
    /// Kept, given because the GitLab failed or was slow.
    Stale,
    /// Taken back, and given because the GitLab does not know most keys.
    GivenBack,
    /// The GitLab.
    Forwarded,
}

impl Removal {
    /// Draws one; keys are removed seldom enough that they are not most of what is asked about within a minute.
    pub fn draw(random: &mut Random) -> Self {
        match random.below(10) {
            0..2 => Self::Key,
            2..5 => Self::Block,
            5..8 => Self::Member,
            _ => Self::Private,
        }
    }

    /// Returns whether it turns a yes to this question into a no.
    pub fn affects(self, question: Question) -> bool {
        match (self, question) {
            (Self::Key, Question::Key | Question::Discover | Question::Pull(Actor::Key) | Question::Push(Actor::Key)) => true,
            (Self::Key, _) | (_, Question::Key | Question::Discover) => false,
            (Self::Block | Self::Member | Self::Private, Question::Pull(_) | Question::Push(_)) => true,
        }
    }

    /// Returns the questions to which the answer is yes until it is taken away.
    pub fn questions(self) -> Vec<Question> {
        let actors = [Actor::Key, Actor::User, Actor::Name];
        let mut all = vec![Question::Key, Question::Discover];
        all.extend(actors.map(Question::Pull));
        if self != Self::Private {
            all.extend(actors.map(Question::Push));
        }
        all
    }

    /// Adds somebody who has what is to be taken away.
    pub fn add_person(self, directory: &mut GitlabDirectory, person: u64) {
        directory.add_user(person);
        directory.add_key(person, person);
        let members = if self == Self::Private { &[][..] } else { &[(person, 30)][..] };
        directory.add_project(person, &project(person), self == Self::Private, members);
    }

    /// Takes it away.
    pub fn carry_out(self, directory: &mut GitlabDirectory, person: u64) {
        match self {
            Self::Key => drop(directory.keys.remove(&person)),
            Self::Block => directory.users.get_mut(&person).unwrap().blocked = true,
            Self::Member => directory.projects.get_mut(&person).unwrap().members.clear(),
            Self::Private => directory.projects.get_mut(&person).unwrap().public = false,
        }
    }

    /// What an operator tells the host afterwards, if anything.
    pub fn invalidation(self, person: u64) -> [String; 2] {
        match self {
            Self::Key => ["key".to_owned(), key_blob(person)],
            Self::Block => ["user".to_owned(), format!("person-{person}")],
            Self::Member | Self::Private => ["project".to_owned(), project(person)],
        }
    }
}

impl Question {
    /// As sshd or gitlab-shell asks it.
    pub fn request(self, env: &TestEnv, person: u64) -> Request {
        let token = |request: Request| request.header("Gitlab-Shell-Api-Request", &env.shell_token());
        let (action, actor) = match self {
            Self::Key => return lookup_request(&key_blob(person)),
            Self::Discover => return token(Request::get(&format!("/api/v4/internal/discover?key_id={person}"))),
            Self::Pull(actor) => ("git-upload-pack", actor),
            Self::Push(actor) => ("git-receive-pack", actor),
        };
        let mut body = json!({"action": action, "project": project(person), "protocol": "ssh", "changes": "_any"});
        match actor {
            Actor::Key => body["key_id"] = json!(person.to_string()),
            Actor::User => body["user_id"] = json!(person.to_string()),
            Actor::Name => body["username"] = json!(format!("person-{person}")),
        }
        token(Request::post("/api/v4/internal/allowed", &body))
    }

    /// Understands an answer to it.
    pub fn verdict(self, response: &Response) -> Verdict {
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match (response.status, self) {
            (200, Self::Key) => Verdict::Yes(source(response)),
            (200, Self::Discover) if body.is_object() => Verdict::Yes(source(response)),
            (200, Self::Discover) => Verdict::No,
            (200, _) if body["status"] == true => Verdict::Yes(source(response)),
            (404, Self::Key) => Verdict::No,
            (401 | 403 | 404, Self::Pull(_) | Self::Push(_)) if body["status"] == false => Verdict::No,
            (424, _) => Verdict::Outage,
            (status, _) => Verdict::Unexpected(status),
        }
    }
}

fn project(person: u64) -> String {
    format!("group/project-{person}")
}

fn source(response: &Response) -> Source {
    match (response.header("x-sidegate-degraded"), response.header("x-sidegate-answer")) {
        (Some("mass-negative"), _) => Source::GivenBack,
        (Some(_), _) => Source::Stale,
        (None, Some("forwarded")) => Source::Forwarded,
        (None, _) => Source::Fresh,
    }
}
