//! Messages that wait for a user's next push: that a project was moved, that one was created. `post_receive` shows each once; those that
//! nobody fetches in time are removed. (server.md 2.1, 2.9)

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::id::Id;
use crate::model::time::Time;
use crate::primary::user_data::{self, MESSAGE_PREFIX};
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// For how long a message waits.
const MESSAGE_LIFETIME: Duration = Duration::from_secs(300);

/// What a message is about. Of each kind the latest is queued; they are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The project has another path now.
    Moved,
    /// The project was created by this push.
    Created,
}

#[derive(Serialize, Deserialize)]
struct QueuedMessage {
    until: Time,
    text: String,
}

/// Queues a message for the next push of `user` to `gl_repository`, unless the user was removed meanwhile; on disk when it returns. Blocks.
pub fn queue(store: &PrimaryStore, user: Id, gl_repository: &str, kind: MessageKind, text: String, now: Time) -> Result<(), StoreError> {
    let message =
        serde_json::to_vec(&QueuedMessage { until: now.plus(MESSAGE_LIFETIME), text }).map_err(|error| StoreError(error.to_string()))?;
    let mut key = store_key(user, gl_repository);
    key.push(kind as u8);
    store.private_store().update(|_| match user_data::user_exists(&store.directory(), user)? {
        true => Ok((PrivateWrites { entries: vec![(key, Some(message))] }, ())),
        false => Ok((PrivateWrites::default(), ())),
    })
}

/// Removes the messages that nobody fetched in time. Blocks.
pub fn remove_expired(private_store: &PrivateStore, now: Time) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let expired = private_store.scan_prefix(MESSAGE_PREFIX)?.into_iter().filter(|(_, value)| unexpired_text(value, now).is_none());
        Ok((PrivateWrites { entries: expired.map(|(key, _)| (key, None)).collect() }, ()))
    })
}

/// Returns the texts that wait, and the writes that remove them.
pub fn prepare_take(
    private_store: &PrivateStore,
    user: Id,
    gl_repository: &str,
    now: Time,
) -> Result<(PrivateWrites, Vec<String>), StoreError> {
    let waiting = private_store.scan_prefix(&store_key(user, gl_repository))?;
    let texts = waiting.iter().filter_map(|(_, value)| unexpired_text(value, now)).collect();
    Ok((PrivateWrites { entries: waiting.into_iter().map(|(key, _)| (key, None)).collect() }, texts))
}

fn unexpired_text(value: &[u8], now: Time) -> Option<String> {
    serde_json::from_slice::<QueuedMessage>(value).ok().filter(|message| now < message.until).map(|message| message.text)
}

fn store_key(user: Id, gl_repository: &str) -> Vec<u8> {
    [MESSAGE_PREFIX, &user.bytes(), gl_repository.as_bytes(), b"/"].concat()
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_LIFETIME, MESSAGE_PREFIX, MessageKind, prepare_take, queue, remove_expired};
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::model::time::Time;
    use crate::store::error::StoreError;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn expired_messages_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let zoe = Entry::parse(r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#).unwrap();
        store.commit(|_| Ok::<_, StoreError>((vec![Change::Put(zoe)], ()))).unwrap();
        let (private_store, user, later) = (store.private_store(), "1".parse().unwrap(), Time::EPOCH.plus(MESSAGE_LIFETIME));
        let tell = |repository: &str, now| queue(&store, user, repository, MessageKind::Created, repository.to_owned(), now).unwrap();
        let waiting = |repository: &str, now| prepare_take(private_store, user, repository, now).unwrap().1;
        tell("project-1", Time::EPOCH);
        tell("project-2", Time::EPOCH.plus(MESSAGE_LIFETIME / 2));
        assert_eq!(waiting("project-1", later), [""; 0]);
        remove_expired(private_store, later).unwrap();
        assert_eq!(private_store.scan_prefix(MESSAGE_PREFIX).unwrap().len(), 1, "the first is gone");
        assert_eq!(waiting("project-2", later), ["project-2"]);
    }
}
