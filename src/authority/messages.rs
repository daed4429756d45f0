//! Sentences that wait for a person's next push: that a project moved, that one was made. They are shown once, by
//! `post_receive`, or not at all if nobody pushes for a while. (server.md 2.1, 2.9)

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// For how long a sentence waits.
pub const WAITS: Duration = Duration::from_secs(300);

const PREFIX: &[u8] = b"message/";

/// Of what a sentence is; of each there is one, the latest. They are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The project has another path now.
    Moved,
    /// The project was made by this push.
    Created,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    until: Time,
    text: String,
}

/// Lets a sentence wait for the next push of `user` to `gl_repository`. Blocks.
pub fn queue(ledger: &Ledger, user: Id, gl_repository: &str, topic: Topic, text: String, now: Time) -> Result<(), Damage> {
    let waiting = serde_json::to_vec(&Waiting { until: now.plus(WAITS), text }).map_err(|error| Damage(error.to_string()))?;
    let mut place = place(user, gl_repository);
    place.push(topic as u8);
    ledger.write(Writes { entries: vec![(place, Some(waiting))] })
}

/// Takes what waits: it is gone then. Blocks.
pub fn take(ledger: &Ledger, user: Id, gl_repository: &str, now: Time) -> Result<Vec<String>, Damage> {
    ledger.update(|ledger| {
        let mut texts = Vec::new();
        let mut writes = Writes::default();
        for (key, value) in ledger.scan(&place(user, gl_repository))? {
            writes.entries.push((key, None));
            if let Ok(waiting) = serde_json::from_slice::<Waiting>(&value)
                && now < waiting.until
            {
                texts.push(waiting.text);
            }
        }
        Ok((writes, texts))
    })
}

fn place(user: Id, gl_repository: &str) -> Vec<u8> {
    [PREFIX, &user.bytes(), gl_repository.as_bytes(), b"/"].concat()
}
