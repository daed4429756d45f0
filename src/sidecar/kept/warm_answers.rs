//! The answers that the keys and users of a file become: those that the primary would give, as far as the file tells.
//!
//! An `authorized_keys` tells neither title, owner nor dates. Its keys are titled `key-<id>`, have no dates, and no comment behind the key:
//! sshd and gitlab-shell read only the id and the key.

use http::StatusCode;
use serde_json::json;

use crate::model::access_request::ClaimedActor;
use crate::model::freshness::ProofTime;
use crate::model::id::Id;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, QuestionKey};
use crate::model::key::PublicKey;
use crate::model::record_defaults::default_host;
use crate::model::text::Text;
use crate::sidecar::kept::acceptance::accept;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::warm_file::{WarmFile, WarmKey};
use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind};
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire::authorized_keys::encode_authorized_key;
use crate::wire::discover::encode_response;

/// An answer from a file, and what it is kept under.
pub type WarmAnswer = (QuestionKey, KeptAnswer);

/// Returns the answers of a file of `proven_at`, one after another: to each key first, since logins need nothing else.
pub fn answers_of(file: &WarmFile, proven_at: ProofTime) -> impl Iterator<Item = WarmAnswer> + '_ {
    let host = file.host.clone().unwrap_or_else(default_host);
    let keys = file.keys.iter().filter_map(move |key| key_answer(file, key, &host, proven_at));
    let owners = file.keys.iter().filter_map(move |key| owner_answer(file, key, proven_at));
    let users = file.users.values().flat_map(move |user| {
        let by = [ClaimedActor::User(Some(user.id)), ClaimedActor::Username(user.username.to_string())];
        let body = encode_response(Some(user));
        by.into_iter().filter_map(move |actor| user_answer(&actor, &body, proven_at))
    });
    keys.chain(owners).chain(users)
}

/// The answer to `authorized_keys`.
fn key_answer(file: &WarmFile, key: &WarmKey, host: &Text, proven_at: ProofTime) -> Option<WarmAnswer> {
    let body = match key {
        WarmKey::Record(key) => encode_authorized_key(key, key.user_id.and_then(|id| file.users.get(&id)), host),
        WarmKey::Managed(id, key) => encode_managed_key(*id, key),
    };
    let query = UpstreamQuery::get(QueryKind::AuthorizedKeys(key.public_key().blob().to_vec()), String::new());
    keep(&KeptQuestion::authorized_keys(query), body, proven_at)
}

fn encode_managed_key(id: Id, key: &PublicKey) -> String {
    // Written by hand so that the fields have the order of the primary's answer.
    let (title, key) = (json!(format!("key-{id}")), json!(key.to_string()));
    format!(r#"{{"id":{id},"title":{title},"created_at":null,"expires_at":null,"key":{key}}}"#)
}

/// The answer to `discover` by a key. A deploy key's is whoever made it, which a file does not always tell.
fn owner_answer(file: &WarmFile, key: &WarmKey, proven_at: ProofTime) -> Option<WarmAnswer> {
    let WarmKey::Record(key) = key else { return None };
    let owner = key.user_id.filter(|_| !key.deploy).and_then(|id| file.users.get(&id))?;
    user_answer(&ClaimedActor::Key(Some(key.id)), &encode_response(Some(owner)), proven_at)
}

fn user_answer(actor: &ClaimedActor, body: &str, proven_at: ProofTime) -> Option<WarmAnswer> {
    let question = KeptQuestion::discover(actor, UpstreamQuery::get(QueryKind::Discover, String::new()))?;
    keep(&question, body.to_owned(), proven_at)
}

/// Returns what the primary's answer with this body would be kept as, and that it came from a file.
fn keep(question: &KeptQuestion, body: String, proven_at: ProofTime) -> Option<WarmAnswer> {
    let decision = Decision { kind: DecisionKind::Yes, status: StatusCode::OK, body: body.into(), decided_at: None };
    let answer = accept(question, &decision, proven_at)?;
    Some((question.key, KeptAnswer { origin: AnswerOrigin::File, ..answer }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::answers_of;
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::{AnswerOrigin, KeptKind};
    use crate::model::memory_directory::ed25519_public_key;
    use crate::model::time::BootTime;
    use crate::sidecar::config::KeptBounds;
    use crate::sidecar::kept::warm_file::WarmFile;

    fn bodies(lines: &[&str]) -> HashMap<KeptKind, Vec<String>> {
        let mut file = WarmFile::new(KeptBounds { answers: 100, bytes: usize::MAX });
        lines.iter().for_each(|line| file.take_line(line.as_bytes()));
        assert_eq!(file.counts.refused, 0, "{:?}", file.named);
        let mut bodies: HashMap<KeptKind, Vec<String>> = HashMap::new();
        for (_, answer) in answers_of(&file, ProofTime::at(BootTime::default())) {
            assert_eq!(answer.origin, AnswerOrigin::File);
            bodies.entry(answer.kind).or_default().push(String::from_utf8(answer.body.expand().unwrap().to_vec()).unwrap());
        }
        bodies
    }

    #[test]
    fn the_answers_of_a_directory_file_are_the_primary_s_to_the_byte() {
        let key = ed25519_public_key(3);
        let bodies = bodies(&[
            r#"{"kind":"settings","host":"git.example"}"#,
            r#"{"kind":"user","id":7,"username":"Zoe","name":"Zoë"}"#,
            &format!(r#"{{"kind":"key","id":11,"user_id":7,"title":"t","key":"{key}","created_at":"2020-01-01T00:00:00Z"}}"#),
        ]);
        let expected = format!(
            r#"{{"id":11,"title":"t","created_at":"2020-01-01T00:00:00.000Z","expires_at":null,"key":"{key} Zoë (git.example)","usage_type":"auth_and_signing"}}"#
        );
        assert_eq!(bodies[&KeptKind::AuthorizedKeys], [expected]);
        assert_eq!(bodies[&KeptKind::Discover], [r#"{"id":7,"username":"Zoe","name":"Zoë"}"#; 3], "by key, id and name");
    }

    #[test]
    fn of_authorized_keys_the_id_and_the_key_are_known() {
        let key = ed25519_public_key(3);
        let bodies = bodies(&[&format!("command=\"/x/bin/gitlab-shell key-11\",no-pty {key} zoe@example.com")]);
        let expected = format!(r#"{{"id":11,"title":"key-11","created_at":null,"expires_at":null,"key":"{key}"}}"#);
        assert_eq!(bodies, HashMap::from([(KeptKind::AuthorizedKeys, vec![expected])]));
    }
}
