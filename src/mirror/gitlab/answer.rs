//! What an answer of GitLab is worth. Only GitLab's own words count as a no; whatever else comes in its place is a failure.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

use crate::mirror::gitlab::transport::GitlabResponse;
use crate::model::time::BootTime;
use crate::wire::http::message::parse_message;

/// The answer to one question, with the time at which it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<T> {
    /// When the question was sent, the first one where several were: the answer counts only against what was held then.
    pub asked_at: BootTime,
    /// What came of it.
    pub answer: Answer<T>,
}

/// What came of a question. No reason has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer<T> {
    /// GitLab's answer.
    Found(T),
    /// GitLab says itself that there is no such thing.
    NotFound,
    /// GitLab refuses the credential, or shows it less than an administrator sees: an alarm. The reason is for the operator.
    Unauthorized(String),
    /// GitLab was asked too often (429), and wants to be asked again only after this long, if it says how long.
    Limited(Option<Duration>),
    /// Anything else: unreachable, 5xx, a page of a proxy, a redirect, an answer that was cut short or is not understood.
    Failed(String),
}

impl<T> Answer<T> {
    /// Returns the answer with its value changed. An error of `read` makes it [`Answer::Failed`].
    pub fn and_then<U>(self, read: impl FnOnce(T) -> Answer<U>) -> Answer<U> {
        match self {
            Self::Found(value) => read(value),
            Self::NotFound => Answer::NotFound,
            Self::Unauthorized(reason) => Answer::Unauthorized(reason),
            Self::Limited(after) => Answer::Limited(after),
            Self::Failed(reason) => Answer::Failed(reason),
        }
    }
}

/// Judges a response whose 200 is read elsewhere. `not_found` are the messages with which GitLab says on this path that there is no such
/// thing; a 404 with any other body comes from something that does not know the path.
pub fn judge(response: &GitlabResponse, not_found: &[&str]) -> Answer<()> {
    let status = response.status;
    match status.as_u16() {
        200 => Answer::Found(()),
        404 if parse_message(&response.body).is_some_and(|message| not_found.contains(&message.as_str())) => Answer::NotFound,
        404 => Answer::Failed(
            "status 404 that is not GitLab's own for this path; is the URL the one of a GitLab, with its relative root?".into(),
        ),
        401 | 403 => Answer::Unauthorized(format!("status {}: GitLab refuses the credential", status.as_u16())),
        429 => Answer::Limited(retry_after(&response.headers)),
        300..=399 => Answer::Failed(redirect_reason(status)),
        number => Answer::Failed(format!("status {number}")),
    }
}

/// Returns how long a response wants to be left alone, in whole seconds; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Says what to do about a redirect, without where it leads: it is not followed.
fn redirect_reason(status: StatusCode) -> String {
    format!("status {}: a redirect, which is not followed; set the URL to where it leads", status.as_u16())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{Answer, judge};
    use crate::mirror::gitlab::transport::GitlabResponse;

    fn response(status: u16, body: &str) -> GitlabResponse {
        GitlabResponse { status: status.try_into().unwrap(), headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    #[test]
    fn only_gitlabs_own_message_of_that_path_is_a_no() {
        let judged = |status, body| judge(&response(status, body), &["404 User Not Found"]);
        assert_eq!(judged(404, r#"{"message":"404 User Not Found"}"#), Answer::NotFound);
        for body in ["", "<html>404 User Not Found", r#"{"message":"404 Not Found"}"#, r#"{"error":"404 Not Found"}"#, "404 User Not Found"]
        {
            assert!(matches!(judged(404, body), Answer::Failed(_)), "{body}");
        }
        for status in [204, 206, 301, 302, 304, 400, 405, 410, 418, 500, 502, 503, 504] {
            assert!(matches!(judged(status, r#"{"message":"404 User Not Found"}"#), Answer::Failed(_)), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(judged(status, r#"{"message":"404 User Not Found"}"#), Answer::Unauthorized(_)), "{status}");
        }
    }

    #[test]
    fn a_limit_is_plain_text_and_says_how_long() {
        let limited = |value: &'static str| {
            let mut response = response(429, "Retry later\n");
            response.headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            judge(&response, &[])
        };
        assert_eq!(limited("17"), Answer::Limited(Some(Duration::from_secs(17))));
        for other in ["", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999"] {
            assert_eq!(limited(other), Answer::Limited(None), "{other}");
        }
        assert_eq!(judge(&response(429, "Retry later\n"), &[]), Answer::Limited(None));
    }
}
