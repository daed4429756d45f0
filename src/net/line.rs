//! The lines of one thread (a line is one connection that is served), what each waits for, and since when.
//!
//! Time here is a count of ticks that one timer of the thread moves on, so a request costs no clock reading and no timer of its own. A
//! line that has waited too long is cut; when the daemon ends, all are told to wind down. Everything here stays on its thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use crate::net::bounds::Bounds;
use crate::net::framing::Ambiguous;

/// What a line waits for. Only an answer may take its time: its handler has its own bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// For a next request to begin.
    Idle,
    /// For the head of a request to be there (or for the end of a TLS handshake, or of what nobody reads).
    Head,
    /// For the answer, or the rest of it.
    Answer,
    /// For the other side to read.
    Reader,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is served.
    Serve,
    /// It ends after the request in flight.
    WindDown,
    /// It ends now.
    Cut,
}

/// Whether a socket that the reactor does not know is to be registered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registering {
    /// Nothing is waited for.
    No,
    /// More bytes are asked for, which need not be waited for if the connection ends first.
    Asked,
    /// They are waited for.
    Now,
}

/// One connection, as its parts see it together.
pub struct Line {
    clock: Rc<Cell<u64>>,
    waiting: Cell<Waiting>,
    since: Cell<u64>,
    fate: Cell<Fate>,
    waker: RefCell<Option<Waker>>,
    asked: Cell<u64>,
    ambiguous: Cell<Option<(u64, Ambiguous)>>,
    awaits_body_of: Cell<Option<u64>>,
    replied: Cell<bool>,
    streaming: Cell<bool>,
    registering: Cell<Registering>,
}

impl Line {
    /// It waits for `waiting` from now on.
    pub fn wait(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        self.since.set(self.clock.get());
    }

    /// What it waits for.
    pub fn waiting(&self) -> Waiting {
        self.waiting.get()
    }

    /// What becomes of it.
    pub fn fate(&self) -> Fate {
        self.fate.get()
    }

    /// Wakes this task when the fate changes.
    pub fn wake(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
    }

    /// A request is there. The how-manieth, and why it must be refused if it must.
    pub fn asked(&self) -> (u64, Option<Ambiguous>) {
        let order = self.asked.get() + 1;
        self.asked.set(order);
        self.wait(Waiting::Answer);
        (order, self.ambiguous.get().filter(|(ambiguous, _)| *ambiguous == order).map(|(_, why)| why))
    }

    /// The answer to it is there, or begins.
    pub fn replied(&self, streaming: bool) {
        self.replied.set(true);
        self.streaming.set(streaming);
        self.wait(if streaming { Waiting::Answer } else { Waiting::Idle });
    }

    /// The end of an answer that came in pieces has been taken.
    pub fn streamed(&self) {
        self.streaming.set(false);
        if self.waiting() == Waiting::Answer {
            self.wait(Waiting::Idle);
        }
    }

    /// Bytes came in: what they brought so far is ambiguous, or of a body that has yet to arrive.
    pub fn heard(&self, ambiguous: Option<(u64, Ambiguous)>, awaits_body_of: Option<u64>) {
        if self.waiting() == Waiting::Idle {
            self.wait(Waiting::Head);
            self.replied.set(false);
        }
        self.ambiguous.set(ambiguous);
        self.awaits_body_of.set(awaits_body_of);
    }

    /// Whether the body of this request has yet to arrive: answered before, it makes room for no other, and the connection ends.
    pub fn awaits_body_of(&self, order: u64) -> bool {
        self.awaits_body_of.get() == Some(order)
    }

    /// Whether an answer of ours has been given since the last request began: if not, what is written now is hyper's own refusal.
    pub fn has_replied(&self) -> bool {
        self.replied.get()
    }

    /// The other side does not read, or reads on.
    pub fn reader(&self, reads: bool) {
        match (reads, self.waiting()) {
            (false, Waiting::Reader) | (true, Waiting::Idle | Waiting::Head | Waiting::Answer) => {}
            (false, _) | (true, Waiting::Reader) => self.wait(Waiting::Reader),
        }
    }

    /// All that was to be written has been written.
    pub fn flushed(&self) {
        if self.waiting() == Waiting::Reader {
            self.wait(if self.streaming.get() { Waiting::Answer } else { Waiting::Idle });
        }
    }

    /// A read found all that is there for now. Whether it is to be waited for.
    pub fn wants_more(&self) -> bool {
        if self.registering.get() == Registering::No {
            self.registering.set(Registering::Asked);
        }
        self.registering.get() == Registering::Now
    }

    /// All that could be done at once is done. Whether a read is now to be waited for, and must be asked for once more.
    pub fn must_wait(&self) -> bool {
        let asked = self.registering.get() == Registering::Asked;
        if asked {
            self.registering.set(Registering::Now);
        }
        asked
    }

    fn decide(&self, fate: Fate) {
        self.fate.set(fate);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All lines of one thread.
pub struct Lines {
    clock: Rc<Cell<u64>>,
    lines: RefCell<Vec<Option<Rc<Line>>>>,
    free: RefCell<Vec<usize>>,
    winding_down: Cell<bool>,
    head_ticks: u64,
    reader_ticks: u64,
    tick: Duration,
    emptied: Notify,
}

/// A line's place among the lines of its thread, given back when dropped.
pub struct Place {
    lines: Rc<Lines>,
    at: usize,
    /// The line.
    pub line: Rc<Line>,
}

impl Lines {
    /// None yet.
    pub fn new(bounds: &Bounds) -> Rc<Self> {
        let tick = (bounds.header_time.min(bounds.body_time) / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let ticks = |time: Duration| u64::try_from(time.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u64::MAX);
        Rc::new(Self {
            clock: Rc::default(),
            lines: RefCell::default(),
            free: RefCell::default(),
            winding_down: Cell::new(false),
            head_ticks: ticks(bounds.header_time),
            reader_ticks: ticks(bounds.body_time),
            tick,
            emptied: Notify::new(),
        })
    }

    /// How often [`Lines::tick`] is to be called.
    pub fn every(&self) -> Duration {
        self.tick
    }

    /// A new line, waiting for a head.
    pub fn join(self: &Rc<Self>) -> Place {
        let line = Rc::new(Line {
            clock: Rc::clone(&self.clock),
            waiting: Cell::new(Waiting::Head),
            since: Cell::new(self.clock.get()),
            fate: Cell::new(if self.winding_down.get() { Fate::WindDown } else { Fate::Serve }),
            waker: RefCell::default(),
            asked: Cell::new(0),
            ambiguous: Cell::new(None),
            awaits_body_of: Cell::new(None),
            replied: Cell::new(false),
            streaming: Cell::new(false),
            registering: Cell::new(Registering::No),
        });
        let mut lines = self.lines.borrow_mut();
        let at = self.free.borrow_mut().pop().unwrap_or_else(|| {
            lines.push(None);
            lines.len() - 1
        });
        if let Some(place) = lines.get_mut(at) {
            *place = Some(Rc::clone(&line));
        }
        Place { lines: Rc::clone(self), at, line }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lines.borrow().len() - self.free.borrow().len()
    }

    /// Returns when the last one has left.
    pub async fn emptied(&self) {
        while self.count() > 0 {
            self.emptied.notified().await;
        }
    }

    /// One tick has passed: cuts what has waited too long.
    pub fn tick(&self) {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        for line in self.lines.borrow().iter().flatten() {
            let bound = match line.waiting() {
                Waiting::Idle | Waiting::Head => self.head_ticks,
                Waiting::Reader => self.reader_ticks,
                Waiting::Answer => continue,
            };
            // The tick in which the waiting began was not a whole one.
            if now - line.since.get() > bound {
                line.decide(Fate::Cut);
            }
        }
    }

    /// Tells all, and all that come later, to wind down.
    pub fn wind_down(&self) {
        self.winding_down.set(true);
        for line in self.lines.borrow().iter().flatten() {
            if line.fate() == Fate::Serve {
                line.decide(Fate::WindDown);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(place) = self.lines.lines.borrow_mut().get_mut(self.at) {
            *place = None;
        }
        self.lines.free.borrow_mut().push(self.at);
        if self.lines.count() == 0 {
            self.lines.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::{Fate, Lines, Waiting};
    use crate::net::bounds::Bounds;

    fn lines() -> Rc<Lines> {
        Lines::new(&Bounds { header_time: Duration::from_secs(4), body_time: Duration::from_secs(8), ..Bounds::default() })
    }

    fn pass(lines: &Lines, ticks: u64) {
        for _ in 0..ticks {
            lines.tick();
        }
    }

    #[test]
    fn a_head_has_its_time_and_no_more() {
        let lines = lines();
        let place = lines.join();
        pass(&lines, 8);
        assert_eq!(place.line.fate(), Fate::Serve);
        pass(&lines, 1);
        assert_eq!(place.line.fate(), Fate::Cut);
    }

    #[test]
    fn the_first_byte_after_a_pause_starts_the_time_anew_and_the_second_does_not() {
        let lines = lines();
        let place = lines.join();
        place.line.wait(Waiting::Idle);
        pass(&lines, 8);
        place.line.heard(None, None);
        pass(&lines, 8);
        place.line.heard(None, None);
        assert_eq!(place.line.fate(), Fate::Serve);
        pass(&lines, 1);
        assert_eq!(place.line.fate(), Fate::Cut);
    }

    #[test]
    fn an_answer_may_take_its_time_but_its_reader_may_not() {
        let lines = lines();
        let place = lines.join();
        place.line.asked();
        pass(&lines, 1000);
        place.line.replied(true);
        pass(&lines, 1000);
        assert_eq!(place.line.fate(), Fate::Serve);
        place.line.reader(false);
        pass(&lines, 16);
        place.line.reader(true);
        pass(&lines, 16);
        assert_eq!(place.line.fate(), Fate::Serve);
        place.line.reader(false);
        pass(&lines, 17);
        assert_eq!(place.line.fate(), Fate::Cut);
    }

    #[test]
    fn places_are_used_again() {
        let lines = lines();
        for _ in 0..10 {
            let (one, two) = (lines.join(), lines.join());
            assert_eq!(lines.count(), 2);
            drop(one);
            drop(two);
        }
        assert_eq!((lines.count(), lines.lines.borrow().len()), (0, 2));
    }

    #[test]
    fn those_that_come_late_wind_down_too() {
        let lines = lines();
        let early = lines.join();
        lines.wind_down();
        assert_eq!((early.line.fate(), lines.join().line.fate()), (Fate::WindDown, Fate::WindDown));
    }
}
