//! The connections of one worker thread: what each waits for, since when, and whether it is still served.
//!
//! Time here is a count of ticks that one timer of the thread advances, so a request costs no clock reading and no timer of its own. A
//! connection that has waited too long is closed; when the daemon stops, all are drained: each closes as soon as it is idle. One on which
//! nothing has been sent is not idle, since its first request is on its way. Everything here stays on its thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use crate::net::server::framing::AmbiguousFraming;
use crate::net::server::limits::ServerLimits;

/// What a connection waits for. Only the response is without a bound here: the handler has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitState {
    /// The first byte of the first request.
    FirstRequest,
    /// The next request.
    Idle,
    /// The head of a request (or the end of a TLS handshake, or of a body that nobody reads).
    RequestHead,
    /// The response, or the rest of it.
    Response,
    /// The client, which does not read.
    PeerRead,
}

/// Whether a connection is still served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServeMode {
    /// Requests are served.
    Serve,
    /// The connection closes after the request in flight, or at once if it is idle.
    Drain,
    /// The connection closes now.
    Close,
}

/// Whether a socket that the reactor does not know must be registered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Nothing has been read to its end.
    NotNeeded,
    /// A read found no more bytes; they need not be waited for if the connection closes first.
    Requested,
    /// The bytes are waited for.
    Required,
}

/// The state of one connection, shared by its stream, its service and the table.
pub struct ConnectionState {
    ticks: Rc<Cell<u64>>,
    waiting: Cell<WaitState>,
    waiting_since: Cell<u64>,
    mode: Cell<ServeMode>,
    waker: RefCell<Option<Waker>>,
    request_count: Cell<u64>,
    ambiguity: Cell<Option<(u64, AmbiguousFraming)>>,
    awaiting_body: Cell<Option<u64>>,
    response_started: Cell<bool>,
    streaming: Cell<bool>,
    registration: Cell<Registration>,
}

impl ConnectionState {
    /// Records what the connection waits for from now on.
    pub fn set_waiting(&self, waiting: WaitState) {
        self.waiting.set(waiting);
        self.waiting_since.set(self.ticks.get());
    }

    /// Records that the connection waits for its first request. The time counts from when it was accepted.
    pub fn await_first_request(&self) {
        self.waiting.set(WaitState::FirstRequest);
    }

    /// Returns what the connection waits for.
    pub fn waiting(&self) -> WaitState {
        self.waiting.get()
    }

    /// Returns whether the connection is still served.
    pub fn mode(&self) -> ServeMode {
        self.mode.get()
    }

    /// Returns whether the connection is idle and closes because it is.
    pub fn closes_when_idle(&self) -> bool {
        self.mode() == ServeMode::Drain && self.waiting() == WaitState::Idle
    }

    /// Sets the task that is woken when the mode changes.
    pub fn set_waker(&self, waker: &Waker) {
        let mut current = self.waker.borrow_mut();
        match &mut *current {
            Some(current) => current.clone_from(waker),
            None => *current = Some(waker.clone()),
        }
    }

    /// Records that the head of a request has arrived. Returns the request's number on this connection, from 1, and, if its framing is
    /// ambiguous, why it is refused.
    pub fn request_started(&self) -> (u64, Option<AmbiguousFraming>) {
        let number = self.request_count.get() + 1;
        self.request_count.set(number);
        self.set_waiting(WaitState::Response);
        (number, self.ambiguity.get().filter(|(request, _)| *request == number).map(|(_, ambiguity)| ambiguity))
    }

    /// Records that the response is there, or begins if it is streamed.
    pub fn response_started(&self, streaming: bool) {
        self.response_started.set(true);
        self.streaming.set(streaming);
        self.set_waiting(if streaming { WaitState::Response } else { WaitState::Idle });
    }

    /// Records that a streamed response has been sent to its end.
    pub fn stream_finished(&self) {
        self.streaming.set(false);
        if self.waiting() == WaitState::Response {
            self.set_waiting(WaitState::Idle);
        }
    }

    /// Records that bytes came in: which request so far has an ambiguous framing, and the body of which request has yet to arrive.
    pub fn bytes_received(&self, ambiguity: Option<(u64, AmbiguousFraming)>, awaiting_body: Option<u64>) {
        match self.waiting() {
            WaitState::Idle => {
                self.set_waiting(WaitState::RequestHead);
                self.response_started.set(false);
            }
            // As before, the time counts from when the connection was accepted.
            WaitState::FirstRequest => self.waiting.set(WaitState::RequestHead),
            WaitState::RequestHead | WaitState::Response | WaitState::PeerRead => {}
        }
        self.ambiguity.set(ambiguity);
        self.awaiting_body.set(awaiting_body);
    }

    /// Returns whether the body of this request has yet to arrive. Answered before it arrived, the connection can serve no other request.
    pub fn awaiting_body(&self, number: u64) -> bool {
        self.awaiting_body.get() == Some(number)
    }

    /// Returns whether a response of ours was given since the last request began: if not, what is written now is hyper's own refusal.
    pub fn has_responded(&self) -> bool {
        self.response_started.get()
    }

    /// Records that the client does not read, or reads again.
    pub fn set_peer_reading(&self, reads: bool) {
        match (reads, self.waiting()) {
            (false, WaitState::PeerRead)
            | (true, WaitState::FirstRequest | WaitState::Idle | WaitState::RequestHead | WaitState::Response) => {}
            (false, _) | (true, WaitState::PeerRead) => self.set_waiting(WaitState::PeerRead),
        }
    }

    /// Records that everything has been written.
    pub fn flushed(&self) {
        if self.waiting() == WaitState::PeerRead {
            self.set_waiting(if self.streaming.get() { WaitState::Response } else { WaitState::Idle });
        }
    }

    /// Records that a read found no more bytes for now. Returns whether they must be waited for.
    pub fn request_registration(&self) -> bool {
        if self.registration.get() == Registration::NotNeeded {
            self.registration.set(Registration::Requested);
        }
        self.registration.get() == Registration::Required
    }

    /// Records that everything that could be done without waiting is done. Returns whether bytes must now be waited for: then the caller
    /// polls once more.
    pub fn require_registration(&self) -> bool {
        let requested = self.registration.get() == Registration::Requested;
        if requested {
            self.registration.set(Registration::Required);
        }
        requested
    }

    fn set_mode(&self, mode: ServeMode) {
        self.mode.set(mode);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All connections of one worker thread.
pub struct ConnectionTable {
    ticks: Rc<Cell<u64>>,
    slots: RefCell<Vec<Option<Rc<ConnectionState>>>>,
    free_slots: RefCell<Vec<usize>>,
    draining: Cell<bool>,
    head_ticks: u64,
    peer_read_ticks: u64,
    tick_interval: Duration,
    all_closed: Notify,
}

/// A connection's slot in the table, freed when dropped.
pub struct ConnectionSlot {
    table: Rc<ConnectionTable>,
    index: usize,
    /// The connection in the slot.
    pub connection: Rc<ConnectionState>,
}

impl ConnectionTable {
    /// Returns a table without connections.
    pub fn new(limits: &ServerLimits) -> Rc<Self> {
        let tick_interval = (limits.header_time.min(limits.body_time) / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let ticks = |time: Duration| u64::try_from(time.as_nanos().div_ceil(tick_interval.as_nanos())).unwrap_or(u64::MAX);
        Rc::new(Self {
            ticks: Rc::default(),
            slots: RefCell::default(),
            free_slots: RefCell::default(),
            draining: Cell::new(false),
            head_ticks: ticks(limits.header_time),
            peer_read_ticks: ticks(limits.body_time),
            tick_interval,
            all_closed: Notify::new(),
        })
    }

    /// Returns how often [`Self::tick`] must be called.
    pub fn tick_interval(&self) -> Duration {
        self.tick_interval
    }

    /// Adds a connection, which waits for the head of a request.
    pub fn add(self: &Rc<Self>) -> ConnectionSlot {
        let connection = Rc::new(ConnectionState {
            ticks: Rc::clone(&self.ticks),
            waiting: Cell::new(WaitState::RequestHead),
            waiting_since: Cell::new(self.ticks.get()),
            mode: Cell::new(if self.draining.get() { ServeMode::Drain } else { ServeMode::Serve }),
            waker: RefCell::default(),
            request_count: Cell::new(0),
            ambiguity: Cell::new(None),
            awaiting_body: Cell::new(None),
            response_started: Cell::new(false),
            streaming: Cell::new(false),
            registration: Cell::new(Registration::NotNeeded),
        });
        let mut slots = self.slots.borrow_mut();
        let index = self.free_slots.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        if let Some(slot) = slots.get_mut(index) {
            *slot = Some(Rc::clone(&connection));
        }
        ConnectionSlot { table: Rc::clone(self), index, connection }
    }

    /// Returns the number of connections.
    pub fn count(&self) -> usize {
        self.slots.borrow().len() - self.free_slots.borrow().len()
    }

    /// Returns when the last connection has closed.
    pub async fn all_closed(&self) {
        while self.count() > 0 {
            self.all_closed.notified().await;
        }
    }

    /// Advances the time by one tick and closes connections that have waited too long.
    pub fn tick(&self) {
        let now = self.ticks.get() + 1;
        self.ticks.set(now);
        for connection in self.slots.borrow().iter().flatten() {
            let max_ticks = match connection.waiting() {
                WaitState::FirstRequest | WaitState::Idle | WaitState::RequestHead => self.head_ticks,
                WaitState::PeerRead => self.peer_read_ticks,
                WaitState::Response => continue,
            };
            // The tick in which the waiting began was not a whole one.
            if now - connection.waiting_since.get() > max_ticks {
                connection.set_mode(ServeMode::Close);
            }
        }
    }

    /// Takes connections on which nothing has been sent so far for idle.
    pub fn give_up_unused(&self) {
        for connection in self.slots.borrow().iter().flatten() {
            if connection.waiting() == WaitState::FirstRequest {
                connection.set_waiting(WaitState::Idle);
                connection.wake();
            }
        }
    }

    /// Drains all connections, and those that are added later.
    pub fn drain_all(&self) {
        self.draining.set(true);
        for connection in self.slots.borrow().iter().flatten() {
            if connection.mode() == ServeMode::Serve {
                connection.set_mode(ServeMode::Drain);
            }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(slot) = self.table.slots.borrow_mut().get_mut(self.index) {
            *slot = None;
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

    fn advance(table: &ConnectionTable, ticks: u64) {
        for _ in 0..ticks {
            table.tick();
        }
    }

    #[test]
    fn a_request_head_is_waited_for_so_long_and_no_longer() {
        let table = connection_table();
        let slot = table.add();
        advance(&table, 8);
        assert_eq!(slot.connection.mode(), ServeMode::Serve);
        advance(&table, 1);
        assert_eq!(slot.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn the_first_byte_after_a_pause_starts_the_time_anew_and_the_second_does_not() {
        let table = connection_table();
        let slot = table.add();
        slot.connection.set_waiting(WaitState::Idle);
        advance(&table, 8);
        slot.connection.bytes_received(None, None);
        advance(&table, 8);
        slot.connection.bytes_received(None, None);
        assert_eq!(slot.connection.mode(), ServeMode::Serve);
        advance(&table, 1);
        assert_eq!(slot.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn a_response_may_take_any_time_but_its_reader_may_not() {
        let table = connection_table();
        let slot = table.add();
        slot.connection.request_started();
        advance(&table, 1000);
        slot.connection.response_started(true);
        advance(&table, 1000);
        assert_eq!(slot.connection.mode(), ServeMode::Serve);
        slot.connection.set_peer_reading(false);
        advance(&table, 16);
        slot.connection.set_peer_reading(true);
        advance(&table, 16);
        assert_eq!(slot.connection.mode(), ServeMode::Serve);
        slot.connection.set_peer_reading(false);
        advance(&table, 17);
        assert_eq!(slot.connection.mode(), ServeMode::Close);
    }

    #[test]
    fn slots_are_used_again() {
        let table = connection_table();
        for _ in 0..10 {
            let (one, two) = (table.add(), table.add());
            assert_eq!(table.count(), 2);
            drop(one);
            drop(two);
        }
        assert_eq!((table.count(), table.slots.borrow().len()), (0, 2));
    }

    #[test]
    fn connections_added_while_draining_are_drained_too() {
        let table = connection_table();
        let early = table.add();
        table.drain_all();
        assert_eq!((early.connection.mode(), table.add().connection.mode()), (ServeMode::Drain, ServeMode::Drain));
    }
}
