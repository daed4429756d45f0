//! A push that was accepted, as Gitaly reports it, and the messages for the user who pushed.

use crate::model::access_request::ClaimedActor;

/// A push: its repository, its author and its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEvent {
    /// The `gl_repository`.
    pub gl_repository: String,
    /// The identity of the user or key that pushed.
    pub claimed_actor: ClaimedActor,
    /// Lines of old revision, new revision and ref.
    pub changes: String,
    /// The options of the push, in their order.
    pub push_options: Vec<String>,
}

/// How prominently a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Between two lines of equals signs.
    Alert,
    /// Without decoration.
    Basic,
}

/// The messages after a push, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushMessages(Vec<(MessageType, String)>);

impl PushMessages {
    /// Adds an alert before all other messages.
    pub fn add_alert(&mut self, text: String) {
        self.0.insert(0, (MessageType::Alert, text));
    }

    /// Adds a basic message after all others.
    pub fn add_basic(&mut self, text: String) {
        self.0.push((MessageType::Basic, text));
    }

    /// Returns the messages in their order.
    pub fn iter(&self) -> impl Iterator<Item = (MessageType, &str)> {
        self.0.iter().map(|(message_type, text)| (*message_type, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageType, PushMessages};

    #[test]
    fn alerts_come_first_the_newest_before_the_others_and_basic_messages_follow_in_order() {
        let mut messages = PushMessages::default();
        messages.add_basic("1".to_owned());
        messages.add_alert("2".to_owned());
        messages.add_basic("3".to_owned());
        messages.add_alert("4".to_owned());
        let shown: Vec<_> = messages.iter().collect();
        assert_eq!(shown, [(MessageType::Alert, "4"), (MessageType::Alert, "2"), (MessageType::Basic, "1"), (MessageType::Basic, "3")]);
    }
}
