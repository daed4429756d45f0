//! One log line for each thing that an operator had a daemon do: who (uid and user name), what, and what came of it.

use http::Method;
use nix::unistd::{Uid, User};
use serde_json::Value;

use crate::api::error::HandlerResult;
use crate::api::request::{ApiRequest, Caller};
use crate::net::body::OutgoingBody;
use crate::net::peer::Peer;

/// The target of these lines, which are written at every level of the log.
pub const LOG_TARGET: &str = "sidegate::operator";
/// What is said of an action whose outcome nobody waited for.
const UNAWAITED: &str = "the caller hung up before the outcome was known; it may be done all the same";
/// The longest value of a parameter that is logged.
const MAX_VALUE_CHARS: usize = 120;

/// The name of the endpoint that hands out the whole store.
const BACKUP: &str = "backup";

/// A request of an operator that is being handled. Dropped without an outcome, because the caller hung up, it is logged as well.
pub struct OperatorAction(Option<PendingAction>);

struct PendingAction {
    action: &'static str,
    target: String,
    peer: Peer,
    request_id: String,
}

impl OperatorAction {
    /// Returns what an operator is about to do, by the name of the endpoint; `None` where somebody else asks, or where it is only looked at. A backup hands out every
    /// secret of the daemon, so it counts.
    #[must_use]
    pub fn of(action: &'static str, request: &ApiRequest) -> Option<Self> {
        let is_look = matches!(request.method, Method::GET | Method::HEAD) && action != BACKUP;
        if request.caller != Caller::Operator || is_look {
            return None;
        }
        let target = describe_parameters(request.params.values.iter());
        Some(Self(Some(PendingAction { action, target, peer: request.peer, request_id: request.id.as_str().to_owned() })))
    }

    /// Logs it with its outcome.
    pub fn log(mut self, result: &HandlerResult) {
        let (status, outcome) = match result {
            Ok(response) => (response.status.as_u16(), body_message(&response.body)),
            Err(error) => (error.status.as_u16(), Some(error.message.clone())),
        };
        if let Some(pending) = self.0.take() {
            pending.write_beside(Some(status), outcome.unwrap_or_else(|| "done".to_owned()));
        }
    }
}

impl Drop for OperatorAction {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.write_beside(None, UNAWAITED.to_owned());
        }
    }
}

impl PendingAction {
    /// Writes the line beside the threads that answer: looking up the name of the user may take long.
    fn write_beside(self, status: Option<u16>, outcome: String) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || self.write(status, &outcome))),
            Err(_) => self.write(status, &outcome),
        }
    }

    fn write(&self, status: Option<u16>, outcome: &str) {
        let Self { action, target, peer, request_id } = self;
        let (uid, user) = match peer {
            Peer::Unix { uid, .. } => (Some(*uid), user_name(*uid)),
            Peer::Tcp(_) => (None, None),
        };
        let who = match &user {
            Some(name) => format!("{name} ({peer})"),
            None => peer.to_string(),
        };
        let did = match status {
            Some(400..) => "was refused",
            Some(_) => "did",
            None => "asked for",
        };
        let user = user.unwrap_or_default();
        tracing::info!(target: LOG_TARGET, action, target, uid, user, status, request_id, "{who} {did} `{action}{target}`: {outcome}");
    }
}

/// Returns parameters as ` name=value`, without what may be a secret.
fn describe_parameters<'a>(params: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let is_secret = |name: &str| ["secret", "token", "password"].iter().any(|word| name.contains(word));
    let shown = params.filter(|(name, _)| !is_secret(name)).filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.chars().filter(|letter| !letter.is_control()).take(MAX_VALUE_CHARS).collect(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(format!(" {name}={text}"))
    });
    shown.collect()
}

/// Returns the `message` of a body that is in memory.
fn body_message(body: &OutgoingBody) -> Option<String> {
    let body: Value = serde_json::from_slice(&body.buffered()?).ok()?;
    body["message"].as_str().map(str::to_owned)
}

fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::describe_parameters;

    #[test]
    fn parameters_are_shown_without_secrets_and_control_characters() {
        let params = json!({"what": "key", "which": "5\n", "flag": true, "secret_token": "x", "list": [1]});
        let params: Map<_, _> = params.as_object().cloned().unwrap();
        let mut shown: Vec<String> = describe_parameters(params.iter()).split(' ').map(str::to_owned).collect();
        shown.sort();
        assert_eq!(shown, ["", "flag=true", "what=key", "which=5"]);
    }
}
