//! The pages of a list, and how the next one is asked for. (server.md 5b)
//!
//! From 16.5 on a list of users goes on from a cursor in the link; before, and for keys, by the number of the page. Where a page is numbered,
//! what is removed meanwhile moves the rest forward, so that something may be on no page: what is not found is not yet gone.

use std::fmt;

use http::header::{HeaderMap, LINK};

use crate::model::id::Id;
use crate::wire::gitlab::link::{is_target_of, next_target};

/// The objects of a page: the most that GitLab gives.
pub const PER_PAGE: usize = 100;

const USERS: &str = "/api/v4/users";
const DEPLOY_KEYS: &str = "/api/v4/deploy_keys";
const NEXT_PAGE: &str = "x-next-page";

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<PageCursor>,
}

/// A page to ask for: path and query of the request. Its text can be stored and read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    path: String,
    query: String,
}

/// How a page is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The first one.
    First,
    /// By a cursor, which no change moves.
    Keyset,
    /// By its number.
    Numbered,
}

/// The lists that can be gone on with after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// All users.
    Users,
    /// All deploy keys of the instance.
    DeployKeys,
}

impl PageCursor {
    /// Returns the first page of all users by id, the lowest first.
    #[must_use]
    pub fn users_by_id() -> Self {
        Self::new(USERS, format!("pagination=keyset&order_by=id&sort=asc&per_page={PER_PAGE}"))
    }

    /// Returns the first page of all users by their last change, the newest first.
    #[must_use]
    pub fn users_by_update() -> Self {
        Self::new(USERS, format!("pagination=keyset&order_by=updated_at&sort=desc&per_page={PER_PAGE}"))
    }

    /// Returns the first page of the deploy keys of the instance.
    #[must_use]
    pub fn deploy_keys() -> Self {
        Self::new(DEPLOY_KEYS, format!("per_page={PER_PAGE}"))
    }

    /// Returns the first page of the keys of a user.
    #[must_use]
    pub fn user_keys(user: Id) -> Self {
        Self::new(&format!("{USERS}/{user}/keys"), format!("per_page={PER_PAGE}"))
    }

    /// Reads a page that was stored as text; `None` if it is none of this list.
    #[must_use]
    pub fn from_stored(text: &str, list: ListKind) -> Option<Self> {
        let path = match list {
            ListKind::Users => USERS,
            ListKind::DeployKeys => DEPLOY_KEYS,
        };
        Self::from_target(path, text)
    }

    /// Returns how the page is named.
    #[must_use]
    pub fn kind(&self) -> PageKind {
        if self.parameter("cursor").is_some() {
            PageKind::Keyset
        } else if self.parameter("page").is_some() {
            PageKind::Numbered
        } else {
            PageKind::First
        }
    }

    /// Returns whether something has to be on this page: no GitLab is without a user.
    #[must_use]
    pub fn is_never_empty(&self) -> bool {
        self.path == USERS && self.kind() == PageKind::First
    }

    /// Returns whether the objects of this page were asked for in the order of their ids, the lowest first.
    #[must_use]
    pub fn is_by_id(&self) -> bool {
        self.parameter("order_by") == Some("id") && self.parameter("sort") == Some("asc")
    }

    /// Returns the page after this one, of which `count` objects came with these headers; `None` if this was the last one. The error is
    /// the reason why that cannot be told. `root` is the relative root of the URL.
    pub fn after(&self, count: usize, headers: &HeaderMap, root: &str) -> Result<Option<Self>, String> {
        let links: Vec<&str> = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).collect();
        let next = next_target(&links.join(", "), root, &self.path).map_err(|error| error.to_string())?;
        match next.and_then(|target| Self::from_target(&self.path, &target)) {
            Some(next) if next == *self => Err("the link to the next page leads to the page itself".to_owned()),
            Some(next) => Ok(Some(next)),
            None if !links.is_empty() || self.kind() == PageKind::Keyset => Ok(None),
            None => Ok(self.numbered_after(count, headers)),
        }
    }

    /// Returns the next page by its number, where no link says anything: a proxy may take them away. A list that ends with a full page has
    /// an empty one after it.
    fn numbered_after(&self, count: usize, headers: &HeaderMap) -> Option<Self> {
        let said = headers.get(NEXT_PAGE).and_then(|value| value.to_str().ok());
        let goes_on = said.map_or(count >= PER_PAGE, |number| !number.trim().is_empty());
        let number: u64 = self.parameter("page").and_then(|number| number.parse().ok()).unwrap_or(1);
        // What asks for a cursor ignores the number of the page.
        let kept = self.query.split('&').filter(|parameter| !parameter.starts_with("page=") && !parameter.starts_with("pagination="));
        let kept = kept.collect::<Vec<_>>().join("&");
        goes_on.then(|| Self { path: self.path.clone(), query: format!("{kept}&page={}", number.saturating_add(1)) })
    }

    fn new(path: &str, query: String) -> Self {
        Self { path: path.to_owned(), query }
    }

    fn from_target(path: &str, target: &str) -> Option<Self> {
        let query = is_target_of(target, path).then(|| target.split_once('?')).flatten()?.1;
        Some(Self::new(path, query.to_owned()))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|parameter| parameter.split_once('=')).find(|(of, _)| *of == name).map(|(_, value)| value)
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}?{}", self.path, self.query)
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName, HeaderValue, LINK};

    use super::{ListKind, PER_PAGE, PageCursor, PageKind};

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn link(query: &str) -> HeaderMap {
        headers(&[(LINK, &format!(r#"<http://h/api/v4/users?{query}>; rel="next""#))])
    }

    #[test]
    fn a_cursor_is_followed_and_ends_without_a_link() {
        let first = PageCursor::users_by_id();
        assert_eq!(first.to_string(), "/api/v4/users?pagination=keyset&order_by=id&sort=asc&per_page=100");
        let next = first.after(PER_PAGE, &link("cursor=abc%3D&per_page=100"), "").unwrap().unwrap();
        assert_eq!((next.to_string().as_str(), next.kind()), ("/api/v4/users?cursor=abc%3D&per_page=100", PageKind::Keyset));
        assert_eq!(next.after(PER_PAGE, &HeaderMap::new(), ""), Ok(None));
        assert!(next.after(PER_PAGE, &link("cursor=abc%3D&per_page=100"), "").is_err(), "a page that leads to itself never ends");
        assert_eq!(PageCursor::from_stored(&next.to_string(), ListKind::Users), Some(next));
        for other in ["", "/api/v4/users", "/api/v4/users/7?a", "/api/v4/deploy_keys?a", "https://h/api/v4/users?a", "/api/v4/users?a b"] {
            assert_eq!(PageCursor::from_stored(other, ListKind::Users), None, "{other}");
        }
    }

    #[test]
    fn a_server_without_cursors_is_followed_by_its_links() {
        let next = PageCursor::users_by_id().after(PER_PAGE, &link("order_by=id&page=2&per_page=100"), "").unwrap().unwrap();
        assert_eq!(next.kind(), PageKind::Numbered);
        let last = headers(&[(LINK, r#"<http://h/api/v4/users?page=1>; rel="first""#)]);
        assert_eq!(next.after(PER_PAGE, &last, ""), Ok(None));
    }

    #[test]
    fn without_any_link_pages_are_counted_until_one_is_not_full() {
        let none = HeaderMap::new();
        let first = PageCursor::users_by_update();
        assert_eq!(first.after(PER_PAGE - 1, &none, ""), Ok(None));
        let second = first.after(PER_PAGE, &none, "").unwrap().unwrap();
        assert_eq!(second.to_string(), "/api/v4/users?order_by=updated_at&sort=desc&per_page=100&page=2");
        let third = second.after(PER_PAGE, &none, "").unwrap().unwrap();
        assert_eq!(third.to_string(), "/api/v4/users?order_by=updated_at&sort=desc&per_page=100&page=3");
        assert_eq!(third.after(0, &none, ""), Ok(None));
        let said = |number: &str| headers(&[(HeaderName::from_static("x-next-page"), number)]);
        assert_eq!(first.after(PER_PAGE, &said(""), ""), Ok(None));
        assert!(first.after(20, &said("2"), "").unwrap().is_some());
    }
}
