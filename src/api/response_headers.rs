//! The headers by which a response says where it comes from, how old that is, and that the primary could not be asked.

use std::time::Duration;

use http::HeaderValue;

use crate::net::message::Response;

/// Where a response comes from: `local`, `cached` or `forwarded`.
pub const ANSWER_HEADER: &str = "x-sidegate-answer";
/// The value of [`ANSWER_HEADER`] of an answer that the primary gave before.
pub const CACHED_ANSWER: HeaderValue = HeaderValue::from_static("cached");
/// How old it is, in seconds.
pub const AGE_HEADER: &str = "x-sidegate-age";
/// Present where the primary could not be asked, or its no is not believed.
pub const DEGRADED_HEADER: &str = "x-sidegate-degraded";
/// The last commit that the primary knew of when it began to answer a request that a sidecar sent on.
pub const POSITION_HEADER: &str = "x-sidegate-position";
/// Marks a request that a sidecar sends on.
pub const FORWARDED_HEADER: &str = "x-sidegate-forwarded";

/// Marks a response from the local directory, which is of this age.
pub fn mark_local(response: Response, age: Option<Duration>) -> Response {
    set_age(response.with_header(ANSWER_HEADER, "local"), age)
}

/// Marks a response that the primary gave before, so long ago.
pub fn mark_cached(response: Response, age: Option<Duration>) -> Response {
    set_age(response.with_header(ANSWER_HEADER, "cached"), age)
}

/// Marks a response that the primary gave just now.
pub fn mark_forwarded(response: Response) -> Response {
    response.with_header(ANSWER_HEADER, "forwarded")
}

/// Marks a response that was given because the primary cannot be asked.
pub fn mark_degraded(response: Response) -> Response {
    response.with_header(DEGRADED_HEADER, "primary-unreachable")
}

/// Marks a yes that was given in place of a no, because the primary does not know most of the keys that it knew.
pub fn mark_mass_negative(response: Response) -> Response {
    response.with_header(DEGRADED_HEADER, "mass-negative")
}

fn set_age(response: Response, age: Option<Duration>) -> Response {
    match age.map_or(0, |age| age.as_secs()) {
        0 => response.with_header(AGE_HEADER, "0"),
        seconds => response.with_header(AGE_HEADER, &seconds.to_string()),
    }
}

/// Lets gitlab-shell's HTTP client count our failures.
pub fn enable_circuit_breaker(response: Response) -> Response {
    response.with_header("enable-workhorse-circuit-breaker", "true")
}
