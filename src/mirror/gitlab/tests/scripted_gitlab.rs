//! A GitLab that answers from a list, and remembers what it was asked and when.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::header::{HeaderName, HeaderValue};

use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::Clock as _;
use crate::mirror::gitlab::pacer::Pacer;
use crate::mirror::gitlab::tests::simulated_clock::SimulatedClock;
use crate::mirror::gitlab::transport::{Exchange, GitlabRequest, GitlabResponse, Transport};
use crate::model::time::{BootTime, Time};

pub struct ScriptedGitlab {
    clock: Arc<SimulatedClock>,
    answers: Mutex<VecDeque<Result<GitlabResponse, String>>>,
    asked: Mutex<Vec<(BootTime, GitlabRequest)>>,
}

/// A client of a scripted GitLab, on simulated time.
pub struct Scripted {
    pub clock: Arc<SimulatedClock>,
    pub gitlab: Arc<ScriptedGitlab>,
    pub client: GitlabClient,
}

impl Scripted {
    pub fn new(requests_per_second: u32) -> Self {
        let clock = Arc::new(SimulatedClock::new());
        let gitlab = Arc::new(ScriptedGitlab { clock: Arc::clone(&clock), answers: Mutex::default(), asked: Mutex::default() });
        let pacer = Arc::new(Pacer::new(requests_per_second, Arc::clone(&clock) as _));
        let client = GitlabClient::new(Arc::clone(&gitlab) as _, Arc::clone(&clock) as _, pacer);
        Self { clock, gitlab, client }
    }

    /// Adds an answer.
    pub fn answers(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()));
        let response = GitlabResponse { status: status.try_into().unwrap(), headers: headers.collect(), body: body.to_owned().into() };
        self.gitlab.answers.lock().unwrap().push_back(Ok(response));
    }

    /// Adds a question that gets no answer.
    pub fn breaks_off(&self, reason: &str) {
        self.gitlab.answers.lock().unwrap().push_back(Err(reason.to_owned()));
    }

    /// Returns what was asked, and how many milliseconds after the start.
    pub fn asked(&self) -> Vec<(u128, String)> {
        let since_start = |time: &BootTime| time.since(crate::mirror::gitlab::tests::simulated_clock::START).as_millis();
        self.gitlab.asked.lock().unwrap().iter().map(|(time, request)| (since_start(time), request.target.clone())).collect()
    }
}

impl Transport for ScriptedGitlab {
    fn send(&self, request: GitlabRequest, _now: Time) -> Exchange<'_> {
        self.asked.lock().unwrap().push((self.clock.boot_time(), request));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Err("nothing is scripted".to_owned()));
        Box::pin(std::future::ready(answer))
    }

    fn relative_root(&self) -> &str {
        ""
    }
}
