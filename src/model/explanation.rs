//! The explanation of an answer, as `explain` gives it: the verdict, how each step of it was reached, the facts with their source and age, and
//! what would have to change for a yes. Its JSON is what `sidegate explain --json` prints.

use serde::{Deserialize, Serialize};

/// An explanation of one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The verdict of all steps together: no if one says no, else unknown if one could not be judged.
    pub verdict: Verdict,
    /// The verdict as a sentence.
    pub sentence: String,
    /// The steps, in the order in which sshd and gitlab-shell ask.
    pub steps: Vec<Step>,
    /// The key, as far as it is known here.
    pub key: Option<KeyFacts>,
    /// The user, as far as they are known here.
    pub user: Option<UserFacts>,
    /// The project, as far as it is known here.
    pub project: Option<ProjectFacts>,
    /// What the verdict rests on, one sentence each.
    pub facts: Vec<Fact>,
    /// What would have to change for a yes, one sentence each; empty for a yes.
    pub for_a_yes: Vec<String>,
    /// What else to know, one sentence each.
    pub notes: Vec<String>,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It could not be judged: whoever asks now is told of an outage.
    Unknown,
}

/// One step of an explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is asked.
    pub question: StepKind,
    /// How it is answered at this moment.
    pub verdict: Verdict,
    /// Who answers it.
    pub decided_by: DecidedBy,
    /// The age of what decided, in seconds; absent for what was asked now.
    pub age_seconds: Option<f64>,
    /// Why the answer is given although the primary does not give it; absent where it is not so.
    pub degraded: Option<Degraded>,
    /// The rule that decided; absent for a yes, and where nobody says.
    pub rule: Option<Rule>,
    /// The step as a sentence.
    pub sentence: String,
}

/// What a step asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// `authorized_keys`: does sshd let this key in?
    Login,
    /// `discover`: is there such a key or user?
    Identity,
    /// May this account and key use Git at all?
    Account,
    /// `allowed`: may this be done?
    Access,
}

/// Who answers a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// The directory that this host follows, or the primary's own.
    Directory,
    /// An answer of the primary that this host has kept.
    KeptAnswer,
    /// The primary, which was asked now.
    Primary,
    /// Nobody: there is no answer.
    Nobody,
}

/// Why an answer is given that the primary does not give at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// It fails.
    PrimaryUnreachable,
    /// It does not know most of the keys that it knew.
    MassNegative,
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its stable name, as `user_blocked`; `unknown` for a sentence of a GitLab that this program does not know.
    pub code: String,
    /// It in words, as the end of a sentence with "because".
    pub text: String,
    /// What the person reads.
    pub message: Option<String>,
}

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The fact.
    pub text: String,
    /// Where it comes from.
    pub source: FactSource,
    /// Its age in seconds; absent for what is so now.
    pub age_seconds: Option<f64>,
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactSource {
    /// The directory of the primary, as this host holds it.
    Directory,
    /// The users and keys of a mirror, as this host holds them.
    Mirror,
    /// An answer of the primary that this host keeps.
    KeptAnswer,
    /// The primary, asked now.
    Primary,
    /// This host itself.
    Host,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// Its id.
    pub id: u64,
    /// Its fingerprint, as the logs show it; absent where only the id is known.
    pub fingerprint: Option<String>,
    /// Its algorithm, as `ssh-ed25519`.
    pub algorithm: Option<String>,
    /// Its user's id; absent for a deploy key, and where it is not known.
    pub user_id: Option<u64>,
    /// Whether it is a deploy key.
    pub deploy: Option<bool>,
    /// When it ends.
    pub expires_at: Option<String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFacts {
    /// Their id.
    pub id: u64,
    /// Their username.
    pub username: String,
    /// The state of the account, as `active` or `blocked`; absent where it is not known.
    pub state: Option<String>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFacts {
    /// Its id.
    pub id: u64,
    /// Its full path.
    pub path: String,
    /// `private`, `internal` or `public`.
    pub visibility: String,
    /// The user's role in it, as `developer`; absent for none.
    pub role: Option<String>,
}

impl Verdict {
    /// Returns the verdict of several steps, of which each must say yes.
    #[must_use]
    pub fn of_all(steps: impl IntoIterator<Item = Self>) -> Self {
        steps.into_iter().fold(Self::Yes, |all, step| match (all, step) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn one_no_is_a_no_and_what_is_not_known_is_no_yes() {
        assert_eq!(Verdict::of_all([]), Verdict::Yes);
        assert_eq!(Verdict::of_all([Verdict::Yes, Verdict::Unknown]), Verdict::Unknown);
        assert_eq!(Verdict::of_all([Verdict::Unknown, Verdict::No, Verdict::Yes]), Verdict::No);
    }
}
