//! What `sidegate check` finds: a list in the order in which it was looked at. Nothing that is found hides what comes after it.

use std::fmt::Display;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// This is as it should be, or it is a fact that an operator should know.
    Ok,
    /// The daemon serves, and somebody should look.
    Warning,
    /// The daemon does not start, or people are kept out, or let in who should not be.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is so, with the file, the setting or the user in question.
    pub what: String,
    /// What to do; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a fact that is as it should be.
    pub fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, what: what.into(), remedy: None });
    }

    /// Adds a warning, with what to do.
    pub fn warn(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, what: what.into(), remedy: Some(remedy.into()) });
    }

    /// Adds an error, with what to do.
    pub fn fail(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Error, what: what.into(), remedy: Some(remedy.into()) });
    }

    /// Adds the error of another part of the program. Its text says what to do after its last `; `; `otherwise` is the remedy where it does
    /// not.
    pub fn refuse(&mut self, error: impl Display, otherwise: &str) {
        let text = error.to_string();
        match text.rsplit_once("; ") {
            Some((what, remedy)) => self.fail(what, remedy),
            None => self.fail(text, otherwise),
        }
    }

    /// Returns how many findings have this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// Returns the findings in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Findings, Level};

    #[test]
    fn an_error_of_another_part_is_split_into_what_and_remedy() {
        let mut found = Findings::default();
        found.refuse("/s: mode 0644; a copy; use LoadCredential=", "look");
        found.refuse("/s: no such file", "make it");
        let texts: Vec<_> = found.as_slice().iter().map(|one| (one.what.as_str(), one.remedy.as_deref().unwrap())).collect();
        assert_eq!(texts, [("/s: mode 0644; a copy", "use LoadCredential="), ("/s: no such file", "make it")]);
        assert_eq!((found.count(Level::Error), found.count(Level::Ok)), (2, 0));
    }
}
