//! The header `Link` of a list, which leads to the next page. (server.md 5b)
//!
//! Only the path and the query of the link are taken, and only where the path is the one that was asked: the next request goes to the
//! configured URL again, so no answer can send the token elsewhere. GitLab writes its `external_url` into the link, which on a Unix socket,
//! on loopback or behind a balancer is another origin than the one that was asked; it is not compared.

use http::Uri;

/// The longest target of a next page that is taken, in bytes; GitLab's have some 300.
pub const MAX_TARGET_BYTES: usize = 4096;
/// The most links in one header that are looked at: GitLab sends first, prev, next and last.
const MAX_LINKS: usize = 16;

/// Why a link to the next page is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    /// It is no URL, has no query, or is too long.
    #[error("the link to the next page is no URL with a query, or is longer than {MAX_TARGET_BYTES} bytes")]
    Malformed,
    /// It leads to another path than the one that was asked.
    #[error("the link to the next page leads to another path than the one that was asked; is the relative root in the URL right?")]
    OtherPath,
    /// There are two.
    #[error("there are two links to the next page")]
    Repeated,
}

/// Returns the target (path and query, without the relative root) of the link with `rel="next"`; `None` if there is none. `root` is the
/// relative root, empty or as `/gitlab`, and `path` what was asked below it, as `/api/v4/users`.
pub fn next_target(link: &str, root: &str, path: &str) -> Result<Option<String>, InvalidLink> {
    let mut next = None;
    for (url, parameters) in links(link).take(MAX_LINKS) {
        if !is_next(parameters) {
            continue;
        }
        let target = check_target(url, root, path)?;
        if next.replace(target).is_some() {
            return Err(InvalidLink::Repeated);
        }
    }
    Ok(next)
}

/// Returns whether a target is `path` with a query, and may be sent.
#[must_use]
pub fn is_target_of(target: &str, path: &str) -> bool {
    let query = target.strip_prefix(path).and_then(|rest| rest.strip_prefix('?'));
    target.len() <= MAX_TARGET_BYTES && query.is_some_and(|query| query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'))
}

/// Iterates over the links of a header: the URL between `<` and `>`, and the parameters after it.
fn links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

/// Returns whether the parameters of a link have the relation `next`.
fn is_next(parameters: &str) -> bool {
    let relation = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_end_matches(',').trim().trim_matches('"').to_ascii_lowercase())
    };
    parameters.split(';').filter_map(relation).any(|relations| relations.split_ascii_whitespace().any(|relation| relation == "next"))
}

fn check_target(url: &str, root: &str, path: &str) -> Result<String, InvalidLink> {
    let uri: Uri = url.parse().map_err(|_| InvalidLink::Malformed)?;
    let below_root = uri.path().strip_prefix(root).ok_or(InvalidLink::OtherPath)?;
    if below_root != path {
        return Err(InvalidLink::OtherPath);
    }
    let target = format!("{path}?{}", uri.query().ok_or(InvalidLink::Malformed)?);
    if is_target_of(&target, path) { Ok(target) } else { Err(InvalidLink::Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvalidLink, MAX_TARGET_BYTES, is_target_of, next_target};

    const PATH: &str = "/api/v4/users";

    #[test]
    fn the_next_page_is_followed_verbatim() {
        let query = "cursor=eyJpZCI6IjEwMCIsIl9rZCI6Im4ifQ%3D%3D&order_by=id&pagination=keyset&per_page=100&sort=asc";
        let link = format!(r#"<https://gitlab.example.com/api/v4/users?{query}>; rel="next""#);
        assert_eq!(next_target(&link, "", PATH), Ok(Some(format!("/api/v4/users?{query}"))));
        let below_a_root = link.replace(".com/", ".com/git/lab/");
        assert_eq!(next_target(&below_a_root, "/git/lab", PATH), Ok(Some(format!("/api/v4/users?{query}"))));
    }

    #[test]
    fn only_the_relation_next_is_followed() {
        let link = |relation: &str| format!(r#"<http://h/api/v4/users?page=2&per_page=100>; rel={relation}"#);
        for relation in [r#""next""#, "next", r#""last next""#, r#""NEXT"; title="x""#] {
            assert_eq!(next_target(&link(relation), "", PATH).as_ref().map(Option::is_some), Ok(true), "{relation}");
        }
        for relation in [r#""last""#, r#""first""#, r#""nextish""#, ""] {
            assert_eq!(next_target(&link(relation), "", PATH), Ok(None), "{relation}");
        }
        let whole = [link(r#""first""#), link(r#""next""#).replace("page=2", "page=3"), link(r#""last""#)].join(", ");
        assert_eq!(next_target(&whole, "", PATH), Ok(Some("/api/v4/users?page=3&per_page=100".into())));
        assert_eq!(next_target("", "", PATH), Ok(None));
    }

    #[test]
    fn another_origin_gets_nothing_because_only_path_and_query_are_taken() {
        let link = r#"<https://evil.example/api/v4/users?page=2>; rel="next""#;
        assert_eq!(next_target(link, "", PATH), Ok(Some("/api/v4/users?page=2".into())));
    }

    #[test]
    fn another_path_is_refused() {
        for url in [
            "https://h/api/v4/users/7?page=2",
            "https://h/api/v4/user?page=2",
            "https://h/gitlab/api/v4/users?page=2",
            "https://h/api/v4/../v4/users?page=2",
            "https://h/api/v4/%75sers?page=2",
            "https://h//api/v4/users?page=2",
            "https://h/?page=2",
        ] {
            assert_eq!(next_target(&format!(r#"<{url}>; rel="next""#), "", PATH), Err(InvalidLink::OtherPath), "{url}");
        }
        let outside = r#"<https://h/api/v4/users?page=2>; rel="next""#;
        assert_eq!(next_target(outside, "/gitlab", PATH), Err(InvalidLink::OtherPath));
    }

    #[test]
    fn what_is_no_url_with_a_query_is_refused() {
        for url in ["", "x y", "https://h/api/v4/users", "https://h/api/v4/users?a b", "https://h/api/v4/users?ë"] {
            let refused = next_target(&format!(r#"<{url}>; rel="next""#), "", PATH);
            assert!(refused.is_err(), "{url}: {refused:?}");
        }
        let long = format!("{PATH}?{}", "a".repeat(MAX_TARGET_BYTES - PATH.len() - 1));
        assert!(is_target_of(&long, PATH) && !is_target_of(&format!("{long}a"), PATH));
        let twice = r#"<http://h/api/v4/users?a>; rel="next", <http://h/api/v4/users?b>; rel="next""#;
        assert_eq!(next_target(twice, "", PATH), Err(InvalidLink::Repeated));
    }

    proptest! {
        #[test]
        fn whatever_is_followed_is_the_path_that_was_asked(link in "(<[a-z:/?%.]{0,40}(/api/v4/users)?[?a-z=&\"%]{0,20}>; rel=\"next\"|\\PC){0,3}") {
            if let Ok(Some(target)) = next_target(&link, "", PATH) {
                prop_assert!(is_target_of(&target, PATH), "{target}");
            }
        }
    }
}
