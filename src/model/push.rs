//! A push that was written, as Gitaly tells of it, and what is said to the person who pushed.

use crate::model::question::Claimant;

/// What was pushed, where and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The repository's word.
    pub gl_repository: String,
    /// Who pushed.
    pub claimant: Claimant,
    /// Lines of old revision, new revision and ref.
    pub changes: String,
    /// The options of the push, in their order.
    pub push_options: Vec<String>,
}

/// How loudly something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Between two lines of equals signs.
    Alert,
    /// Plainly.
    Basic,
}

/// What is said after a push, in the order in which it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages(Vec<(Tone, String)>);

impl Messages {
    /// An alert stands in front of all others.
    pub fn alert(&mut self, text: String) {
        self.0.insert(0, (Tone::Alert, text));
    }

    /// A basic message stands behind all others.
    pub fn basic(&mut self, text: String) {
        self.0.push((Tone::Basic, text));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Tone, &str)> {
        self.0.iter().map(|(tone, text)| (*tone, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Messages, Tone};

    #[test]
    fn alerts_stand_in_front_the_newest_first_and_the_rest_behind_in_order() {
        let mut messages = Messages::default();
        messages.basic("1".to_owned());
        messages.alert("2".to_owned());
        messages.basic("3".to_owned());
        messages.alert("4".to_owned());
        let shown: Vec<_> = messages.iter().collect();
        assert_eq!(shown, [(Tone::Alert, "4"), (Tone::Alert, "2"), (Tone::Basic, "1"), (Tone::Basic, "3")]);
    }
}
