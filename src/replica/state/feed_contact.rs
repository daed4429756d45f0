//! Whether the feed is connected, since when, and how often that has changed: noted together, so that the status never contradicts itself.

use crate::model::time::Time;
use crate::replica::state::replica_state::StatusDetails;

/// What became of the connection to the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedContact {
    /// It is up, or another one has taken its place.
    Connected,
    /// It is down.
    Lost,
}

impl StatusDetails {
    /// Records what became of the connection. Whenever it is up, one more connection was made than was lost; otherwise as many.
    pub fn record_contact(&mut self, contact: FeedContact, now: Time) {
        let was_connected = self.connected_since.is_some();
        if was_connected {
            self.counters.disconnects += 1;
        }
        match contact {
            FeedContact::Connected => {
                self.counters.connects += 1;
                self.connected_since.get_or_insert(now);
                self.lost_since = None;
            }
            FeedContact::Lost => {
                self.connected_since = None;
                self.lost_since = Some(self.lost_since.filter(|_| !was_connected).unwrap_or(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::FeedContact;
    use crate::model::time::Time;
    use crate::replica::state::replica_state::StatusDetails;

    fn at(second: usize) -> Time {
        Time::EPOCH.plus(Duration::from_secs(second as u64))
    }

    proptest! {
        #[test]
        fn what_is_counted_agrees_with_whether_it_is_connected(contacts in proptest::collection::vec(any::<bool>(), 1..20)) {
            let mut details = StatusDetails::default();
            let mut last_change = 0;
            for (second, connected) in contacts.iter().copied().enumerate() {
                if second > 0 && contacts[second - 1] != connected {
                    last_change = second;
                }
                details.record_contact(if connected { FeedContact::Connected } else { FeedContact::Lost }, at(second));
                prop_assert_eq!(details.counters.connects - details.counters.disconnects, u64::from(connected));
                let since = (details.connected_since, details.lost_since);
                prop_assert_eq!(since, if connected { (Some(at(last_change)), None) } else { (None, Some(at(last_change))) });
            }
        }
    }
}
