//! The clock that the primary sends along, so that hosts can tell how old a line of the feed is. A reading is taken before the head
//! that it is sent with: at that moment the directory stood there, or not yet.

use std::sync::{Arc, OnceLock};

use crate::model::clock;
use crate::model::clock_reading::{BootId, ClockReading};
use crate::net::message::Response;
use crate::store::files::age_file::read_boot_id;

/// By which clock the lines of the feed are dated.
#[derive(Clone, Default)]
pub enum FeedClock {
    /// Our own, read now: the directory is ours, so it stands at every moment where its head is.
    #[default]
    Own,
    /// What this returns: the reading of our clock at which somebody else was asked, whose directory ours is a copy of. `None`: nothing is
    /// proven yet.
    Proof(Arc<dyn Fn() -> Option<ClockReading> + Send + Sync>),
}

impl FeedClock {
    /// Reads the clock. Call it before reading the head that is sent with it.
    #[must_use]
    pub fn read(&self) -> Option<ClockReading> {
        match self {
            Self::Own => read_clock(),
            Self::Proof(proof) => proof(),
        }
    }
}

const CLOCK_HEADER: &str = "x-sidegate-clock";

/// Returns a response with the primary's clock in its header: a host that asked for it learns how far its own clock is from ours.
#[must_use]
pub fn with_clock_header(response: Response) -> Response {
    match read_clock() {
        Some(clock) => response.with_header(CLOCK_HEADER, &clock.to_string()),
        None => response,
    }
}

/// Reads the clock; `None` where the kernel tells no boot id: hosts then take the feed for that of an older primary.
#[must_use]
pub fn read_clock() -> Option<ClockReading> {
    let boot_id = own_boot_id()?.clone();
    Some(ClockReading { boot_id, boot_time: clock::boot_time(), wall_time: clock::wall_time() })
}

/// Returns the id of this boot of the machine; `None` where the kernel tells none.
#[must_use]
pub fn own_boot_id() -> Option<&'static BootId> {
    static BOOT_ID: OnceLock<Option<BootId>> = OnceLock::new();
    let boot_id = BOOT_ID.get_or_init(|| {
        let id = read_boot_id().map_err(|error| error.to_string()).and_then(|id| BootId::parse(&id).map_err(|error| error.to_string()));
        id.inspect_err(|error| tracing::warn!("the feed carries no clock, so hosts answer nothing as fresh: {error}")).ok()
    });
    boot_id.as_ref()
}
