//! The ways in which a GitLab fails, or what stands before it.

use crate::support::fake_primary::{json_response, response_with_headers};

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nobody listens.
    Refused,
    /// It accepts, reads, and never answers.
    Hung,
    /// It ends connections within its answers.
    CutShort,
    /// Its proxy says 500, 502 or 503, with a page for people.
    ErrorPage(u16),
    /// The proxy knows no such host.
    DefaultHost,
    /// A page for logging in stands before it.
    LoginRedirect,
    /// `200 {}` to everything.
    EmptyObject,
    /// `200 null` to everything.
    Null,
    /// Its name points to another instance.
    OtherInstance,
    /// Its certificate has expired; only with TLS.
    ExpiredCertificate,
    /// It has another shell secret than we have.
    OtherSecret,
    /// It is asked too often, it says.
    TooManyRequests,
}

/// What is sent while it fails.
pub enum OutageReply {
    /// What is right: the failure is elsewhere.
    Truth,
    /// What the other instance says.
    OtherInstance,
    /// A part of what is right.
    CutShort,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Every way to fail that a connection without TLS has.
pub const PLAIN_OUTAGES: [Outage; 13] = [
    Outage::Refused,
    Outage::Hung,
    Outage::CutShort,
    Outage::ErrorPage(500),
    Outage::ErrorPage(502),
    Outage::ErrorPage(503),
    Outage::DefaultHost,
    Outage::LoginRedirect,
    Outage::EmptyObject,
    Outage::Null,
    Outage::OtherInstance,
    Outage::OtherSecret,
    Outage::TooManyRequests,
];

impl Outage {
    pub fn reply(self) -> OutageReply {
        let html = |status, headers: &str, body: &str| {
            OutageReply::Bytes(response_with_headers(status, &format!("Content-Type: text/html; charset=utf-8\r\n{headers}"), body))
        };
        match self {
            Self::Refused | Self::Hung | Self::ExpiredCertificate => OutageReply::Truth,
            Self::CutShort => OutageReply::CutShort,
            Self::OtherInstance => OutageReply::OtherInstance,
            Self::ErrorPage(503) => html(503, "Retry-After: 30\r\n", "<html><h1>GitLab is not responding</h1></html>\n"),
            Self::ErrorPage(status) => html(status, "", "<html><h1>Whoops, something went wrong</h1></html>\n"),
            Self::DefaultHost => html(404, "", "<html><head><title>404 Not Found</title></head></html>\n"),
            Self::LoginRedirect => {
                html(302, "Location: https://sso.example.com/login\r\nSet-Cookie: session=1\r\n", "<html>You are being redirected.</html>")
            }
            Self::EmptyObject => OutageReply::Bytes(json_response(200, "{}")),
            Self::Null => OutageReply::Bytes(json_response(200, "null")),
            Self::OtherSecret => OutageReply::Bytes(json_response(401, r#"{"message":"401 Unauthorized"}"#)),
            Self::TooManyRequests => OutageReply::Bytes(response_with_headers(
                429,
                "Content-Type: application/json\r\nRetry-After: 60\r\n",
                r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#,
            )),
        }
    }
}
