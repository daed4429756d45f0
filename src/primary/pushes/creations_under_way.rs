//! Which projects are being created: from the reservation of an id and a path on the storage until the commit, or until Gitaly's answer where
//! nobody waits for it any more. What is reserved for one of them is not given up for another's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::id::Id;

/// The ids of the projects that are being created, with how many pushes create each. Cheap to clone.
#[derive(Clone, Default)]
pub struct CreationsUnderWay(Arc<Mutex<BTreeMap<Id, usize>>>);

/// One push that creates a project, until it is dropped.
pub struct CreationUnderWay {
    all: CreationsUnderWay,
    id: Id,
}

impl CreationsUnderWay {
    /// Notes that a push creates the project with this id. Call it under the directory's writer, with the reservation.
    #[must_use]
    pub fn begin(&self, id: Id) -> CreationUnderWay {
        *self.lock().entry(id).or_default() += 1;
        CreationUnderWay { all: self.clone(), id }
    }

    /// Returns whether a push creates the project with this id.
    #[must_use]
    pub fn contains(&self, id: Id) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CreationUnderWay {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(pushes) = all.get_mut(&self.id) {
            *pushes -= 1;
            if *pushes == 0 {
                all.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CreationsUnderWay;

    #[test]
    fn a_project_is_being_created_until_the_last_push_to_it_has_ended() {
        let all = CreationsUnderWay::default();
        let id = 7.try_into().unwrap();
        let (first, second) = (all.begin(id), all.begin(id));
        drop(first);
        assert!(all.contains(id) && !all.contains(8.try_into().unwrap()));
        drop(second);
        assert!(!all.contains(id));
    }
}
