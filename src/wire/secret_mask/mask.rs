//! Takes the parameter `secret_token` out of a body that is passed on as it arrives, without reading it as a whole.
//!
//! The length stays, so that a declared one stays true: in JSON the member becomes white space, in a form the pair becomes `&`, in a
//! multipart body the name becomes `_` and the value white space. Of a body of any other type nobody reads parameters.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::wire::secret_mask::form::FormMask;
use crate::wire::secret_mask::json::JsonMask;
use crate::wire::secret_mask::multipart::MultipartMask;

/// The mask of one body. Whatever it holds back at a time is part of one name, or of the header of one part.
pub struct SecretMask {
    format: MaskedFormat,
    /// What has arrived and is not decided yet.
    held: BytesMut,
}

enum MaskedFormat {
    Json(JsonMask),
    Form(FormMask),
    Multipart(MultipartMask),
    Other,
}

impl SecretMask {
    /// Returns the mask for a body with these headers.
    #[must_use]
    pub fn new(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match media_type.as_str() {
            "" | "application/x-www-form-urlencoded" => MaskedFormat::Form(FormMask::default()),
            json if json.ends_with("json") => MaskedFormat::Json(JsonMask::default()),
            multipart if multipart.starts_with("multipart/") => {
                boundary(content_type).map_or(MaskedFormat::Other, |boundary| MaskedFormat::Multipart(MultipartMask::new(&boundary)))
            }
            _ => MaskedFormat::Other,
        };
        Self { format, held: BytesMut::new() }
    }

    /// Takes the next bytes, and returns those that may be sent.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        if matches!(self.format, MaskedFormat::Other) {
            return chunk;
        }
        self.held.extend_from_slice(&chunk);
        let decided = match &mut self.format {
            MaskedFormat::Json(mask) => mask.advance(&mut self.held),
            MaskedFormat::Form(mask) => mask.advance(&mut self.held, false),
            MaskedFormat::Multipart(mask) => mask.advance(&mut self.held),
            MaskedFormat::Other => self.held.len(),
        };
        self.held.split_to(decided).freeze()
    }

    /// Returns what is left at the end of the body.
    pub fn finish(&mut self) -> Bytes {
        match &mut self.format {
            MaskedFormat::Form(mask) => {
                let _all = mask.advance(&mut self.held, true);
            }
            MaskedFormat::Multipart(mask) => mask.finish(&mut self.held),
            MaskedFormat::Json(_) | MaskedFormat::Other => {}
        }
        self.held.split().freeze()
    }

    /// Returns how many bytes are held back.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let params = content_type.split(';').skip(1).filter_map(|param| param.split_once('='));
    let found = params.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    Some(found.1.trim().trim_matches('"').to_owned()).filter(|boundary| !boundary.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::SecretMask;

    /// Passes a body in pieces of this length.
    fn masked(content_type: &'static str, body: &str, piece: usize) -> String {
        let mut mask = SecretMask::new(&HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))]));
        let mut sent = Vec::new();
        for chunk in body.as_bytes().chunks(piece.max(1)) {
            sent.extend_from_slice(&mask.push(Bytes::copy_from_slice(chunk)));
        }
        sent.extend_from_slice(&mask.finish());
        assert_eq!((sent.len(), mask.held_bytes()), (body.len(), 0), "{body}");
        String::from_utf8(sent).unwrap()
    }

    fn assert_masked(content_type: &'static str, body: &str, expected: &str) {
        for piece in 1..=body.len().max(1) {
            let sent = masked(content_type, body, piece);
            assert_eq!(sent, expected, "in pieces of {piece}");
        }
    }

    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
    const JSON: &str = "application/json; charset=utf-8";

    #[test]
    fn a_form_loses_the_pair_and_nothing_else() {
        assert_masked(FORM, "a=1&secret_token=hidden&b=2", "a=1&&&&&&&&&&&&&&&&&&&&&b=2");
        assert_masked(FORM, "secret_token=hidden", "&&&&&&&&&&&&&&&&&&&");
        assert_masked(FORM, "b=2&secret%5Ftoken", "b=2&&&&&&&&&&&&&&&");
        assert_masked("", "secret_token[]=h&a=secret_token=1&secret_tokens=2", "&&&&&&&&&&&&&&&&&a=secret_token=1&secret_tokens=2");
        assert_masked(FORM, "a=1;secret_token=h", "a=1;&&&&&&&&&&&&&&");
        let long = format!("{}=1&a=2", "x".repeat(1_000));
        assert_eq!(masked(FORM, &long, 7), long);
    }

    #[test]
    fn an_object_loses_the_member_wherever_it_stands_and_is_json_as_before() {
        for (body, rest) in [
            (r#"{"secret_token":"hidden"}"#, json!({})),
            (r#"{"secret_token":"hid\"den","a":1}"#, json!({"a": 1})),
            (r#" { "a" : 1 , "secret_token" : "hidden" } "#, json!({"a": 1})),
            (r#"{"a":[{"b":"}"}],"secret\u005ftoken":"hidden","c":{}}"#, json!({"a": [{"b": "}"}], "c": {}})),
            (r#"{"secret_token":{"x":["hidden",{"y":"]}"}]},"secret_token":"hidden","c":null}"#, json!({"c": null})),
            (r#"{"a":1,"secret_token":12345,"secret_token":"hidden"}"#, json!({"a": 1})),
        ] {
            for piece in 1..=body.len() {
                let sent = masked(JSON, body, piece);
                assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), rest, "{body} in pieces of {piece}: {sent}");
                assert!(!sent.contains("hid") && !sent.contains("12345") && !sent.contains("secret"), "{sent}");
            }
        }
    }

    #[test]
    fn much_white_space_before_a_name_hides_nothing_and_is_not_held() {
        let space = " ".repeat(5_000);
        let body = format!("{{{space}\"a\":1,{space}\"secret_token\":\"hidden\",{space}\"b\":2}}");
        for piece in [1, 700, 6_000, body.len()] {
            let sent = masked(JSON, &body, piece);
            assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), json!({"a": 1, "b": 2}), "in pieces of {piece}");
            assert!(!sent.contains("hidden") && !sent.contains("secret"));
        }
        let mut mask = SecretMask::new(&HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON))]));
        let _sent = mask.push(Bytes::from(format!("{{\"a\":1,{space}")));
        assert!(mask.held_bytes() <= 1_100, "{}", mask.held_bytes());
    }

    #[test]
    fn what_only_looks_like_the_secret_stays() {
        for body in [
            r#"{"a":{"secret_token":"inner"},"b":"secret_token","c":["secret_token",":"]}"#,
            r#"["secret_token","x"]"#,
            r#""secret_token""#,
            r#"{"a":1,}"#,
            r#"{"#,
            "",
        ] {
            assert_masked(JSON, body, body);
        }
        assert_masked("text/plain", "secret_token=x", "secret_token=x");
    }

    #[test]
    fn a_part_loses_its_name_and_its_value() {
        let body = |name: &str, value: &str| {
            format!(
                "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--x\r\n\r\n--xx\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n--xx\r\n\
                 Content-Disposition: form-data; name=\"f\"; filename=\"secret_token\"\r\n\r\nfile\r\n--xx--\r\n"
            )
        };
        const MULTIPART: &str = "multipart/form-data; boundary=\"xx\"";
        assert_masked(MULTIPART, &body("name=\"secret_token\"", "hid\r\nden"), &body("name=\"____________\"", "        "));
        assert_masked(MULTIPART, &body("name=secret_token", "hidden"), &body("name=____________", "      "));
        assert_masked(MULTIPART, &body("name*=utf-8''secret%5Ftoken", "hidden"), &body("name*=_____________________", "      "));
        assert_masked(MULTIPART, &body("name=\"other\"", "shown"), &body("name=\"other\"", "shown"));
    }

    proptest! {
        #[test]
        fn whatever_arrives_keeps_its_length_and_what_has_no_secret_is_unchanged(body in "[a-z{}\\[\\]\":,=&\\\\ ]{0,60}", piece in 1..9_usize) {
            for content_type in [FORM, JSON, "multipart/form-data; boundary=a"] {
                prop_assert_eq!(masked(content_type, &body, piece), body.clone());
            }
        }

        #[test]
        fn of_any_object_only_the_secret_is_lost(
            members in prop::collection::vec(("[a-c]{1,2}|secret_token", "\\PC{0,6}"), 0..6),
            piece in 1..20_usize,
        ) {
            let text = members.iter().map(|(name, value)| format!("{}:{}", json!(name), json!([value])));
            let text = format!("{{{}}}", text.collect::<Vec<_>>().join(" ,\n"));
            let kept: Value = members.iter().filter(|(name, _)| name != "secret_token").map(|(name, value)| (name.clone(), json!([value]))).collect();
            prop_assert_eq!(serde_json::from_str::<Value>(&masked(JSON, &text, piece)).unwrap(), kept);
        }
    }
}
