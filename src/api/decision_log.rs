//! The log of decisions (`[log] decisions`): one line for each login and each question about access, with who asked, what was answered, why,
//! from where and how old that was. It answers tomorrow why somebody was refused tonight.
//!
//! The thread that answers only puts together what it has in its hands; the text is made by the thread that writes the log, which may drop
//! lines and counts them. Keys are shown as fingerprints; no token and no whole key is ever in a line.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::api::request::ApiRequest;
use crate::api::response_headers::{AGE_HEADER, ANSWER_HEADER, DEGRADED_HEADER};
use crate::model::key::{Fingerprint, MAX_BLOB_BYTES, decode_blob};
use crate::net::message::Response;
use crate::net::peer::Peer;

/// Takes a decision to the log, and never waits.
pub type DecisionSink = Box<dyn Fn(LoggedDecision) + Send + Sync>;

static ENABLED: AtomicBool = AtomicBool::new(false);
static SINK: OnceLock<DecisionSink> = OnceLock::new();
/// The longest text of a caller's that is logged, in characters.
const MAX_TEXT_CHARS: usize = 300;
/// The longest Base64 that can be a key. A longer one is not kept until it is written, as a request's memory is counted until its answer only.
const MAX_KEY_CHARS: usize = MAX_BLOB_BYTES * 4 / 3 + 4;
/// The largest body of an answer that is kept until it is written: what it would say of a person or a reason is short.
const MAX_BODY_BYTES: usize = 16 << 10;
/// The parameters by which somebody is named, in the order in which the first counts. (server.md 1.3)
const ACTOR_PARAMETERS: [&str; 4] = ["key_id", "user_id", "username", "identifier"];

/// Hands over where decisions are written. Only the first one counts.
pub fn set_sink(sink: DecisionSink) {
    let _second = SINK.set(sink);
}

/// Switches the log of decisions on or off.
pub fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Returns whether decisions are logged.
#[must_use]
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed) && SINK.get().is_some()
}

/// What kind of question was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedQuestion {
    /// `authorized_keys`.
    Key,
    /// `authorized_certs`.
    Certificate,
    /// `allowed`.
    Access,
}

impl DecidedQuestion {
    fn of(path: &str) -> Option<Self> {
        match path {
            "internal/authorized_keys" => Some(Self::Key),
            "internal/authorized_certs" => Some(Self::Certificate),
            "internal/allowed" => Some(Self::Access),
            _ => None,
        }
    }

    /// Its name in the field `endpoint`.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Key => "authorized_keys",
            Self::Certificate => "authorized_certs",
            Self::Access => "allowed",
        }
    }
}

/// A question that is being answered, as far as the log of decisions shows it.
pub struct AskedDecision {
    question: DecidedQuestion,
    key: Option<String>,
    actor: Option<(&'static str, String)>,
    project: Option<String>,
    action: Option<String>,
    address: Option<String>,
    peer: Peer,
    request_id: HeaderValue,
}

/// A question with its answer.
pub struct LoggedDecision {
    asked: AskedDecision,
    status: u16,
    source: Option<HeaderValue>,
    age: Option<HeaderValue>,
    degraded: Option<HeaderValue>,
    body: Option<Bytes>,
}

impl AskedDecision {
    /// Returns what is asked; `None` where no decisions are logged, or this is none.
    #[must_use]
    pub fn of(path: &str, request: &ApiRequest) -> Option<Self> {
        if !is_enabled() {
            return None;
        }
        let question = DecidedQuestion::of(path)?;
        let text = |name: &str| parameter_text(request.params.values.get(name)?);
        let actor = ACTOR_PARAMETERS.into_iter().find_map(|name| Some((name, text(name)?)));
        Some(Self {
            question,
            key: request.params.values.get("key").and_then(Value::as_str).map(bounded_key),
            actor,
            project: text("gl_repository").or_else(|| text("project")),
            action: text("action"),
            address: text("check_ip"),
            peer: request.peer,
            request_id: request.id.value().clone(),
        })
    }

    /// Hands the answer to the log.
    pub fn log(self, response: &Response) {
        let Some(sink) = SINK.get() else { return };
        let header = |name: &str, headers: &HeaderMap| headers.get(name).cloned();
        sink(LoggedDecision {
            asked: self,
            status: response.status.as_u16(),
            source: header(ANSWER_HEADER, &response.headers),
            age: header(AGE_HEADER, &response.headers),
            degraded: header(DEGRADED_HEADER, &response.headers),
            body: response.body.buffered().filter(|body| body.len() <= MAX_BODY_BYTES),
        });
    }
}

/// Returns a key as it was offered, or nothing of what is longer than any key.
fn bounded_key(key: &str) -> String {
    if key.len() <= MAX_KEY_CHARS { key.to_owned() } else { String::new() }
}

/// Returns a parameter as text of bounded length without control characters.
fn parameter_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(plain(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_TEXT_CHARS).collect()
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoggedVerdict {
    Yes,
    No,
    /// It was not judged: an outage, or a question that is none.
    Unknown,
}

impl LoggedVerdict {
    fn of(question: DecidedQuestion, status: u16, body: &Value) -> Self {
        match (question, status) {
            (DecidedQuestion::Access, 200 | 300) => Self::Yes,
            (DecidedQuestion::Access, 401 | 403 | 404 | 422) if body["status"] == false || body.is_null() => Self::No,
            (DecidedQuestion::Access, _) => Self::Unknown,
            (_, 200) => Self::Yes,
            (DecidedQuestion::Key, 404) | (DecidedQuestion::Certificate, 403 | 404) => Self::No,
            _ => Self::Unknown,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl LoggedDecision {
    /// Returns the line: what is said of it, and its fields by name.
    #[must_use]
    pub fn line(&self) -> (String, Vec<(&'static str, Value)>) {
        let body: Value = self.body.as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or(Value::Null);
        let verdict = LoggedVerdict::of(self.asked.question, self.status, &body);
        let header = |value: &Option<HeaderValue>| value.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (source, degraded) = (header(&self.source), header(&self.degraded));
        let age = header(&self.age).and_then(|age| age.parse::<u64>().ok());
        let reason = body["message"].as_str().map(plain).filter(|_| verdict != LoggedVerdict::Yes);
        let person = person(&body);
        let message = format!("{}: {}{}", self.question_text(person.as_deref()), verdict.as_str(), origin_text(&source, age, &degraded));
        let message = match &reason {
            Some(reason) => format!("{message}: {reason}"),
            None => message,
        };
        let text = |value: Option<String>| value.map(Value::String);
        let fields = [
            ("endpoint", text(Some(self.asked.question.endpoint().to_owned()))),
            ("verdict", text(Some(verdict.as_str().to_owned()))),
            ("fingerprint", text(self.fingerprint())),
            ("key_id", self.key_id(&body)),
            ("actor", text(person.or_else(|| self.asked.actor.as_ref().map(|(name, value)| format!("{name} {value}"))))),
            ("project", text(self.asked.project.clone())),
            ("action", text(self.asked.action.clone())),
            ("address", text(self.asked.address.clone())),
            ("reason", text(reason)),
            ("source", text(source)),
            ("age_seconds", age.map(Value::from)),
            ("degraded", text(degraded)),
            ("status", Some(Value::from(self.status))),
            ("peer", text(Some(self.asked.peer.to_string()))),
            ("request_id", text(self.asked.request_id.to_str().ok().map(str::to_owned))),
        ];
        (message, fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    fn fingerprint(&self) -> Option<String> {
        let key = self.asked.key.as_deref().filter(|_| self.asked.question == DecidedQuestion::Key)?;
        Some(decode_blob(key).map_or_else(|| "not a key".to_owned(), |blob| Fingerprint::of(&blob).to_string()))
    }

    fn key_id(&self, body: &Value) -> Option<Value> {
        match (self.asked.question, &self.asked.actor) {
            (DecidedQuestion::Key, _) => body["id"].as_u64().map(Value::from),
            (_, Some(("key_id", id))) => id.parse::<u64>().ok().map(Value::from),
            _ => None,
        }
    }

    fn question_text(&self, person: Option<&str>) -> String {
        let asked = &self.asked;
        let of = person.map(|person| format!(" of {person}")).unwrap_or_default();
        match asked.question {
            DecidedQuestion::Key => format!("login with key {}{of}", self.fingerprint().unwrap_or_default()),
            DecidedQuestion::Certificate => format!("login with a certificate{of}"),
            DecidedQuestion::Access => {
                let who = asked.actor.as_ref().map_or_else(|| "nobody in particular".to_owned(), |(name, value)| format!("{name} {value}"));
                let who = person.map_or_else(|| who.clone(), |person| format!("{person} ({who})"));
                let project = asked.project.as_deref().unwrap_or("no repository");
                format!("{} of {project} by {who}", asked.action.as_deref().unwrap_or("no action"))
            }
        }
    }
}

/// Returns whom an answer names: a username, or the comment of a key, which is the owner's name.
fn person(body: &Value) -> Option<String> {
    let comment = || body["key"].as_str().and_then(|line| line.splitn(3, ' ').nth(2));
    body["gl_username"].as_str().or_else(|| body["username"].as_str()).or_else(comment).map(plain)
}

/// Returns where an answer came from, as a part of a sentence.
fn origin_text(source: &Option<String>, age: Option<u64>, degraded: &Option<String>) -> String {
    let age = age.unwrap_or(0);
    let origin = match source.as_deref() {
        Some("local") => format!(", by the directory as it was {age} s ago"),
        Some("cached") => format!(", by an answer kept for {age} s"),
        Some("forwarded") => ", as the primary just said".to_owned(),
        _ => String::new(),
    };
    let because = match degraded.as_deref() {
        Some("mass-negative") => ", because the primary does not know most keys",
        Some(_) => ", because the primary could not be asked",
        None => "",
    };
    format!("{origin}{because}")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::{AskedDecision, DecidedQuestion, LoggedDecision, MAX_KEY_CHARS, bounded_key};
    use crate::net::peer::Peer;

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn decision(question: DecidedQuestion, status: u16, body: &Value) -> LoggedDecision {
        let is_key = question == DecidedQuestion::Key;
        LoggedDecision {
            asked: AskedDecision {
                question,
                key: is_key.then(|| BLOB.to_owned()),
                actor: (!is_key).then(|| ("key_id", "11".to_owned())),
                project: (!is_key).then(|| "tools/gate".to_owned()),
                action: (!is_key).then(|| "git-upload-pack".to_owned()),
                address: None,
                peer: Peer::Unix { uid: 998, gid: 998 },
                request_id: HeaderValue::from_static("01ABC"),
            },
            status,
            source: Some(HeaderValue::from_static("local")),
            age: Some(HeaderValue::from_static("3")),
            degraded: None,
            body: Some(body.to_string().into()),
        }
    }

    fn field(fields: &[(&'static str, Value)], name: &str) -> Value {
        fields.iter().find(|(field, _)| *field == name).map_or(Value::Null, |(_, value)| value.clone())
    }

    #[test]
    fn a_login_is_a_sentence_with_the_fingerprint_and_without_the_key() {
        let body = json!({"id": 11, "key": format!("ssh-ed25519 {BLOB} Zoe (git.example.com)")});
        let (message, fields) = decision(DecidedQuestion::Key, 200, &body).line();
        assert!(
            message.starts_with("login with key SHA256:") && message.contains(" of Zoe (git.example.com): yes, by the directory"),
            "{message}"
        );
        assert_eq!((field(&fields, "key_id"), field(&fields, "age_seconds")), (json!(11), json!(3)));
        assert_eq!(field(&fields, "request_id"), "01ABC");
        let everything = format!("{message}{fields:?}");
        assert!(!everything.contains(BLOB) && !everything.contains("AAAAC3"), "{everything}");
    }

    #[test]
    fn what_is_longer_than_any_key_takes_no_memory_until_it_is_written() {
        assert_eq!((bounded_key(BLOB), bounded_key(&"A".repeat(MAX_KEY_CHARS + 1))), (BLOB.to_owned(), String::new()));
        let mut longer = decision(DecidedQuestion::Key, 404, &json!({"message": "404 Key Not Found"}));
        longer.asked.key = Some(bounded_key(&"A".repeat(1 << 20)));
        assert_eq!(field(&longer.line().1, "fingerprint"), "not a key");
    }

    #[test]
    fn a_refusal_says_why_and_an_outage_is_no_refusal() {
        let refusal = json!({"status": false, "message": "Your account has been blocked."});
        let (message, fields) = decision(DecidedQuestion::Access, 401, &refusal).line();
        assert_eq!(
            message,
            "git-upload-pack of tools/gate by key_id 11: no, by the directory as it was 3 s ago: Your account has been blocked."
        );
        assert_eq!(field(&fields, "reason"), "Your account has been blocked.");
        for (question, status, verdict) in [
            (DecidedQuestion::Access, 424, "unknown"),
            (DecidedQuestion::Key, 424, "unknown"),
            (DecidedQuestion::Key, 404, "no"),
            (DecidedQuestion::Certificate, 403, "no"),
            (DecidedQuestion::Access, 200, "yes"),
            (DecidedQuestion::Access, 300, "yes"),
        ] {
            let body = json!({"message": "m", "status": status < 400});
            let (_, fields) = decision(question, status, &body).line();
            assert_eq!(field(&fields, "verdict"), verdict, "{question:?} {status}");
        }
        let (_, fields) = decision(DecidedQuestion::Access, 401, &json!({"message": "401 Unauthorized"})).line();
        assert_eq!(field(&fields, "verdict"), "unknown", "a token that is refused says nothing of the person");
    }

    #[test]
    fn what_an_answer_carries_beside_its_reason_is_not_logged() {
        let body = json!({"status": true, "gl_username": "zoe", "gitaly": {"token": "gitaly-token"}, "payload": {"data": "secret-header"}});
        let (message, fields) = decision(DecidedQuestion::Access, 300, &body).line();
        let everything = format!("{message}{fields:?}");
        assert!(everything.contains("zoe (key_id 11)") && !everything.contains("gitaly-token") && !everything.contains("secret-header"));
    }
}
