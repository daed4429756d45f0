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

/// Lets a sentence wait for the next push of `user` to `gl_repository`, on disk when it returns. Blocks.
pub fn queue(ledger: &Ledger, user: Id, gl_repository: &str, topic: Topic, text: String, now: Time) -> Result<(), Damage> {
    let waiting = serde_json::to_vec(&Waiting { until: now.plus(WAITS), text }).map_err(|error| Damage(error.to_string()))?;
    let mut place = place(user, gl_repository);
    place.push(topic as u8);
    ledger.write(Writes { entries: vec![(place, Some(waiting))] })
}

/// Drops those that nobody fetched in time. Blocks.
pub fn sweep(ledger: &Ledger, now: Time) -> Result<(), Damage> {
    ledger.update(|ledger| {
        let ended = ledger.scan(PREFIX)?.into_iter().filter(|(_, value)| unless_ended(value, now).is_none());
        Ok((Writes { entries: ended.map(|(key, _)| (key, None)).collect() }, ()))
    })
}

/// Takes what waits, by what is to be written for it: it is gone then.
pub fn taking(ledger: &Ledger, user: Id, gl_repository: &str, now: Time) -> Result<(Writes, Vec<String>), Damage> {
    let waiting = ledger.scan(&place(user, gl_repository))?;
    let texts = waiting.iter().filter_map(|(_, value)| unless_ended(value, now)).collect();
    Ok((Writes { entries: waiting.into_iter().map(|(key, _)| (key, None)).collect() }, texts))
}

fn unless_ended(value: &[u8], now: Time) -> Option<String> {
    serde_json::from_slice::<Waiting>(value).ok().filter(|waiting| now < waiting.until).map(|waiting| waiting.text)
}

fn place(user: Id, gl_repository: &str) -> Vec<u8> {
    [PREFIX, &user.bytes(), gl_repository.as_bytes(), b"/"].concat()
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, Topic, WAITS, queue, sweep, taking};
    use crate::model::time::Time;
    use crate::store::generation::Options;
    use crate::store::primary::PrimaryStore;

    #[test]
    fn what_nobody_fetched_in_time_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), Options { page_cache: 1 << 20, record_cache: 16 }).unwrap();
        let (ledger, user, later) = (store.ledger(), "1".parse().unwrap(), Time::EPOCH.plus(WAITS));
        let tell = |repository: &str, now| queue(ledger, user, repository, Topic::Created, repository.to_owned(), now).unwrap();
        let waiting = |repository: &str, now| taking(ledger, user, repository, now).unwrap().1;
        tell("project-1", Time::EPOCH);
        tell("project-2", Time::EPOCH.plus(WAITS / 2));
        assert_eq!(waiting("project-1", later), [""; 0]);
        sweep(ledger, later).unwrap();
        assert_eq!(ledger.scan(PREFIX).unwrap().len(), 1, "the first is gone");
        assert_eq!(waiting("project-2", later), ["project-2"]);
    }
}
