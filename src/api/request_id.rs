//! The id of a request, by which the lines about it in the logs of a host, of the primary and of the caller are found together.
//!
//! It is the caller's `X-Request-Id`, where it is short and plain enough for a log; else one of our own, which is made when it is first
//! needed. It goes with whatever the primary is asked for the request.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use http::{HeaderMap, HeaderValue};

/// The header that carries it.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The longest id that is taken from a caller.
const MAX_ID_BYTES: usize = 128;
/// What may stand in an id beside letters and digits.
const PUNCTUATION: &[u8] = b"-_.:/+=@";

/// The id of one request.
#[derive(Debug, Default)]
pub struct RequestId(OnceLock<HeaderValue>);

impl RequestId {
    /// Returns the id of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID_HEADER).filter(|value| is_plain(value.as_bytes()));
        given.map_or_else(Self::default, |value| Self(OnceLock::from(value.clone())))
    }

    /// Returns it as the value of a header: letters, digits and a few signs. Makes one, 16 hexadecimal digits, if the caller sent none.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        self.0.get_or_init(|| {
            let made = HeaderValue::from_str(&format!("{:016x}", fastrand::u64(..)));
            made.unwrap_or_else(|_| HeaderValue::from_static("0"))
        })
    }

    /// Returns it as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.value().to_str().unwrap_or_default()
    }
}

fn is_plain(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(|byte| byte.is_ascii_alphanumeric() || PUNCTUATION.contains(byte))
}

/// The id of the request that something is asked for, if there is one. It never tells two questions apart: whoever joins an equal question
/// is answered by the one that went out under the first one's id.
#[derive(Clone, Debug, Default)]
pub struct AskedFor(Option<HeaderValue>);

impl AskedFor {
    /// What is asked for this request.
    #[must_use]
    pub fn request(id: &RequestId) -> Self {
        Self(Some(id.value().clone()))
    }

    /// Returns the id as the value of a header.
    #[must_use]
    pub const fn value(&self) -> Option<&HeaderValue> {
        self.0.as_ref()
    }

    /// Returns the id as text; empty where nobody in particular asks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl PartialEq for AskedFor {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for AskedFor {}

impl Hash for AskedFor {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{AskedFor, MAX_ID_BYTES, REQUEST_ID_HEADER, RequestId};

    fn id_of(sent: &str) -> RequestId {
        RequestId::of(&HeaderMap::from_iter([(REQUEST_ID_HEADER.parse().unwrap(), HeaderValue::from_str(sent).unwrap())]))
    }

    #[test]
    fn a_plain_id_is_the_caller_s_and_any_other_is_made_anew_and_stays() {
        for sent in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "a-b_c.d:e/f+g=h@i", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(id_of(sent).as_str(), sent);
        }
        for sent in ["", "a b", "a\tb", "\"a\"", "a=\u{e9}", &"x".repeat(MAX_ID_BYTES + 1)] {
            let made = id_of(sent);
            assert!(made.as_str().len() == 16 && made.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()), "{made:?}");
            assert_eq!(made.as_str(), made.as_str());
        }
        assert_ne!(RequestId::default().as_str(), RequestId::default().as_str());
    }

    #[test]
    fn two_questions_for_two_requests_are_one_question() {
        assert_eq!(AskedFor::request(&id_of("a")), AskedFor::request(&id_of("b")));
        assert_eq!((AskedFor::request(&id_of("a")).as_str(), AskedFor::default().as_str()), ("a", ""));
    }
}
