//! The steps of an explanation, in the order in which sshd and gitlab-shell ask: the key or the name, then access.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::api::request::RequestTime;
use crate::model::access_decision::{AccessDecision, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor};
use crate::model::explanation::{DecidedBy, Explanation, Fact, FactSource, KeyFacts, Rule, Step, StepKind, Verdict};
use crate::model::freshness::FreshnessClass;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::rules::explain::{Asker, DirectoryFindings};
use crate::sidecar::explain::evidence::{self, KeptFinding, PrimaryAnswer, access_class, ask, look_into};
use crate::sidecar::explain::facts::{directory_facts, host_facts};
use crate::sidecar::explain::judgement::{self, Judgement, KeptHeld, PrimaryReply};
use crate::sidecar::explain::question::{ExplainQuestion, OfferedKey};
use crate::sidecar::explain::sentences::{self, Subject};
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire;
use crate::wire::http::params::encode_form;

/// Why a fingerprint alone may not be judged.
const NOT_ASKABLE: &str = "nothing that this host holds has it, and the primary can be asked about a key, but not about a fingerprint";

/// Explains a question.
pub async fn explain(state: &Arc<SidecarState>, mut question: ExplainQuestion, time: RequestTime) -> Explanation {
    let view = state.local_view(FreshnessClass::Keys, time).await;
    let findings = look_into(&view, &question, time);
    if let Some(kept) = &state.kept {
        kept.answers.wait_until_open().await;
    }
    question.offered = question.offered.take().or_else(|| offered_key(state, &question, findings.as_ref()));
    let mut explainer = Explainer {
        state,
        time,
        view,
        findings,
        question,
        steps: Vec::new(),
        facts: Vec::new(),
        notes: Vec::new(),
        for_a_yes: Vec::new(),
        person: None,
        key_id: None,
    };
    explainer.identify().await;
    explainer.judge_account();
    explainer.judge_access().await;
    explainer.add_host_facts();
    explainer.finish()
}

/// Returns the key as sshd would offer it: from the directory, or from a kept answer.
fn offered_key(state: &SidecarState, question: &ExplainQuestion, findings: Option<&DirectoryFindings>) -> Option<OfferedKey> {
    if let Some(key) = findings.and_then(|findings| findings.key.as_ref()) {
        return Some(OfferedKey { text: key.key.base64(), blob: key.key.blob().to_vec() });
    }
    let answers = &state.kept.as_ref()?.answers;
    let body = match &question.asker {
        Asker::Fingerprint(fingerprint) => answers.body(&KeptQuestion::of_fingerprint(fingerprint))?,
        Asker::KeyId(id) => answers.key_body(*id)?,
        Asker::User(_) => return None,
    };
    let body: Value = serde_json::from_slice(&body.expand()?).ok()?;
    let key: PublicKey = body["key"].as_str()?.parse().ok()?;
    Some(OfferedKey { text: key.base64(), blob: key.blob().to_vec() })
}

struct Explainer<'a> {
    state: &'a Arc<SidecarState>,
    time: RequestTime,
    view: LocalView,
    findings: Option<DirectoryFindings>,
    question: ExplainQuestion,
    steps: Vec<Step>,
    facts: Vec<Fact>,
    notes: Vec<String>,
    for_a_yes: Vec<String>,
    /// Who asks, as the primary or a kept answer names them.
    person: Option<String>,
    /// The key's id, as the directory, a kept answer or the primary says.
    key_id: Option<Id>,
}

/// The evidence of one step.
struct Evidence {
    kind: StepKind,
    judgement: Judgement,
    /// The age of what decided.
    age: Option<Duration>,
    kept: Option<KeptFinding>,
    primary: PrimaryAnswer,
    /// The refusal of the local rules, where they refuse.
    local_rule: Option<Rule>,
}

impl Explainer<'_> {
    /// The first step: the key that sshd looks up, or the name or id that is known or not.
    async fn identify(&mut self) {
        let is_key = self.question.offered.is_some() || matches!(self.question.asker, Asker::Fingerprint(_));
        let query = if is_key { self.key_query() } else { self.identity_query() };
        let primary = match &query {
            Some(query) => ask(self.state, query.clone()).await,
            None => PrimaryAnswer::not_asked(),
        };
        let unasked = || UpstreamQuery::get(QueryKind::Discover, String::new());
        let query = query.unwrap_or_else(unasked);
        let kept_question = match &self.question.asker {
            _ if self.question.offered.is_some() => Some(KeptQuestion::authorized_keys(query.clone())),
            Asker::Fingerprint(fingerprint) => Some(KeptQuestion::of_fingerprint(fingerprint)),
            Asker::KeyId(id) => KeptQuestion::discover(&ClaimedActor::Key(Some(*id)), query.clone()),
            Asker::User(claimed) => KeptQuestion::discover(claimed, query.clone()),
        };
        let local = evidence::of_identity(self.state, &self.view, self.findings.as_ref(), &query, is_key);
        let kept = self.kept_finding(kept_question.as_ref());
        let judgement = match (&kept, &self.state.mirror) {
            (None, _) => judgement::of_directory(local, primary.asked),
            (Some(_), _) if self.is_shadow() => judgement::of_primary_alone(primary.asked),
            (Some(kept), Some(_)) => judgement::of_mirror(local, kept.evidence, primary.asked),
            (Some(kept), None) => judgement::of_kept(kept.evidence, primary.asked),
        };
        self.learn_names(&primary.body);
        if let Some(body) = kept_question.as_ref().and_then(|question| self.state.kept.as_ref()?.answers.body(question)?.expand()) {
            self.learn_names(&serde_json::from_slice(&body).unwrap_or(Value::Null));
        }
        let is_signing = is_key && self.findings.as_ref().is_some_and(|findings| findings.key.is_some() && !findings.is_login_key());
        let local_rule =
            is_signing.then(|| Rule { code: "signing_only".to_owned(), text: "the key is only for signing".to_owned(), message: None });
        let kind = if is_key { StepKind::Login } else { StepKind::Identity };
        let age = self.age_of(judgement, kept, self.view.age);
        self.add_step(Evidence { kind, judgement, age, kept, primary, local_rule });
    }

    /// Adds what is refused to an account whatever it asks for, where nothing in particular is asked.
    fn judge_account(&mut self) {
        let refused = self.findings.as_ref().and_then(|findings| findings.account_refusal.clone());
        let Some(refused) = refused.filter(|_| self.question.access.is_none() && self.verdict() != Verdict::No) else { return };
        let rule = sentences::rule(refused.reason, Some(&refused.message));
        let judgement = Judgement { verdict: Verdict::No, decided_by: DecidedBy::Directory, degraded: None };
        let (age, primary) = (self.view.age, PrimaryAnswer::not_asked());
        self.add_step(Evidence { kind: StepKind::Account, judgement, age, kept: None, primary, local_rule: Some(rule) });
    }

    /// The second step: whether it may be done. Not asked by gitlab-shell where sshd lets nobody in.
    async fn judge_access(&mut self) {
        let Some(request) = self.question.access.clone() else { return };
        if self.verdict() == Verdict::No {
            return;
        }
        let request = AllowedRequest { claimed_actor: self.claimed_actor(), ..request };
        let query = UpstreamQuery::post(QueryKind::Allowed, "/api/v4/internal/allowed", wire::allowed::encode_request(&request));
        // As old as it is when gitlab-shell would ask, and not after the primary was waited for.
        let now = RequestTime::now();
        let view = self.state.current_view(access_class(&request), now);
        // And by the directory of that moment: what was taken away meanwhile is away.
        self.findings = look_into(&view, &self.question, now).or_else(|| self.findings.take());
        // With `_any` a push that the rules would let create a project does create it: explaining must not.
        let may_ask = request.action != Action::ReceivePack && request.claimed_actor != ClaimedActor::Key(None);
        let primary = match may_ask {
            true => ask(self.state, query.clone()).await,
            false => self.unasked(),
        };
        let evaluation =
            self.findings.as_ref().and_then(|findings| findings.access.as_ref()).filter(|_| view.view_for_authorization().is_some());
        let local = evidence::of_access(self.state, &view, evaluation, &query, &request.claimed_actor);
        let local_rule = match evaluation.map(|evaluation| &evaluation.decision) {
            Some(AccessDecision::Denied(refusal)) => Some(sentences::rule(refusal.reason, Some(&refusal.message))),
            _ => None,
        };
        let creates = evaluation.is_some_and(|evaluation| matches!(evaluation.decision, AccessDecision::CreatesProject(_)));
        let redirected = evaluation.is_some_and(|evaluation| evaluation.found_by == FoundBy::Redirect);
        let check_ip = self.state.kept.as_ref().map(|kept| kept.answers.check_ip);
        let kept_question = check_ip.and_then(|check_ip| KeptQuestion::allowed(&request, check_ip, query.clone()));
        let kept = self.kept_finding(kept_question.as_ref());
        let judgement = match kept {
            Some(_) if self.is_shadow() => judgement::of_primary_alone(primary.asked),
            Some(kept) => judgement::of_kept(kept.evidence, primary.asked),
            None if creates && view.is_fresh() && primary.asked == PrimaryReply::NotAsked => {
                Judgement { verdict: Verdict::Yes, decided_by: DecidedBy::Directory, degraded: None }
            }
            None => judgement::of_access(local, primary.asked),
        };
        self.note_access(&request, primary.asked, judgement, creates, redirected);
        let age = self.age_of(judgement, kept, view.age);
        self.add_step(Evidence { kind: StepKind::Access, judgement, age, kept, primary, local_rule });
    }

    /// What the primary is not asked; while it is found not to answer, nobody would ask it.
    fn unasked(&self) -> PrimaryAnswer {
        match self.state.upstream.channel().addresses.outage() {
            Some(outage) => {
                PrimaryAnswer { asked: PrimaryReply::Failed, failure: Some(outage.reason.to_string()), ..PrimaryAnswer::not_asked() }
            }
            None => PrimaryAnswer::not_asked(),
        }
    }

    fn note_access(&mut self, request: &AllowedRequest, asked: PrimaryReply, judgement: Judgement, creates: bool, redirected: bool) {
        if creates {
            self.notes.push("the project does not exist: this push would create it, which the primary does".to_owned());
        }
        if redirected {
            self.notes
                .push("the path is a former one of the project: the primary is asked, and tells the person the present one".to_owned());
        }
        if !matches!(asked, PrimaryReply::NotAsked | PrimaryReply::Failed) {
            self.notes.push(
                "the primary was asked as gitlab-shell asks: it counts that as a use of the key and within the person's limits".to_owned(),
            );
        }
        if asked == PrimaryReply::NotAsked && request.action == Action::ReceivePack && judgement.decided_by != DecidedBy::KeptAnswer {
            self.notes.push("the primary was not asked: a push could create the project there. It has the last word on a push".to_owned());
        }
        if asked == PrimaryReply::NotAsked && request.claimed_actor == ClaimedActor::Key(None) {
            self.notes
                .push("the primary was not asked about access: it knows keys by their ids, and the id of this one is not known".to_owned());
        }
    }

    /// Returns how gitlab-shell names who asks.
    fn claimed_actor(&self) -> ClaimedActor {
        match &self.question.asker {
            Asker::User(claimed) => claimed.clone(),
            Asker::KeyId(id) => ClaimedActor::Key(Some(*id)),
            Asker::Fingerprint(_) => ClaimedActor::Key(self.key_id),
        }
    }

    fn key_query(&self) -> Option<UpstreamQuery> {
        let offered = self.question.offered.as_ref()?;
        Some(UpstreamQuery::authorized_keys(offered.blob.clone(), &offered.text))
    }

    fn identity_query(&self) -> Option<UpstreamQuery> {
        let (name, value) = match &self.question.asker {
            Asker::KeyId(id) | Asker::User(ClaimedActor::Key(Some(id))) => ("key_id", id.to_string()),
            Asker::User(ClaimedActor::User(Some(id))) => ("user_id", id.to_string()),
            Asker::User(ClaimedActor::Username(name)) => ("username", name.clone()),
            Asker::User(_) | Asker::Fingerprint(_) => return None,
        };
        let target = format!("/api/v4/internal/discover?{}", encode_form([(name, value.as_str())]));
        Some(UpstreamQuery::get(QueryKind::Discover, target))
    }

    fn kept_finding(&self, question: Option<&KeptQuestion>) -> Option<KeptFinding> {
        let kept = self.state.kept.as_ref()?;
        let nothing = judgement::KeptEvidence { held: KeptHeld::Nothing, comes_back: false };
        let unkept = KeptFinding { evidence: nothing, age: None, is_from_file: false, is_asker_refused: false };
        Some(question.map_or(unkept, |question| evidence::of_kept(self.state, kept, question, self.time)))
    }

    fn is_shadow(&self) -> bool {
        self.state.kept.as_ref().is_some_and(|kept| kept.shadow.is_some())
    }

    /// Takes the names out of an answer: of `discover` or `allowed` the username, of `authorized_keys` the id and the owner's name.
    fn learn_names(&mut self, body: &Value) {
        let comment = || body["key"].as_str().and_then(|line| line.splitn(3, ' ').nth(2));
        let name = body["username"].as_str().or_else(|| body["gl_username"].as_str()).or_else(comment);
        self.person = self.person.take().or_else(|| name.map(str::to_owned));
        if body["key"].is_string() {
            self.key_id = self.key_id.or_else(|| body["id"].as_u64().and_then(|id| id.try_into().ok()));
        }
    }

    fn age_of(&self, judgement: Judgement, kept: Option<KeptFinding>, view_age: Option<Duration>) -> Option<Duration> {
        match judgement.decided_by {
            DecidedBy::Directory => view_age,
            DecidedBy::KeptAnswer => kept.and_then(|kept| kept.age),
            DecidedBy::Primary | DecidedBy::Nobody => None,
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict::of_all(self.steps.iter().map(|step| step.verdict))
    }

    /// Returns why nobody can answer.
    fn failure(&self, primary: &PrimaryAnswer) -> String {
        let outage = self.state.upstream.channel().addresses.outage();
        match (outage, primary.asked) {
            (Some(outage), _) => format!(
                "the primary has not answered since {} ({}), and nothing that this host holds may be given",
                outage.since, outage.reason
            ),
            (None, PrimaryReply::Failed) => {
                format!(
                    "the primary gave no answer ({}), and nothing that this host holds may be given",
                    primary.failure.as_deref().unwrap_or_default()
                )
            }
            (None, PrimaryReply::Rejected) => {
                format!("the primary does not take the question ({})", primary.message().unwrap_or("it says not why"))
            }
            (None, _) => "the primary cannot be asked it, and nothing that this host holds may be given".to_owned(),
        }
    }

    fn subject(&self) -> Subject {
        let findings = self.findings.as_ref();
        let username = findings.and_then(DirectoryFindings::user_facts).map(|user| user.username);
        let id = findings.and_then(|findings| findings.key.as_ref()).map(|key| key.id).or(self.key_id);
        let key = match (&self.question.asker, id) {
            (Asker::Fingerprint(fingerprint), Some(id)) => Some(format!("key {id} ({fingerprint})")),
            (Asker::Fingerprint(fingerprint), None) => Some(format!("key {fingerprint}")),
            (Asker::KeyId(id), _) => Some(format!("key {id}")),
            (Asker::User(_), _) => None,
        };
        let is_deploy = findings.and_then(|findings| findings.key.as_ref()).is_some_and(|key| key.deploy);
        let named = match &self.question.asker {
            Asker::User(ClaimedActor::Username(name)) => Some(format!("user {name}")),
            Asker::User(ClaimedActor::User(Some(id))) => Some(format!("user {id}")),
            _ => key.clone(),
        };
        let known = username.or_else(|| self.person.clone());
        let who = match known {
            _ if is_deploy => named.unwrap_or_default(),
            Some(name) => name,
            None => named.unwrap_or_else(|| "nobody".to_owned()),
        };
        Subject { who, key, act: self.question.access.as_ref().map(sentences::act) }
    }

    fn add_step(&mut self, evidence: Evidence) {
        let Evidence { kind, judgement, age, kept, primary, local_rule } = evidence;
        if self.person.is_none() {
            self.learn_names(&primary.body);
        }
        let stated =
            primary.message().filter(|_| primary.asked == PrimaryReply::No && kind == StepKind::Access).map(sentences::stated_rule);
        let rule = match judgement.decided_by {
            _ if judgement.verdict != Verdict::No => None,
            DecidedBy::Primary => stated.or(local_rule.filter(|_| kind != StepKind::Login)),
            _ => local_rule,
        };
        let can_be_asked = primary.asked != PrimaryReply::NotAsked || kind != StepKind::Login;
        let failure = if can_be_asked { self.failure(&primary) } else { NOT_ASKABLE.to_owned() };
        let sentence = sentences::step(kind, judgement.verdict, &self.subject(), rule.as_ref(), &failure);
        self.for_a_yes.extend(sentences::for_a_yes(kind, judgement.verdict, rule.as_ref(), can_be_asked));
        self.notes.extend(sentences::disagreement(judgement, primary.asked));
        self.add_kept_fact(kind, kept);
        let name = match kind {
            StepKind::Login => "authorized_keys",
            StepKind::Identity => "discover",
            StepKind::Account | StepKind::Access => "allowed",
        };
        if let Some(text) = sentences::primary_fact(name, primary.asked, primary.status, primary.message(), primary.failure.as_deref()) {
            self.facts.push(Fact { text, source: FactSource::Primary, age_seconds: None });
        }
        let Judgement { verdict, decided_by, degraded } = judgement;
        self.steps.push(Step {
            question: kind,
            verdict,
            decided_by,
            age_seconds: age.map(|age| age.as_secs_f64()),
            degraded,
            rule,
            sentence,
        });
    }

    fn add_kept_fact(&mut self, kind: StepKind, kept: Option<KeptFinding>) {
        let Some(kept) = kept else { return };
        let what = if kind == StepKind::Access { "about access" } else { "about who this is" };
        let origin = if kept.is_from_file { ", from a file that was loaded" } else { "" };
        let text = match kept.evidence.held {
            _ if kept.is_asker_refused => {
                "no kept yes is given: the followed feed has this account as refused, or this key as expired".to_owned()
            }
            _ if self.is_shadow() && kept.age.is_some() => format!("an answer {what} is kept and not given: this host runs in shadow mode"),
            KeptHeld::Fresh => format!("a yes {what} is kept, young enough to be given without asking{origin}"),
            _ if kept.evidence.comes_back => {
                "a yes that the primary takes back is given all the same, because it does not know most keys".to_owned()
            }
            KeptHeld::Stale => format!("a yes {what} is kept, given only while the primary fails or is slow{origin}"),
            KeptHeld::GivenBack => "a yes that the primary took back is given, because the primary does not know most keys".to_owned(),
            KeptHeld::NotKnown => "the primary did not know this key a moment ago, and is not asked again yet".to_owned(),
            KeptHeld::Nothing => format!("no answer {what} is kept that may be given"),
        };
        self.facts.push(Fact { text, source: FactSource::KeptAnswer, age_seconds: kept.age.map(|age| age.as_secs_f64()) });
    }

    /// Adds what the directory says, and the state of this host.
    fn add_host_facts(&mut self) {
        let source = if self.state.mirror.is_some() { FactSource::Mirror } else { FactSource::Directory };
        let age = self.view.age.map(|age| age.as_secs_f64());
        let texts = self.findings.as_ref().map(directory_facts).unwrap_or_default();
        let known = texts.into_iter().map(|text| Fact { text, source, age_seconds: age });
        self.facts.splice(0..0, known);
        self.facts.extend(host_facts(self.state, &self.view, self.time).into_iter().map(|text| Fact {
            text,
            source: FactSource::Host,
            age_seconds: None,
        }));
    }

    fn finish(mut self) -> Explanation {
        let verdict = self.verdict();
        let deciding = self.steps.iter().rev().find(|step| step.verdict == verdict).map_or("", |step| &step.sentence);
        let sentence = sentences::verdict(verdict, deciding);
        self.notes.push(past_note());
        let findings = self.findings.as_ref();
        let key = findings.and_then(DirectoryFindings::key_facts).or_else(|| self.kept_key());
        let user = findings.and_then(DirectoryFindings::user_facts);
        let project = findings.and_then(DirectoryFindings::project_facts);
        Explanation {
            verdict,
            sentence,
            key,
            user,
            project,
            steps: self.steps,
            facts: self.facts,
            for_a_yes: self.for_a_yes,
            notes: self.notes,
        }
    }

    /// Returns the key as kept answers and the primary know it, where no directory is followed.
    fn kept_key(&self) -> Option<KeyFacts> {
        let id = match &self.question.asker {
            Asker::KeyId(id) if self.steps.first().is_some_and(|step| step.verdict == Verdict::Yes) => Some(*id),
            _ => self.key_id,
        }?;
        let fingerprint = match (&self.question.asker, &self.question.offered) {
            (Asker::Fingerprint(fingerprint), _) => Some(fingerprint.to_string()),
            (_, Some(offered)) => Some(crate::model::key::Fingerprint::of(&offered.blob).to_string()),
            _ => None,
        };
        Some(KeyFacts { id: id.number(), fingerprint, algorithm: None, user_id: None, deploy: None, expires_at: None })
    }
}

/// Returns where to look for what was answered before.
fn past_note() -> String {
    if crate::api::decision_log::is_enabled() {
        "this is how it is now; what was answered at another time is in the log of decisions: `journalctl -u sidegate`, by fingerprint or key id"
    } else {
        "this is how it is now; what was answered at another time is not kept. `decisions = true` in [log] writes it to the log from then on"
    }
    .to_owned()
}
