//! A GitLab in memory, of any size, on simulated time: what the process tests replay over sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::instance::records::Instance;
use super::instance::rest::{ApiVersion, Caller, RestRequest};
use super::instance::{Answer, internal, rest};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::clock::Clock as _;
use crate::mirror::gitlab::pacer::Pacer;
use crate::mirror::gitlab::tests::simulated_clock::SimulatedClock;
use crate::mirror::gitlab::transport::{Api, Exchange, GitlabRequest, GitlabResponse, Transport};
use crate::model::time::{BootTime, Time};

/// An instance behind a transport that takes some time.
pub struct SimulatedGitlab {
    pub instance: Mutex<Instance>,
    clock: Arc<SimulatedClock>,
    version: ApiVersion,
    latency: Duration,
    requests: Mutex<Vec<BootTime>>,
}

/// A client of it.
pub struct Simulation {
    pub clock: Arc<SimulatedClock>,
    pub gitlab: Arc<SimulatedGitlab>,
    pub client: GitlabClient,
}

impl Simulation {
    pub fn new(instance: Instance, version: ApiVersion, requests_per_second: u32, latency: Duration) -> Self {
        let clock = Arc::new(SimulatedClock::new());
        let (instance, requests) = (Mutex::new(instance), Mutex::default());
        let gitlab = Arc::new(SimulatedGitlab { instance, clock: Arc::clone(&clock), version, latency, requests });
        let pacer = Arc::new(Pacer::new(requests_per_second, Arc::clone(&clock) as _));
        let client = GitlabClient::new(Arc::clone(&gitlab) as _, Arc::clone(&clock) as _, pacer);
        Self { clock, gitlab, client }
    }
}

impl SimulatedGitlab {
    /// Returns when each request was sent.
    pub fn requests(&self) -> Vec<BootTime> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, request: &GitlabRequest) -> Answer {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let path = path.strip_prefix("/api/v4/").unwrap();
        let instance = self.instance.lock().unwrap();
        match request.api {
            Api::Internal => {
                let params: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                internal::answer(&instance, self.version, path.strip_prefix("internal/").unwrap(), &params)
            }
            Api::Rest => {
                let external_url = "https://gitlab.example.com";
                rest::answer(&instance, &RestRequest { version: self.version, caller: Caller::Administrator, external_url, path, query })
            }
        }
    }
}

impl Transport for SimulatedGitlab {
    fn send(&self, request: GitlabRequest, _now: Time) -> Exchange<'_> {
        let asked_at = self.clock.boot_time();
        self.requests.lock().unwrap().push(asked_at);
        Box::pin(async move {
            self.clock.sleep_until(BootTime(asked_at.0 + self.latency)).await;
            let answer = self.answer(&request);
            let headers = answer
                .headers
                .iter()
                .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()));
            let headers = headers.collect();
            Ok(GitlabResponse { status: answer.status.try_into().unwrap(), headers, body: answer.body.into() })
        })
    }

    fn relative_root(&self) -> &str {
        ""
    }
}
