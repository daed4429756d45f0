//! Which yes of the primary may be kept, and what it is about.
//!
//! Never kept: a 300, whose headers are signed for one moment; an answer for another repository than the one asked for, which was found
//! by a redirect; an answer whose key is not the one offered; one that names nobody; one that is longer than
//! [`MAX_KEPT_BODY_BYTES`](crate::model::kept_body::MAX_KEPT_BODY_BYTES). What is no decision at all never comes here.

use serde_json::Value;

use crate::model::freshness::ProofTime;
use crate::model::id::Id;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject};
use crate::model::kept_body::KeptBody;
use crate::model::time::Time;
use crate::sidecar::kept::question::{AskedRepository, KeptQuestion, normalize_path};
use crate::sidecar::upstream::decision::{Decision, QueryKind};
use crate::wire::authorized_keys::AuthorizedKey;

/// Returns a yes as it is kept; `None` if it is given once and not kept.
#[must_use]
pub fn accept(question: &KeptQuestion, decision: &Decision, proven_at: ProofTime) -> Option<KeptAnswer> {
    if decision.status.as_u16() != 200 {
        return None;
    }
    let body: Value = serde_json::from_slice(&decision.body).ok()?;
    let subjects = match question.kind {
        KeptKind::AuthorizedKeys => key_subjects(question, decision)?,
        KeptKind::AuthorizedCerts => vec![KeptSubject::username(body["username"].as_str()?)],
        KeptKind::Discover => user_subjects(question, &body)?,
        KeptKind::Pull | KeptKind::Push => access_subjects(question, &body)?,
    };
    let expires_at = match question.kind {
        KeptKind::AuthorizedKeys => parse_expiry(&body["expires_at"])?,
        _ => None,
    };
    let answer = KeptAnswer {
        kind: question.kind,
        body: KeptBody::new(&decision.body)?,
        proven_at,
        origin: AnswerOrigin::Primary,
        expires_at,
        subjects: subjects.into(),
    };
    answer.share_holder().is_some().then_some(answer)
}

/// An answer about the key that was offered, strictly parsed.
fn key_subjects(question: &KeptQuestion, decision: &Decision) -> Option<Vec<KeptSubject>> {
    let QueryKind::AuthorizedKeys(blob) = &question.query.kind else { return None };
    AuthorizedKey::parse(&decision.body, blob).ok().map(|found| vec![KeptSubject::Key(found.id)])
}

fn user_subjects(question: &KeptQuestion, body: &Value) -> Option<Vec<KeptSubject>> {
    let id = parse_id(&body["id"])?;
    let asker = question.asker.clone()?;
    // A user id that is answered with another one is no answer.
    if matches!(&asker, KeptSubject::User(asked) if *asked != id) {
        return None;
    }
    let name = body["username"].as_str().map(KeptSubject::username);
    let mut subjects = vec![asker, KeptSubject::User(id)];
    subjects.extend(name);
    Some(KeptSubject::distinct(subjects))
}

/// An answer for the repository that was asked for, to the actor who asked.
fn access_subjects(question: &KeptQuestion, body: &Value) -> Option<Vec<KeptSubject>> {
    let path = normalize_path(body["gl_project_path"].as_str()?);
    let is_asked_one = match &question.repository {
        AskedRepository::Path(asked) => *asked == path,
        AskedRepository::GlRepository(asked) => body["gl_repository"] == asked.as_str(),
        AskedRepository::None => false,
    };
    if !is_asked_one {
        return None;
    }
    let asker = question.asker.clone()?;
    let is_deploy_key = body["gl_key_type"] == "deploy_key";
    let gl_id = body["gl_id"].as_str().and_then(|gl_id| gl_id.strip_prefix("user-")).and_then(|id| id.parse().ok());
    let user = gl_id.filter(|_| !is_deploy_key);
    if matches!(&asker, KeptSubject::User(asked) if Some(*asked) != user) {
        return None;
    }
    if let (Some(asked), Some(answered)) = (question.asking_key(), parse_id(&body["gl_key_id"]))
        && asked != answered
    {
        return None;
    }
    let mut subjects = vec![asker, KeptSubject::Path(path.into())];
    subjects.extend(user.map(KeptSubject::User));
    subjects.extend(body["gl_username"].as_str().filter(|_| user.is_some()).map(KeptSubject::username));
    subjects.extend(parse_id(&body["gl_project_id"]).or_else(|| project_of(&body["gl_repository"])).map(KeptSubject::Project));
    Some(KeptSubject::distinct(subjects))
}

/// Returns the project of `project-<id>`, `wiki-<id>` or `design-<id>`.
fn project_of(gl_repository: &Value) -> Option<Id> {
    let (kind, id) = gl_repository.as_str()?.split_once('-')?;
    matches!(kind, "project" | "wiki" | "design").then(|| id.parse().ok()).flatten()
}

fn parse_id(value: &Value) -> Option<Id> {
    value.as_u64().and_then(|id| id.try_into().ok())
}

/// Returns when a key expires, if it does; `None` if that cannot be read: then the answer is not kept.
#[expect(clippy::option_option, reason = "unreadable, without an end, with an end")]
fn parse_expiry(value: &Value) -> Option<Option<Time>> {
    match value {
        Value::Null => Some(None),
        // A GitLab writes it in the zone that it is configured for.
        Value::String(text) => Time::from_milliseconds(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::accept;
    use crate::model::access_request::{AllowedRequest, ClaimedActor};
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::{KeptAnswer, KeptSubject};
    use crate::model::kept_body::MAX_KEPT_BODY_BYTES;
    use crate::model::key::decode_blob;
    use crate::model::time::BootTime;
    use crate::sidecar::kept::question::KeptQuestion;
    use crate::sidecar::kept::question::tests::{allowed, query, request};
    use crate::sidecar::upstream::decision::{Decision, DecisionKind, QueryKind};

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn kept(question: &KeptQuestion, status: u16, body: &Value) -> Option<KeptAnswer> {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), body.to_string().into());
        let decision = Decision { kind: DecisionKind::Yes, status, body, decided_at: None };
        accept(question, &decision, ProofTime::at(BootTime::default()))
    }

    fn grant() -> Value {
        json!({"status": true, "gl_repository": "project-9", "gl_project_path": "G/p", "gl_id": "user-7", "gl_username": "Zoe",
            "gl_key_type": "key", "gl_key_id": 11, "gl_console_messages": []})
    }

    fn changed(name: &str, value: Value) -> Value {
        let mut grant = grant();
        grant[name] = value;
        grant
    }

    fn subjects(answer: Option<KeptAnswer>) -> Vec<KeptSubject> {
        answer.unwrap().subjects.into_vec()
    }

    #[test]
    fn a_grant_is_about_its_key_its_user_and_its_project() {
        let id = |number: u64| number.try_into().unwrap();
        let question = allowed(&request()).unwrap();
        let expected = [
            KeptSubject::Key(id(11)),
            KeptSubject::User(id(7)),
            KeptSubject::Username("zoe".into()),
            KeptSubject::Project(id(9)),
            KeptSubject::Path("g/p".into()),
        ];
        assert_eq!(subjects(kept(&question, 200, &grant())), expected);
        let deploy = kept(&question, 200, &changed("gl_key_type", json!("deploy_key")));
        assert!(!subjects(deploy).contains(&KeptSubject::User(id(7))), "who made a deploy key has no part in it");
    }

    #[test]
    fn what_is_for_another_repository_or_actor_or_for_one_moment_is_not_kept() {
        let question = allowed(&request()).unwrap();
        assert!(kept(&question, 300, &grant()).is_none(), "signed for one moment");
        for (name, value) in [
            ("gl_project_path", json!("g/moved")),
            ("gl_project_path", json!("g/p.wiki")),
            ("gl_project_path", Value::Null),
            ("gl_key_id", json!(12)),
            ("gl_console_messages", json!(["x".repeat(MAX_KEPT_BODY_BYTES)])),
        ] {
            assert!(kept(&question, 200, &changed(name, value.clone())).is_none(), "{name} {value}");
        }
        let by_user = AllowedRequest { claimed_actor: ClaimedActor::User("8".parse().ok()), ..request() };
        assert!(kept(&allowed(&by_user).unwrap(), 200, &grant()).is_none(), "another user's");
        let by_id = AllowedRequest { gl_repository: Some("project-9".to_owned()), ..request() };
        assert!(kept(&allowed(&by_id).unwrap(), 200, &changed("gl_project_path", json!("g/renamed"))).is_some());
        assert!(kept(&allowed(&by_id).unwrap(), 200, &changed("gl_repository", json!("project-8"))).is_none());
    }

    #[test]
    fn a_key_is_kept_only_if_it_is_the_one_offered_and_its_end_can_be_read() {
        let question = KeptQuestion::authorized_keys(query(QueryKind::AuthorizedKeys(decode_blob(BLOB).unwrap())));
        let hit = |expires_at: Value| json!({"id": 11, "key": format!("ssh-ed25519 {BLOB} Zoë"), "expires_at": expires_at});
        let end = kept(&question, 200, &hit(json!("2030-01-01T00:00:00.000Z"))).unwrap().expires_at;
        assert_eq!(end, "2030-01-01T00:00:00Z".parse().ok());
        assert_eq!(kept(&question, 200, &hit(json!("2030-01-01T02:00:00.000+02:00"))).unwrap().expires_at, end);
        assert_eq!(kept(&question, 200, &hit(Value::Null)).unwrap().expires_at, None);
        for unreadable in [json!("tomorrow"), json!(5), json!("")] {
            assert!(kept(&question, 200, &hit(unreadable)).is_none());
        }
        let other = BLOB.replace("Sqti", "Sqtj");
        assert!(kept(&question, 200, &json!({"id": 11, "key": format!("ssh-ed25519 {other}")})).is_none());
    }

    #[test]
    fn a_user_who_is_not_the_one_asked_for_is_not_kept() {
        let by = |actor| KeptQuestion::discover(&actor, query(QueryKind::Discover)).unwrap();
        let zoe = json!({"id": 7, "username": "zoe", "name": "Zoë"});
        assert_eq!(subjects(kept(&by(ClaimedActor::Key("11".parse().ok())), 200, &zoe)).len(), 3);
        assert!(kept(&by(ClaimedActor::User("8".parse().ok())), 200, &zoe).is_none());
    }
}
