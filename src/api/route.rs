//! The kind of route that both daemons' tables are made of, and the look-up in such a table.
//!
//! A path is compared by its decoded segments; `:name` stands for any one segment, `**` at the end for any that follow, also none. The first
//! line that fits wins, so a table with a pass-through names what is never passed on before it.

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;

/// A handler's answer, as a future on the thread of the connection.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = HandlerResult> + 'a>>;

/// One endpoint of a daemon whose state is `S`.
pub struct Route<S: 'static> {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// Its method; `None` for any.
    pub method: Option<Method>,
    /// Its path after `/api/v4/`, or from `-/` on.
    pub path: &'static str,
    /// What its caller must show.
    pub auth: RequiredAuth,
    /// What is read of a request before its handler is called.
    pub body: BodyKind,
    /// Answers it.
    pub handler: for<'a> fn(&'a Arc<S>, ApiRequest) -> HandlerFuture<'a>,
}

/// The question about access, at both daemons.
const ACCESS_PATH: &str = "internal/allowed";

impl<S> Route<S> {
    /// Answers with an error. A question about access that is refused gets `status: false` beside its `message`, also where it could not be
    /// read: without it a host takes the refusal for a failure of the primary. Errors about the caller (401, 403) and 5xx stay as they are,
    /// because they decide nothing. (server.md 2.1)
    #[must_use]
    pub fn refuse(&self, mut error: ApiError) -> Response {
        let is_decision = matches!(error.status.as_u16(), 400 | 404 | 409 | 413 | 422 | 429);
        if self.path == ACCESS_PATH && is_decision {
            let body = error.body.get_or_insert_with(|| Box::new(json!({"message": error.message})));
            body["status"] = Value::Bool(false);
        }
        error.into_response()
    }
}

/// What a caller must show, checked before anything is read of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAuth {
    /// Nothing.
    None,
    /// gitlab-shell's token or, on Unix sockets, the shared secret; and the scope `shell` of the peer. (server.md 1.1)
    ShellToken,
    /// The scope `keys` of the peer; or what [`Self::ShellToken`] takes.
    KeysScopeOrToken,
    /// The scope `shell` of the peer. A good token is taken note of; one that is not good is the primary's to refuse.
    TokenIfShown,
    /// A follower's token.
    Follower,
    /// The token of KAS, the agents' server.
    Kas,
    /// The operator of this host, on the Unix socket.
    Operator,
    /// Whoever may read the metrics.
    Metrics,
    /// The handler judges a token of its own, and then asks whether the request could be read: [`ApiRequest::ensure_readable`].
    InHandler,
}

/// What is read of a request before its handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// The parameters of query and body.
    Parameters,
    /// The body as bytes, and the parameters of the query.
    RawBytes,
    /// The parameters of the query; the handler reads the body itself.
    Stream,
    /// Nothing.
    Unread,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// There is no such path.
    NotFound,
    /// The path takes these methods only.
    MethodNotAllowed(String),
}

impl RouteError {
    /// Answers 404, or 405 with the methods that the path takes.
    #[must_use]
    pub fn into_response(self) -> Response {
        match self {
            Self::NotFound => Response::json(StatusCode::NOT_FOUND, r#"{"error":"404 Not Found","message":"404 Not Found"}"#),
            Self::MethodNotAllowed(allowed) => {
                let text = format!("405 Method Not Allowed - this path takes {allowed}");
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response().with_header("allow", &allowed)
            }
        }
    }
}

/// Returns the names of the endpoints of the API in a table: all but those of who watches or operates the daemon.
pub fn api_endpoints<S>(routes: &'static [Route<S>]) -> impl Iterator<Item = &'static str> {
    routes.iter().filter(|route| !route.path.starts_with("-/") && route.path != "**").map(|route| route.name)
}

/// Finds the route of a method and the decoded segments of a path, and its index in the table.
pub fn find_route<'a, S>(routes: &'a [Route<S>], method: &Method, segments: &[String]) -> Result<(usize, &'a Route<S>), RouteError> {
    let mut allowed = Vec::new();
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| path_matches(route.path, segments)) {
        match &route.method {
            Some(own) if own != method => allowed.push(own.as_str()),
            _ => return Ok((index, route)),
        }
    }
    if allowed.is_empty() { Err(RouteError::NotFound) } else { Err(RouteError::MethodNotAllowed(allowed.join(", "))) }
}

fn path_matches(pattern: &str, segments: &[String]) -> bool {
    let mut segments = segments.iter();
    for part in pattern.split('/') {
        match (part, segments.next()) {
            ("**", _) => return true,
            (_, Some(segment)) if part.starts_with(':') || part == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// Makes a table of routes: `METHOD "path" = "name" Auth Body handler;` for each line, where `ANY` is every method, and the name is the
/// path where it is left out.
macro_rules! routes {
    ($state:ty; $($method:ident $path:literal $(= $name:literal)? $auth:ident $body:ident $($handler:ident)::+;)*) => {
        &[$($crate::api::route::Route::<$state> {
            name: $crate::api::route::endpoint_name(&[$path $(, $name)?]),
            method: $crate::api::route::routes!(@method $method),
            path: $path,
            auth: $crate::api::route::RequiredAuth::$auth,
            body: $crate::api::route::BodyKind::$body,
            handler: |state, request| Box::pin($($handler)::+(state, request)),
        }),*]
    };
    (@method ANY) => { None };
    (@method $method:ident) => { Some(http::Method::$method) };
}
pub(crate) use routes;

/// Returns the name of an endpoint: the last of its path and the name that it is given, without what each path of the API, or of the operator,
/// begins with.
pub const fn endpoint_name(names: &[&'static str]) -> &'static str {
    match names {
        [.., last] => without_prefix(without_prefix(without_prefix(last, "internal/"), "-/"), "admin/"),
        [] => "",
    }
}

/// Returns what follows a prefix, or all where it does not begin so.
const fn without_prefix(text: &'static str, prefix: &str) -> &'static str {
    let (bytes, expected) = (text.as_bytes(), prefix.as_bytes());
    if bytes.len() <= expected.len() {
        return text;
    }
    let mut index = 0;
    while index < expected.len() {
        if bytes[index] != expected[index] {
            return text;
        }
        index += 1;
    }
    text.split_at(expected.len()).1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};

    use super::{Route, RouteError, api_endpoints, endpoint_name, find_route, path_matches};
    use crate::api::error::HandlerResult;
    use crate::api::request::ApiRequest;
    use crate::net::message::Response;

    async fn handle(_state: &Arc<()>, _request: ApiRequest) -> HandlerResult {
        Ok(Response::empty(StatusCode::NO_CONTENT))
    }

    static ROUTES: &[Route<()>] = routes! { ();
        GET "internal/check" None Unread handle;
        PUT "namespaces/:id/minutes" = "minutes" None Unread handle;
        POST "namespaces/:id/minutes" None Unread handle;
        ANY "-/**" = "own" None Unread handle;
    };

    fn segments(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    fn found(method: Method, path: &str) -> Result<(usize, &'static str), RouteError> {
        find_route(ROUTES, &method, &segments(path)).map(|(index, route)| (index, route.name))
    }

    #[test]
    fn a_path_finds_its_route_and_a_wrong_method_names_the_allowed_ones() {
        assert_eq!(found(Method::GET, "internal/check"), Ok((0, "check")));
        assert_eq!(found(Method::POST, "internal/check"), Err(RouteError::MethodNotAllowed("GET".to_owned())));
        assert_eq!(found(Method::GET, "namespaces/7/minutes"), Err(RouteError::MethodNotAllowed("PUT, POST".to_owned())));
        assert_eq!(found(Method::GET, "internal/check/more"), Err(RouteError::NotFound));
        assert_eq!(found(Method::GET, "internal"), Err(RouteError::NotFound));
        assert_eq!(find_route(ROUTES, &Method::GET, &[]).err(), Some(RouteError::NotFound));
    }

    #[test]
    fn a_name_is_the_end_of_the_path_unless_it_is_given() {
        for (path, name) in [("internal/check", "check"), ("-/admin/status", "status"), ("-/", "-/"), ("namespaces/:id", "namespaces/:id")]
        {
            assert_eq!(endpoint_name(&[path]), name);
        }
        assert_eq!(endpoint_name(&["internal/x", "y"]), "y");
        assert_eq!(found(Method::PUT, "namespaces/7/minutes"), Ok((1, "minutes")));
        assert_eq!(found(Method::POST, "namespaces/7/minutes"), Ok((2, "namespaces/:id/minutes")));
    }

    #[test]
    fn what_watches_or_operates_the_daemon_is_no_endpoint_of_the_api() {
        let names: Vec<&str> = api_endpoints(ROUTES).collect();
        assert_eq!(names, ["check", "minutes", "namespaces/:id/minutes"]);
    }

    #[test]
    fn a_segment_with_a_colon_matches_any_one_segment_and_two_stars_match_all_that_follow() {
        assert!(path_matches("namespaces/:id/minutes", &segments("namespaces/7/minutes")));
        assert!(!path_matches("namespaces/:id/minutes", &segments("namespaces/7/8/minutes")));
        for path in ["-", "-/a", "-/a/b"] {
            assert_eq!(found(Method::PATCH, path), Ok((3, "own")), "{path}");
        }
        assert!(path_matches("a/:any/**", &segments("a/b")) && !path_matches("a/:any/**", &segments("a")));
    }
}
