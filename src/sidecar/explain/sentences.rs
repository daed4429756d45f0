//! The words of an explanation. Pure: the same findings give the same sentences.

use crate::model::access_request::{Action, AllowedRequest};
use crate::model::explanation::{Rule, StepKind, Verdict};
use crate::rules::remedy;
use crate::sidecar::explain::judgement::{Judgement, PrimaryReply};

/// What is said of a refusal for which no rule is known.
const UNKNOWN_RULE: &str = "unknown";

/// Whom and what a question is about, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Who asks: a username, or a key.
    pub who: String,
    /// The key as it is named: by its fingerprint, with its id where that is known.
    pub key: Option<String>,
    /// What is done, and with which project.
    pub act: Option<String>,
}

/// Returns a step as a sentence without its full stop.
pub fn step(kind: StepKind, verdict: Verdict, subject: &Subject, rule: Option<&Rule>, failure: &str) -> String {
    let (who, because) = (&subject.who, rule.map(|rule| format!(", because {}", rule.text)).unwrap_or_default());
    let key = subject.key.as_deref().unwrap_or("the key");
    let act = subject.act.as_deref().unwrap_or("use Git");
    match (kind, verdict) {
        (StepKind::Login, Verdict::Yes) if who.as_str() == key => format!("{key} is let in"),
        (StepKind::Login, Verdict::Yes) => format!("{key} of {who} is let in"),
        (StepKind::Login, Verdict::No) if rule.is_some() => format!("{key} is not let in{because}"),
        (StepKind::Login, Verdict::No) => format!("{key} is not let in, because no account has it"),
        (StepKind::Login, Verdict::Unknown) => format!("whether {key} is let in cannot be judged now, because {failure}"),
        (StepKind::Identity, Verdict::Yes) => format!("{who} is known"),
        (StepKind::Identity, Verdict::No) => format!("{who} is not known"),
        (StepKind::Identity, Verdict::Unknown) => format!("whether there is {who} cannot be judged now, because {failure}"),
        (StepKind::Account | StepKind::Access, Verdict::Yes) => format!("{who} may {act}"),
        (StepKind::Account | StepKind::Access, Verdict::No) => format!("{who} may not {act}{because}"),
        (StepKind::Account | StepKind::Access, Verdict::Unknown) => {
            format!("whether {who} may {act} cannot be judged now, because {failure}")
        }
    }
}

/// Returns the verdict of all steps as one sentence.
pub fn verdict(verdict: Verdict, deciding_step: &str) -> String {
    match verdict {
        Verdict::Yes => deciding_step.to_owned(),
        Verdict::No => format!("refused: {deciding_step}"),
        Verdict::Unknown => format!("not judged: {deciding_step}"),
    }
}

/// Returns what is done, and with what: `pull tools/gate`.
pub fn act(request: &AllowedRequest) -> String {
    let verb = match request.action {
        Action::ReceivePack => "push",
        Action::UploadArchive => "archive",
        Action::UploadPack | Action::Unknown => "pull",
    };
    let repository = request.gl_repository.as_deref().or(request.project.as_deref()).unwrap_or_default();
    let path = repository.strip_prefix('/').unwrap_or(repository);
    format!("{verb} {}", path.strip_suffix(".git").unwrap_or(path))
}

/// Returns the rule with this code.
pub fn rule(code: &str, message: Option<&str>) -> Rule {
    let text = remedy::by_code(code).map_or_else(|| code.replace('_', " "), |row| row.because.to_owned());
    Rule { code: code.to_owned(), text, message: message.map(str::to_owned) }
}

/// Returns the rule that a sentence of the primary states; of one that is not known, that sentence itself.
pub fn stated_rule(message: &str) -> Rule {
    match remedy::by_message(message) {
        Some(row) => rule(row.code, Some(message)),
        None => {
            let text = format!("the primary says \u{201c}{}\u{201d}", message.trim_end_matches('.'));
            Rule { code: UNKNOWN_RULE.to_owned(), text, message: Some(message.to_owned()) }
        }
    }
}

/// Returns what would have to change for a yes. A primary that is asked by a key cannot be asked by its fingerprint.
pub fn for_a_yes(kind: StepKind, verdict: Verdict, rule: Option<&Rule>, can_be_asked: bool) -> Option<String> {
    let known = rule.and_then(|rule| remedy::by_code(&rule.code)).map(|row| row.remedy.to_owned());
    match (kind, verdict) {
        (_, Verdict::Yes) => None,
        (_, Verdict::Unknown) if can_be_asked => {
            Some("the primary answers again, or this host holds younger data: see `sidegate status`".to_owned())
        }
        (_, Verdict::Unknown) => Some("name the key itself, with --key-file or --key: then the primary can be asked".to_owned()),
        (_, Verdict::No) if known.is_some() => known,
        (_, Verdict::No) if rule.is_some() => {
            Some("the primary decides otherwise: ask its administrator what its sentence means".to_owned())
        }
        (StepKind::Login, Verdict::No) => Some("the key is added to an account, or the account's own key is offered".to_owned()),
        (StepKind::Identity | StepKind::Account | StepKind::Access, Verdict::No) => {
            Some("the account or key is there under this name or id: compare it with the primary".to_owned())
        }
    }
}

/// Returns what the primary said just now, as a fact.
pub fn primary_fact(name: &str, asked: PrimaryReply, status: Option<u16>, message: Option<&str>, failure: Option<&str>) -> Option<String> {
    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
    let said = message.map(|message| format!(": {message}")).unwrap_or_default();
    Some(match asked {
        PrimaryReply::NotAsked => return None,
        PrimaryReply::Yes => format!("the primary answers `{name}` with yes{status}"),
        PrimaryReply::No => format!("the primary answers `{name}` with no{status}{said}"),
        PrimaryReply::Rejected => format!("the primary does not take `{name}`{status}{said}"),
        PrimaryReply::Failed => format!("the primary gives no answer to `{name}`: {}", failure.unwrap_or("no reason is known")),
    })
}

/// Returns a note where the primary answers otherwise than this host does at this moment.
pub fn disagreement(judgement: Judgement, asked: PrimaryReply) -> Option<String> {
    let differs = matches!((judgement.verdict, asked), (Verdict::Yes, PrimaryReply::No) | (Verdict::No, PrimaryReply::Yes));
    (differs && judgement.degraded.is_none()).then(|| {
        "the primary just answered otherwise than this host does: the change is on its way here, or what is kept is older than it; \
         `sidegate invalidate` takes kept answers away at once"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::{Subject, act, disagreement, for_a_yes, rule, stated_rule, step, verdict};
    use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
    use crate::model::explanation::{DecidedBy, StepKind, Verdict};
    use crate::sidecar::explain::judgement::{Judgement, PrimaryReply};

    fn subject() -> Subject {
        Subject { who: "zoe".to_owned(), key: Some("key SHA256:abc".to_owned()), act: Some("pull tools/gate".to_owned()) }
    }

    #[test]
    fn a_verdict_is_one_plain_sentence() {
        let blocked = rule("user_blocked", Some("Your account has been blocked."));
        for (kind, outcome, rule, sentence) in [
            (StepKind::Access, Verdict::Yes, None, "zoe may pull tools/gate"),
            (StepKind::Access, Verdict::No, Some(&blocked), "refused: zoe may not pull tools/gate, because the account is blocked"),
            (StepKind::Login, Verdict::No, None, "refused: key SHA256:abc is not let in, because no account has it"),
            (StepKind::Login, Verdict::Yes, None, "key SHA256:abc of zoe is let in"),
            (
                StepKind::Access,
                Verdict::Unknown,
                None,
                "not judged: whether zoe may pull tools/gate cannot be judged now, because it hangs",
            ),
        ] {
            assert_eq!(verdict(outcome, &step(kind, outcome, &subject(), rule, "it hangs")), sentence);
        }
    }

    #[test]
    fn what_would_have_to_change_is_the_rule_s_and_a_sentence_that_is_not_known_is_shown() {
        let blocked = stated_rule("Your account has been blocked.");
        assert_eq!(blocked.code, "user_blocked");
        assert!(for_a_yes(StepKind::Access, Verdict::No, Some(&blocked), true).unwrap().contains("unblocks"));
        let other = stated_rule("Ask Bob.");
        assert_eq!((other.code.as_str(), other.text.as_str()), ("unknown", "the primary says \u{201c}Ask Bob\u{201d}"));
        assert!(for_a_yes(StepKind::Access, Verdict::No, Some(&other), true).unwrap().contains("its administrator"));
        assert_eq!(for_a_yes(StepKind::Access, Verdict::Yes, None, true), None);
    }

    #[test]
    fn a_project_is_named_without_the_spelling_of_a_client() {
        let request = AllowedRequest {
            project: Some("/tools/gate.git".to_owned()),
            ..AllowedRequest::new(ClaimedActor::Unspecified, Action::ReceivePack, Protocol::Ssh, RefChanges::Any)
        };
        assert_eq!(act(&request), "push tools/gate");
    }

    #[test]
    fn only_an_answer_that_differs_is_a_disagreement() {
        let judgement = |verdict| Judgement { verdict, decided_by: DecidedBy::Directory, degraded: None };
        assert!(
            disagreement(judgement(Verdict::Yes), PrimaryReply::No).is_some()
                && disagreement(judgement(Verdict::No), PrimaryReply::Yes).is_some()
        );
        for (verdict, asked) in
            [(Verdict::Yes, PrimaryReply::Yes), (Verdict::Yes, PrimaryReply::Failed), (Verdict::Unknown, PrimaryReply::NotAsked)]
        {
            assert_eq!(disagreement(judgement(verdict), asked), None);
        }
    }
}
