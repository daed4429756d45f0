//! In which ways a GitLab, or what stands before it, answers something else than the truth.

use std::time::Duration;

use super::instance::Answer;

/// What comes instead of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 in plain text, with `Retry-After` in seconds or without.
    TooManyRequests(Option<u64>),
    /// A page of a proxy with this status.
    ErrorPage(u16),
    /// A page for people, as if all were well.
    HtmlWith200,
    /// `[]`, as of a database that has just been made.
    EmptyList,
    /// The token is not known.
    Unauthorized,
    /// To another place.
    Redirect,
    /// The end of the body is missing.
    CutShort,
    /// The answer, without headers that lead to the next page.
    NoLinks,
    /// The answer, this much later.
    Slow(Duration),
    /// Nothing, until it has recovered.
    Hung,
}

/// Which requests it befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// The public API.
    Rest,
    Internal,
    /// One endpoint, by the name under which requests are counted.
    Endpoint(&'static str),
}

/// A fault, the requests that it befalls, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    fault: Fault,
    scope: Scope,
    spared: u64,
    left: u64,
}

impl Failure {
    /// All requests of a scope, from now until it recovers.
    pub fn of(scope: Scope, fault: Fault) -> Self {
        Self { fault, scope, spared: 0, left: u64::MAX }
    }

    /// Only after so many requests.
    pub fn after(self, spared: u64) -> Self {
        Self { spared, ..self }
    }

    /// Only so many times.
    pub fn times(self, left: u64) -> Self {
        Self { left, ..self }
    }

    /// Returns the fault of a request, if it befalls it.
    pub fn befalls(&mut self, endpoint: &str) -> Option<Fault> {
        let is_internal = super::INTERNAL_ENDPOINTS.contains(&endpoint);
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::Rest => !is_internal,
            Scope::Internal => is_internal,
            Scope::Endpoint(name) => name == endpoint,
        };
        if !in_scope || self.left == 0 {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        self.left -= 1;
        Some(self.fault)
    }
}

impl Fault {
    /// Returns what comes instead of an answer, as far as it is one.
    pub fn distort(self, truth: Answer) -> Answer {
        let page = |status: u16, text: &str| Answer {
            status,
            headers: vec![("Content-Type", "text/html; charset=utf-8".to_owned())],
            body: format!("<html><body><h1>{text}</h1></body></html>\n"),
        };
        match self {
            Self::TooManyRequests(after) => {
                let mut headers = vec![("Content-Type", "text/plain".to_owned())];
                headers.extend(after.map(|seconds| ("Retry-After", seconds.to_string())));
                Answer { status: 429, headers, body: "Retry later\n".to_owned() }
            }
            Self::ErrorPage(status) => page(status, "Whoops, something went wrong on our end."),
            Self::HtmlWith200 => page(200, "Sign in"),
            Self::EmptyList => Answer::json(200, "[]"),
            Self::Unauthorized => Answer::message(401, "401 Unauthorized"),
            Self::Redirect => {
                let mut answer = page(302, "You are being redirected.");
                answer.headers.push(("Location", "https://sso.example.com/login".to_owned()));
                answer
            }
            Self::NoLinks => {
                let headers = truth.headers.into_iter().filter(|(name, _)| !matches!(*name, "Link" | "X-Next-Page")).collect();
                Answer { headers, ..truth }
            }
            Self::CutShort | Self::Slow(_) | Self::Hung => truth,
        }
    }
}
