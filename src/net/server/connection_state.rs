//! The lines of one thread (a line is one connection that is served), what each waits for, and since when.
//!
//! Time here is a count of ticks that one timer of the thread moves on, so a request costs no clock reading and no timer of its own. A
//! line that has waited too long is cut; when the daemon ends, all are told to wind down. Everything here stays on its thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use crate::net::server::framing::AmbiguousFraming;
use crate::net::server::limits::ServerLimits;

/// What a line waits for. Only an answer may take its time: its handler has its own bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitState {
    /// For a next request to begin.
    Idle,
    /// For the head of a request to be there (or for the end of a TLS handshake, or of what nobody reads).
    RequestHead,
    /// For the answer, or the rest of it.
    Response,
    /// For the other side to read.
    PeerRead,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeMode {
    /// It is served.
    Serve,
    /// It ends after the request in flight.
    Drain,
    /// It ends now.
    Close,
}

/// Whether a socket that the reactor does not know is to be registered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Nothing is waited for.
    NotNeeded,
    /// More bytes are asked for, which need not be waited for if the connection ends first.
    Requested,
    /// They are waited for.
    Required,
}

/// One connection, as its parts see it together.
pub struct ConnectionState {
    ticks: Rc<Cell<u64>>,
    waiting: Cell<WaitState>,
    waiting_since: Cell<u64>,
    mode: Cell<ServeMode>,
    waker: RefCell<Option<Waker>>,
    request_started: Cell<u64>,
    ambiguity: Cell<Option<(u64, AmbiguousFraming)>>,
    awaiting_body: Cell<Option<u64>>,
    response_started: Cell<bool>,
    streaming: Cell<bool>,
    registration: Cell<Registration>,
}

impl ConnectionState {
    /// It waits for `waiting` from now on.
    pub fn set_waiting(&self, waiting: WaitState) {
        self.waiting.set(waiting);
        self.waiting_since.set(self.ticks.get());
    }

    /// What it waits for.
    pub fn waiting(&self) -> WaitState {
        self.waiting.get()
    }

    /// What becomes of it.
    pub fn mode(&self) -> ServeMode {
        self.mode.get()
    }

    /// Wakes this task when the fate changes.
    pub fn set_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
    }

    /// A request is there. The how-manieth, and why it must be refused if it must.
    pub fn request_started(&self) -> (u64, Option<AmbiguousFraming>) {
        let order = self.request_started.get() + 1;
        self.request_started.set(order);
        self.set_waiting(WaitState::Response);
        (order, self.ambiguity.get().filter(|(ambiguous, _)| *ambiguous == order).map(|(_, why)| why))
    }

    /// The answer to it is there, or begins.
    pub fn response_started(&self, streaming: bool) {
        self.response_started.set(true);
        self.streaming.set(streaming);
        self.set_waiting(if streaming { WaitState::Response } else { WaitState::Idle });
    }

    /// The end of an answer that came in pieces has been taken.
    pub fn stream_finished(&self) {
        self.streaming.set(false);
        if self.waiting() == WaitState::Response {
            self.set_waiting(WaitState::Idle);
        }
    }

    /// Bytes came in: what they brought so far is ambiguous, or of a body that has yet to arrive.
    pub fn bytes_received(&self, ambiguous: Option<(u64, AmbiguousFraming)>, awaits_body_of: Option<u64>) {
        if self.waiting() == WaitState::Idle {
            self.set_waiting(WaitState::RequestHead);
            self.response_started.set(false);
        }
        self.ambiguity.set(ambiguous);
        self.awaiting_body.set(awaits_body_of);
    }

    /// Whether the body of this request has yet to arrive: answered before, it makes room for no other, and the connection ends.
    pub fn awaiting_body(&self, order: u64) -> bool {
        self.awaiting_body.get() == Some(order)
    }

    /// Whether an answer of ours has been given since the last request began: if not, what is written now is hyper's own refusal.
    pub fn has_responded(&self) -> bool {
        self.response_started.get()
    }

    /// The other side does not read, or reads on.
    pub fn set_peer_reading(&self, reads: bool) {
        match (reads, self.waiting()) {
            (false, WaitState::PeerRead) | (true, WaitState::Idle | WaitState::RequestHead | WaitState::Response) => {}
            (false, _) | (true, WaitState::PeerRead) => self.set_waiting(WaitState::PeerRead),
        }
    }

    /// All that was to be written has been written.
    pub fn flushed(&self) {
        if self.waiting() == WaitState::PeerRead {
            self.set_waiting(if self.streaming.get() { WaitState::Response } else { WaitState::Idle });
        }
    }

    /// A read found all that is there for now. Whether it is to be waited for.
    pub fn request_registration(&self) -> bool {
        if self.registration.get() == Registration::NotNeeded {
            self.registration.set(Registration::Requested);
        }
        self.registration.get() == Registration::Required
    }

    /// All that could be done at once is done. Whether a read is now to be waited for, and must be asked for once more.
    pub fn require_registration(&self) -> bool {
        let asked = self.registration.get() == Registration::Requested;
        if asked {
            self.registration.set(Registration::Required);
        }
        asked
    }

    fn set_mode(&self, fate: ServeMode) {
        self.mode.set(fate);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All lines of one thread.
pub struct ConnectionTable {
    ticks: Rc<Cell<u64>>,
    slots: RefCell<Vec<Option<Rc<ConnectionState>>>>,
    free_slots: RefCell<Vec<usize>>,
    draining: Cell<bool>,
    head_ticks: u64,
    peer_read_ticks: u64,
    tick: Duration,
    all_closed: Notify,
}

/// A line's place among the lines of its thread, given back when dropped.
pub struct ConnectionSlot {
    table: Rc<ConnectionTable>,
    index: usize,
    /// The line.
    pub connection: Rc<ConnectionState>,
}

impl ConnectionTable {
    /// None yet.
    pub fn new(bounds: &ServerLimits) -> Rc<Self> {
        let tick = (bounds.header_time.min(bounds.body_time) / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let ticks = |time: Duration| u64::try_from(time.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u64::MAX);
        Rc::new(Self {
            ticks: Rc::default(),
            slots: RefCell::default(),
            free_slots: RefCell::default(),
            draining: Cell::new(false),
            head_ticks: ticks(bounds.header_time),
            peer_read_ticks: ticks(bounds.body_time),
            tick,
            all_closed: Notify::new(),
        })
    }

    /// How often [`Lines::tick`] is to be called.
    pub fn tick_interval(&self) -> Duration {
        self.tick
    }

    /// A new line, waiting for a head.
    pub fn add(self: &Rc<Self>) -> ConnectionSlot {
        let line = Rc::new(ConnectionState {
            ticks: Rc::clone(&self.ticks),
            waiting: Cell::new(WaitState::RequestHead),
            waiting_since: Cell::new(self.ticks.get()),
            mode: Cell::new(if self.draining.get() { ServeMode::Drain } else { ServeMode::Serve }),
            waker: RefCell::default(),
            request_started: Cell::new(0),
            ambiguity: Cell::new(None),
            awaiting_body: Cell::new(None),
            response_started: Cell::new(false),
            streaming: Cell::new(false),
            registration: Cell::new(Registration::NotNeeded),
        });
        let mut lines = self.slots.borrow_mut();
        let at = self.free_slots.borrow_mut().pop().unwrap_or_else(|| {
            lines.push(None);
            lines.len() - 1
        });
        if let Some(place) = lines.get_mut(at) {
            *place = Some(Rc::clone(&line));
        }
        ConnectionSlot { table: Rc::clone(self), index: at, connection: line }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.borrow().len() - self.free_slots.borrow().len()
    }

    /// Returns when the last one has left.
    pub async fn all_closed(&self) {
        while self.count() > 0 {
            self.all_closed.notified().await;
        }
    }

    /// One tick has passed: cuts what has waited too long.
    pub fn tick(&self) {
        let now = self.ticks.get() + 1;
        self.ticks.set(now);
        for line in self.slots.borrow().iter().flatten() {
            let bound = match line.waiting() {
                WaitState::Idle | WaitState::RequestHead => self.head_ticks,
                WaitState::PeerRead => self.peer_read_ticks,
                WaitState::Response => continue,
            };
            // The tick in which the waiting began was not a whole one.
            if now - line.waiting_since.get() > bound {
                line.set_mode(ServeMode::Close);
            }
        }
    }

    /// Tells all, and all that come later, to wind down.
    pub fn drain_all(&self) {
        self.draining.set(true);
        for line in self.slots.borrow().iter().flatten() {
            if line.mode() == ServeMode::Serve {
                line.set_mode(ServeMode::Drain);
            }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(place) = self.table.slots.borrow_mut().get_mut(self.index) {
            *place = None;
        }
        self.table.free_slots.borrow_mut().push(self.index);
        if self.table.count() == 0 {
            self.table.all_closed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::{ConnectionTable, ServeMode, WaitState};
    use crate::net::server::limits::ServerLimits;

    fn connection_table() -> Rc<ConnectionTable> {
        ConnectionTable::new(&ServerLimits {
            header_time: Duration::from_secs(4),
            body_time: Duration::from_secs(8),
            ..ServerLimits::default()
        })
    }

    fn advance(lines: &ConnectionTable, ticks: u64) {
        for _ in 0..ticks {
            lines.tick();
        }
    }

    #[test]
    fn a_head_has_its_time_and_no_more() {
        let lines = connection_table();
        let place = lines.add();
        advance(&lines, 8);
        assert_eq!(place.connection.mode(), ServeMode::Serve);
        advance(&lines, 1);
        assert_eq!(place.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn the_first_byte_after_a_pause_starts_the_time_anew_and_the_second_does_not() {
        let lines = connection_table();
        let place = lines.add();
        place.connection.set_waiting(WaitState::Idle);
        advance(&lines, 8);
        place.connection.bytes_received(None, None);
        advance(&lines, 8);
        place.connection.bytes_received(None, None);
        assert_eq!(place.connection.mode(), ServeMode::Serve);
        advance(&lines, 1);
        assert_eq!(place.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn an_answer_may_take_its_time_but_its_reader_may_not() {
        let lines = connection_table();
        let place = lines.add();
        place.connection.request_started();
        advance(&lines, 1000);
        place.connection.response_started(true);
        advance(&lines, 1000);
        assert_eq!(place.connection.mode(), ServeMode::Serve);
        place.connection.set_peer_reading(false);
        advance(&lines, 16);
        place.connection.set_peer_reading(true);
        advance(&lines, 16);
        assert_eq!(place.connection.mode(), ServeMode::Serve);
        place.connection.set_peer_reading(false);
        advance(&lines, 17);
        assert_eq!(place.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn places_are_used_again() {
        let lines = connection_table();
        for _ in 0..10 {
            let (one, two) = (lines.add(), lines.add());
            assert_eq!(lines.count(), 2);
            drop(one);
            drop(two);
        }
        assert_eq!((lines.count(), lines.slots.borrow().len()), (0, 2));
    }

    #[test]
    fn those_that_come_late_wind_down_too() {
        let lines = connection_table();
        let early = lines.add();
        lines.drain_all();
        assert_eq!((early.connection.mode(), lines.add().connection.mode()), (ServeMode::Drain, ServeMode::Drain));
    }
}
