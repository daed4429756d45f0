//! The target of a request, checked before anything else: no empty, `.` or `..` segment, no encoded `.`, `/`, `\` or NUL.
//!
//! A target that passes is forwarded unchanged, to a primary that may decode more than once. So what would become a separator or a
//! dot by a second decoding is refused as well.

use crate::wire::http::percent_encoding::{PlusSign, percent_decode};

/// A checked target in origin form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    path: String,
    query: Option<String>,
    segments: Vec<String>,
}

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's path is refused: {0}")]
pub struct RequestTargetError(pub &'static str);

impl RequestTarget {
    /// Checks a request target as it stood in the request line. `%2F` is allowed only in the one segment after
    /// `namespaces/` and after `move/`. A relative root before `/api/v4` (as `/gitlab`) is dropped; `/-/…` stays.
    pub fn parse(target: &str) -> Result<Self, RequestTargetError> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        if query.is_some_and(|query| query.bytes().any(|byte| byte <= 0x20 || byte == 0x7f)) {
            return Err(RequestTargetError("a control byte or a blank in the query"));
        }
        let Some(relative) = path.strip_prefix('/') else {
            return Err(RequestTargetError("it does not begin with `/`"));
        };
        if path.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b'#')) {
            return Err(RequestTargetError("a byte that must be percent-encoded"));
        }
        let raw: Vec<&str> = if relative.is_empty() { Vec::new() } else { relative.split('/').collect() };
        let route_start = RouteStart::locate(&raw);
        let mut decoded = Vec::with_capacity(raw.len());
        let mut may_hold_slash = false;
        for (index, segment) in raw.iter().enumerate() {
            decoded.push(decode_segment(segment, may_hold_slash)?);
            may_hold_slash = !may_hold_slash && route_start.takes_full_path(index, segment);
        }
        Ok(Self {
            path: format!("/{}", raw[route_start.forwarded..].join("/")),
            query: query.map(str::to_owned),
            segments: decoded.split_off(route_start.endpoint),
        })
    }

    /// Returns the path to forward, still encoded, from `/api/v4` or `/-` on, without a relative root and without the query. A path
    /// with neither is unchanged.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the raw query.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Encodes each `+` in the values of a parameter of the query that were meant literally, so that whoever reads the query next does not
    /// read a space.
    pub fn encode_plus_in(&mut self, name: &str) {
        let encode = |pair: &str| match pair.split_once('=') {
            Some((own, value)) if percent_decode(own, PlusSign::Space).is_ok_and(|own| own == name) => {
                format!("{own}={}", value.replace('+', "%2B"))
            }
            _ => pair.to_owned(),
        };
        self.query = self.query.take().map(|query| query.split('&').map(encode).collect::<Vec<_>>().join("&"));
    }

    /// Returns the decoded segments after `/api/v4`: `["internal", "authorized_keys"]`; those of `/-/liveness` are `["-", "liveness"]`, those
    /// of `/hooks/gitlab` are `["hooks", "gitlab"]`. A path
    /// that leads to neither has none.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

/// Where the route begins in a path.
struct RouteStart {
    /// The index of the first segment that is forwarded.
    forwarded: usize,
    /// The index of the first segment of the route.
    endpoint: usize,
}

impl RouteStart {
    fn locate(raw: &[&str]) -> Self {
        if matches!(raw.first(), Some(&("-" | "hooks"))) {
            return Self { forwarded: 0, endpoint: 0 };
        }
        match raw.windows(2).position(|pair| pair == ["api", "v4"]) {
            Some(root) => Self { forwarded: root, endpoint: root + 2 },
            None => Self { forwarded: 0, endpoint: raw.len() },
        }
    }

    fn takes_full_path(&self, index: usize, segment: &str) -> bool {
        index >= self.endpoint && matches!(segment, "namespaces" | "move")
    }
}

fn decode_segment(segment: &str, may_hold_slash: bool) -> Result<String, RequestTargetError> {
    let decoded = percent_decode(segment, PlusSign::Literal).map_err(|_| RequestTargetError("what is not percent-encoded UTF-8"))?;
    let encoded = |byte: &str| segment.as_bytes().windows(3).any(|escape| escape.eq_ignore_ascii_case(byte.as_bytes()));
    if encoded("%2e") {
        return Err(RequestTargetError("an encoded `.`"));
    }
    if encoded("%5c") {
        return Err(RequestTargetError("an encoded `\\`"));
    }
    if decoded.chars().any(char::is_control) {
        return Err(RequestTargetError("an encoded control character"));
    }
    if encoded("%2f") && !may_hold_slash {
        return Err(RequestTargetError("an encoded `/` elsewhere than in the one segment after `namespaces/` or `move/`"));
    }
    if is_double_encoded(&decoded) {
        return Err(RequestTargetError("a separator or a dot that is encoded twice"));
    }
    match decoded.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some("") => Err(RequestTargetError("an empty segment")),
        Some(_) => Err(RequestTargetError("a segment `.` or `..`")),
        None => Ok(decoded.into_owned()),
    }
}

/// Returns whether a second decoding would give a byte that the first may not.
fn is_double_encoded(decoded: &str) -> bool {
    decoded.as_bytes().windows(3).any(|escape| matches!(escape.to_ascii_lowercase().as_slice(), b"%2e" | b"%2f" | b"%5c" | b"%00" | b"%25"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RequestTarget;
    use crate::wire::http::percent_encoding::{PlusSign, percent_decode};

    fn segments(target: &str) -> Vec<String> {
        RequestTarget::parse(target).unwrap().segments().to_vec()
    }

    fn parse_error(target: &str) -> String {
        RequestTarget::parse(target).unwrap_err().to_string()
    }

    #[test]
    fn a_relative_root_of_any_depth_is_dropped() {
        for root in ["", "/gitlab", "/a/b/c"] {
            let target = RequestTarget::parse(&format!("{root}/api/v4/internal/authorized_keys?key=AA%2F")).unwrap();
            assert_eq!(target.path(), "/api/v4/internal/authorized_keys");
            assert_eq!(target.query(), Some("key=AA%2F"));
            assert_eq!(target.segments(), ["internal", "authorized_keys"]);
        }
    }

    #[test]
    fn our_own_paths_are_kept_and_other_paths_have_no_segments() {
        assert_eq!(segments("/-/liveness"), ["-", "liveness"]);
        assert_eq!(segments("/-/api/v4/internal"), ["-", "api", "v4", "internal"]);
        for path in ["/", "/internal/check", "/api/v3/internal/check", "/gitlab/-/liveness", "/api/v4"] {
            assert!(segments(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn a_slash_may_be_encoded_in_the_one_segment_that_is_a_path() {
        assert_eq!(segments("/api/v4/namespaces/a%2Fb.c/minutes/move/d%2fe"), ["namespaces", "a/b.c", "minutes", "move", "d/e"]);
        assert_eq!(segments("/api/v4/internal/gitlab_subscriptions/namespaces/a%2Fb")[3], "a/b");
        for wrong in [
            "/api/v4/internal%2Fcheck",
            "/api/v4/namespaces/a/b%2Fc",
            "/api/v4/namespaces/namespaces/b%2Fc",
            "/namespaces/a%2Fb/api/v4/internal",
            "/-/namespaces%2Fa",
        ] {
            assert!(parse_error(wrong).contains("an encoded `/`"), "{wrong}");
        }
        for wrong in ["a%2F..%2Fb", "a%2F", "%2Fa", "a%2F%2Fb", ".%2Fa", "a%2F."] {
            assert!(RequestTarget::parse(&format!("/api/v4/namespaces/{wrong}/minutes")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_server_might_fold_or_decode_away_is_refused() {
        for (wrong, why) in [
            ("/api/v4/internal/check/", "an empty segment"),
            ("/api/v4//internal", "an empty segment"),
            ("//api/v4/internal", "an empty segment"),
            ("/api/v4/./internal", "a segment `.`"),
            ("/a/../api/v4/internal", "a segment `.`"),
            ("/api/v4/%2e%2E/internal", "an encoded `.`"),
            ("/api/v4/a%2Eb", "an encoded `.`"),
            ("/api/v4/a%5Cb", "an encoded `\\`"),
            ("/api/v4/a\\b", "must be percent-encoded"),
            ("/api/v4/a%00", "an encoded control"),
            ("/api/v4/a%0d%0a", "an encoded control"),
            ("/api/v4/a%C2%85", "an encoded control"),
            ("/api/v4/a%252e", "encoded twice"),
            ("/api/v4/a%25252e", "encoded twice"),
            ("/api/v4/a%2", "not percent-encoded"),
            ("/api/v4/a%zz", "not percent-encoded"),
            ("/api/v4/%C0%AE", "not percent-encoded"),
            ("/api/v4/ë", "must be percent-encoded"),
            ("/api/v4/a b", "must be percent-encoded"),
            ("/api/v4/a#b", "must be percent-encoded"),
            ("http://unix/api/v4/internal/check", "does not begin"),
            ("*", "does not begin"),
            ("", "does not begin"),
            ("/api/v4/a?x=\r\n", "in the query"),
        ] {
            assert!(parse_error(wrong).contains(why), "{wrong}: {}", parse_error(wrong));
        }
    }

    #[test]
    fn a_plus_of_one_parameter_is_encoded_and_nothing_else() {
        let mut target = RequestTarget::parse("/api/v4/a+b?key=A+B+&k%65y=+&other=a+b&+&key").unwrap();
        target.encode_plus_in("key");
        assert_eq!((target.path(), target.query()), ("/api/v4/a+b", Some("key=A%2BB%2B&k%65y=%2B&other=a+b&+&key")));
    }

    proptest! {
        #[test]
        fn no_target_leaves_its_root_however_often_it_is_decoded(target in "(/|api|v4|namespaces|move|\\.|%2[eEfF5]|%5c|%00|a|-|%|2|e|\\?|\\PC){0,16}") {
            let Ok(target) = RequestTarget::parse(&target) else { return Ok(()) };
            let mut path = target.path().to_owned();
            for _ in 0..4 {
                prop_assert!(path.split(['/', '\\']).skip(1).all(|part| part != "." && part != ".."), "{}", path);
                prop_assert!(!path.contains('\0'));
                let Ok(further) = percent_decode(&path, PlusSign::Literal) else { break };
                path = further.into_owned();
            }
            prop_assert!(target.segments().iter().all(|segment| !segment.is_empty()));
        }
    }
}
