//! How many bytes may be held for callers who have not shown who they are: all of them together have one allowance.
//!
//! Anybody who can open the socket can send a body in which a secret may still be found. What is held meanwhile is counted as it
//! arrives, and whoever finds no room is sent away at once, so that memory stays bounded and nobody waits for an attacker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The allowance. `Clone` shares it.
#[derive(Clone, Debug)]
pub struct Allowance {
    left: Arc<AtomicUsize>,
}

/// What one request holds of it; given back when dropped.
#[derive(Debug)]
pub struct Share {
    /// `None`: of one who is believed, and not counted.
    left: Option<Arc<AtomicUsize>>,
    held: usize,
}

/// Others hold what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Allowance {
    /// So many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// The share of one more request, which holds nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { left: Some(Arc::clone(&self.left)), held: 0 }
    }
}

impl Share {
    /// The share of a caller who is believed: it may hold anything.
    #[must_use]
    pub const fn of_the_believed() -> Self {
        Self { left: None, held: 0 }
    }

    /// Holds so many bytes more, or as many as before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let Some(left) = &self.left else { return Ok(()) };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map_err(|_too_few| NoRoom)?;
        self.held += bytes;
        Ok(())
    }

    /// The same for a size that takes a while to find: where nothing is counted it is not looked for.
    pub fn grow_by(&mut self, bytes: impl FnOnce() -> usize) -> Result<(), NoRoom> {
        if self.left.is_some() { self.grow(bytes()) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            left.fetch_add(self.held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Allowance, NoRoom, Share};
    use crate::net::message::{BodyRefused, Incoming};

    #[test]
    fn all_shares_together_hold_no_more_than_the_allowance_and_give_it_back() {
        let allowance = Allowance::of(10);
        let [mut one, mut other] = [allowance.share(), allowance.share()];
        assert_eq!((one.grow(4), one.grow(3), other.grow(4), other.grow(3)), (Ok(()), Ok(()), Err(NoRoom), Ok(())));
        drop(one);
        assert_eq!((other.grow(8), other.grow(7)), (Err(NoRoom), Ok(())));
        drop(other);
        assert_eq!(allowance.share().grow(10), Ok(()));
        assert_eq!(allowance.share().grow_by(|| 11), Err(NoRoom));
        assert_eq!(Share::of_the_believed().grow(usize::MAX), Ok(()), "who is believed is not counted");
        assert_eq!(Share::of_the_believed().grow_by(|| panic!("nor measured")), Ok(()));
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused_and_one_of_the_believed_is_not() {
        let (allowance, time) = (Allowance::of(10), Duration::from_secs(60));
        let mut held = allowance.share();
        let read = Incoming::of("1234567".into()).read_within(100, time, &mut held).await;
        assert_eq!(read.as_deref(), Ok(&b"1234567"[..]));
        let again = Incoming::of("1234567".into()).read_within(100, time, &mut allowance.share()).await;
        assert_eq!(again, Err(BodyRefused::NoRoom));
        assert!(Incoming::of("1234567".into()).read(100, time).await.is_ok());
        drop(held);
        assert!(Incoming::of("1234567".into()).read_within(100, time, &mut allowance.share()).await.is_ok());
    }
}
