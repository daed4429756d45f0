//! What carries a question to GitLab: HTTP with the credential of the API that is asked. Nothing is ever sent but to the configured URL.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};

use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::{HttpClient, InvalidUrl};
use crate::net::client::primary_url::PrimaryUrl;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};
use crate::wire::auth::secret::Secret;

/// How long a page of the public API may take: a page of 100 users is slow on a large instance.
const REST_TIME_LIMIT: Duration = Duration::from_secs(60);
/// How long a question of the internal API may take.
const INTERNAL_TIME_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes: a page of 100 users has some 300 KiB, one of 100 large keys 1.1 MiB.
pub const MAX_BODY_BYTES: usize = 8 << 20;

const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which of GitLab's two APIs is asked, and so with which credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// The public one, with the administrator's token.
    Rest,
    /// The internal one, with a token that the shell secret signs.
    Internal,
}

/// A GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitlabRequest {
    /// Which API.
    pub api: Api,
    /// Path and query, from `/api/v4` on, without the relative root.
    pub target: String,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitlabResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, all of it.
    pub body: Bytes,
}

/// The answer, or in a few words why there is none.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<GitlabResponse, String>> + Send + 'a>>;

/// Carries questions to a GitLab.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request at `now` and returns the whole response. The error is the reason, without secrets.
    fn send(&self, request: GitlabRequest, now: Time) -> Exchange<'_>;
    /// Returns the relative root that links of the answers begin with: empty, or as `/gitlab`.
    fn relative_root(&self) -> &str;
}

/// The token of the public API, which may be replaced at run time.
pub struct PrivateToken(ArcSwap<HeaderValue>);

/// The error of a token that no header can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token has a character that no header can carry; it is one line of printable ASCII")]
pub struct InvalidToken;

impl PrivateToken {
    /// Starts with one token.
    pub fn new(token: &Secret) -> Result<Self, InvalidToken> {
        Ok(Self(ArcSwap::from_pointee(token_header(token)?)))
    }

    /// Replaces the token.
    pub fn replace(&self, token: &Secret) -> Result<(), InvalidToken> {
        self.0.store(Arc::new(token_header(token)?));
        Ok(())
    }
}

fn token_header(token: &Secret) -> Result<HeaderValue, InvalidToken> {
    let bytes = token.expose_bytes();
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(InvalidToken);
    }
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Carries questions over HTTP.
pub struct HttpTransport {
    client: HttpClient,
    relative_root: String,
    token: Arc<PrivateToken>,
    signer: Arc<CredentialVerifier>,
}

impl HttpTransport {
    /// Returns the transport to a URL, as [`HttpClient::new`] takes it; plain HTTP goes to loopback only. `signer` has the shell secret.
    pub fn new(url: &str, ca_file: Option<&Path>, token: Arc<PrivateToken>, signer: Arc<CredentialVerifier>) -> Result<Self, InvalidUrl> {
        let client = HttpClient::new(url, ca_file, false)?;
        Ok(Self { client, relative_root: relative_root(url), token, signer })
    }

    async fn exchange(&self, request: GitlabRequest, now: Time) -> Result<GitlabResponse, String> {
        let (time_limit, name, value) = match request.api {
            Api::Rest => (REST_TIME_LIMIT, PRIVATE_TOKEN, HeaderValue::clone(&self.token.0.load())),
            Api::Internal => (INTERNAL_TIME_LIMIT, HeaderName::from_static(SHELL_TOKEN_HEADER), self.shell_token(now)?),
        };
        let request = Request::get(&request.target).header(ACCEPT, CONTENT_TYPE_JSON).header(name, value);
        let request = request.body(OutgoingBody::from_bytes(Bytes::new())).map_err(|_| "the question cannot be written".to_owned())?;
        let response = self.client.send(request, time_limit).await.map_err(|error| error.reason)?;
        let (head, body) = response.into_parts();
        let body = body.read(MAX_BODY_BYTES, time_limit).await.map_err(|error| error.to_string())?;
        Ok(GitlabResponse { status: head.status, headers: head.headers, body })
    }

    fn shell_token(&self, now: Time) -> Result<HeaderValue, String> {
        let mut value =
            HeaderValue::try_from(self.signer.issue_shell_token(now)).map_err(|_| "the question cannot be signed".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: GitlabRequest, now: Time) -> Exchange<'_> {
        Box::pin(self.exchange(request, now))
    }

    fn relative_root(&self) -> &str {
        &self.relative_root
    }
}

/// Returns the path in a URL that the client has taken, without a `/` at its end. A socket has none.
fn relative_root(url: &str) -> String {
    match PrimaryUrl::parse(url, false) {
        Ok(PrimaryUrl::Http { prefix, .. }) => prefix,
        Ok(PrimaryUrl::Unix(_)) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{PrivateToken, relative_root};
    use crate::wire::auth::secret::Secret;

    #[test]
    fn the_relative_root_is_the_path_of_the_url() {
        for (url, root) in [
            ("https://gitlab.example.com", ""),
            ("https://gitlab.example.com/", ""),
            ("http://127.0.0.1:80/git/lab/", "/git/lab"),
            ("http+unix:///run/gitlab.sock", ""),
        ] {
            assert_eq!(relative_root(url), root, "{url}");
        }
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        let token = |text: &str| PrivateToken::new(&Secret::from_bytes(text.as_bytes()).unwrap());
        assert!(token("glpat-0123456789abcdefghij\n").is_ok());
        for wrong in ["a b", "a\nb", "tökên", "a\u{7f}"] {
            assert!(token(wrong).is_err(), "{wrong:?}");
        }
    }
}
