//! Sends system hooks to a URL, one after the other, as GitLab's queue does: without a promise of order or of being sent once. By a seed some
//! are lost, sent twice, held back until others have gone, or late. (server.md 5)

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::instance::records::Hook;
use crate::support::TIMEOUT;
use crate::support::http::Response;
use crate::support::random::Random;

/// Where hooks go, and what becomes of them on the way. Each share is in percent.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
    pub seed: u64,
    pub lost: u64,
    pub doubled: u64,
    /// Goes only after up to five later ones have gone; with [`HookSender::flush`] at the latest.
    pub held_back: u64,
    /// Each waits up to this long.
    pub longest_delay: Duration,
}

impl Delivery {
    /// All hooks, each once, in their order, at once.
    pub fn faithful(address: SocketAddr, token: &str) -> Self {
        let path = "/hooks/gitlab".to_owned();
        Self { address, path, token: token.to_owned(), seed: 0, lost: 0, doubled: 0, held_back: 0, longest_delay: Duration::ZERO }
    }
}

/// What became of a hook.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub hook: Hook,
    /// The status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// When the answer was there, or it was clear that there is none.
    pub at: Instant,
}

/// Sends hooks until it is dropped.
pub struct HookSender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    delivery: Option<(Delivery, Random)>,
    queue: Vec<Queued>,
    sending: bool,
    stopped: bool,
    delivered: Vec<Delivered>,
    lost: Vec<Hook>,
}

struct Queued {
    hook: Hook,
    /// How many later ones go before it.
    lets_pass: u64,
    due: Instant,
}

impl HookSender {
    pub fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let runs = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || runs.run())) }
    }

    /// Sends from now on so, or with `None` nothing, as if the hook had been removed or disabled.
    pub fn set_delivery(&self, delivery: Option<Delivery>) {
        self.state().delivery = delivery.map(|delivery| {
            let random = Random::new(delivery.seed);
            (delivery, random)
        });
    }

    /// Takes a hook to be sent.
    pub fn push(&self, hook: Hook) {
        let mut state = self.state();
        let State { delivery: Some((delivery, random)), queue, lost, .. } = &mut *state else { return };
        if random.below(100) < delivery.lost {
            lost.push(hook);
            return;
        }
        let copies = if random.below(100) < delivery.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let lets_pass = if random.below(100) < delivery.held_back { 1 + random.below(5) } else { 0 };
            let latest = u64::try_from(delivery.longest_delay.as_millis()).unwrap();
            let due = Instant::now() + Duration::from_millis(if latest == 0 { 0 } else { random.below(latest) });
            queue.push(Queued { hook: hook.clone(), lets_pass, due });
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Lets those that are held back go, and waits until every hook has been sent.
    pub fn flush(&self) {
        let mut state = self.state();
        for waiting in &mut state.queue {
            waiting.lets_pass = 0;
        }
        self.shared.changed.notify_all();
        let busy = |state: &mut State| state.sending || !state.queue.is_empty();
        let (_state, waited) = self.shared.changed.wait_timeout_while(state, TIMEOUT, busy).unwrap();
        assert!(!waited.timed_out(), "hooks are not sent");
    }

    /// What was sent.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.state().delivered.clone()
    }

    /// What was lost on the way.
    pub fn lost(&self) -> Vec<Hook> {
        self.state().lost.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.stopped {
            let now = Instant::now();
            let next = state.queue.iter().position(|waiting| waiting.lets_pass == 0 && waiting.due <= now);
            let (Some(next), Some((delivery, _))) = (next, state.delivery.clone()) else {
                let due = state.queue.iter().filter(|waiting| waiting.lets_pass == 0).map(|waiting| waiting.due).min();
                let wait = due.filter(|_| state.delivery.is_some()).map_or(TIMEOUT, |due| due.saturating_duration_since(now));
                state = self.changed.wait_timeout(state, wait).unwrap().0;
                continue;
            };
            let hook = state.queue.remove(next).hook;
            for passed in &mut state.queue[..next] {
                passed.lets_pass = passed.lets_pass.saturating_sub(1);
            }
            state.sending = true;
            drop(state);
            let status = post(&delivery, &hook);
            state = self.state.lock().unwrap();
            state.sending = false;
            state.delivered.push(Delivered { hook, status, at: Instant::now() });
            self.changed.notify_all();
        }
    }
}

impl Drop for HookSender {
    fn drop(&mut self) {
        self.state().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends a hook as GitLab does, and returns the status of the answer.
pub fn post(delivery: &Delivery, hook: &Value) -> Option<u16> {
    let body = hook.to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nUser-Agent: GitLab/17.6.1-ee\r\nX-Gitlab-Event: System Hook\r\n\
         X-Gitlab-Token: {}\r\nX-Gitlab-Instance: https://gitlab.example.com\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        delivery.path,
        delivery.address,
        delivery.token,
        body.len(),
    );
    let mut stream = TcpStream::connect_timeout(&delivery.address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all((head + &body).as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Response::parse(&answer).ok().map(|answer| answer.status)
}
