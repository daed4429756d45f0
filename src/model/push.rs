//! A push that was written, as Gitaly tells of it, and what is said to the person who pushed.

use crate::model::access_request::ClaimedActor;

/// What was pushed, where and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEvent {
    /// The repository's word.
    pub gl_repository: String,
    /// Who pushed.
    pub claimed_actor: ClaimedActor,
    /// Lines of old revision, new revision and ref.
    pub changes: String,
    /// The options of the push, in their order.
    pub push_options: Vec<String>,
}

/// How loudly something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Between two lines of equals signs.
    Alert,
    /// Plainly.
    Basic,
}

/// What is said after a push, in the order in which it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushMessages(Vec<(MessageType, String)>);

impl PushMessages {
    /// An alert stands in front of all others.
    pub fn add_alert(&mut self, text: String) {
        self.0.insert(0, (MessageType::Alert, text));
    }

    /// A basic message stands behind all others.
    pub fn add_basic(&mut self, text: String) {
        self.0.push((MessageType::Basic, text));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (MessageType, &str)> {
        self.0.iter().map(|(tone, text)| (*tone, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageType, PushMessages};

    #[test]
    fn alerts_stand_in_front_the_newest_first_and_the_rest_behind_in_order() {
        let mut messages = PushMessages::default();
        messages.add_basic("1".to_owned());
        messages.add_alert("2".to_owned());
        messages.add_basic("3".to_owned());
        messages.add_alert("4".to_owned());
        let shown: Vec<_> = messages.iter().collect();
        assert_eq!(shown, [(MessageType::Alert, "4"), (MessageType::Alert, "2"), (MessageType::Basic, "1"), (MessageType::Basic, "3")]);
    }
}
