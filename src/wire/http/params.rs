//! Parameters of a request, from its query and its body, in Rails' shapes. The limits of depth and count are named here. (server.md 1.2)
//!
//! Whatever form they came in, they are one JSON object. An error names the parameter and never its value, which may be a secret.

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::model::id::Id;
use crate::wire::http::decoded_size::BodyFormat;
use crate::wire::http::params_error::{MAX_PARAM_COUNT, ParamsError};
use crate::wire::http::percent_encoding::{PlusSign, percent_decode};
use crate::wire::http::{date_param, json_body, nested_params};

/// The parameters of one request: a JSON object, whatever form they came in.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// The object: names as they were sent, in their order.
    pub values: Map<String, Value>,
}

impl Params {
    /// Reads query and body. A body is JSON or a form by its content type, a form without one; also that of a GET
    /// (gitlab-shell sends `Content-Type: application/json` on GETs with an empty body).
    pub fn parse(query: Option<&str>, content_type: Option<&str>, body: &[u8]) -> Result<Self, ParamsError> {
        let mut remaining = MAX_PARAM_COUNT;
        let mut values = parse_form("query", query.unwrap_or_default(), &mut remaining)?;
        for (name, value) in parse_body(content_type, body, &mut remaining)? {
            if values.contains_key(&name) {
                return Err(ParamsError::Duplicate(name));
            }
            values.insert(name, value);
        }
        Ok(Self { values })
    }

    /// Returns whether the parameter is given at all, even if it is `null` or empty.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns a parameter as text; a number is its digits. Absent and `null` are `None`.
    pub fn text(&self, name: &str) -> Result<Option<String>, ParamsError> {
        self.value(name).map(|value| parse_text(name, value)).transpose()
    }

    /// Returns a parameter as an id: digits as text, or a number. Absent, `null` and empty are `None`; a well-formed number that no record can
    /// have (0, above 2^63-1) is an error.
    pub fn id(&self, name: &str) -> Result<Option<Id>, ParamsError> {
        let wrong = || ParamsError::invalid_value(name, "a whole number from 1 to 9223372036854775807");
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong()),
            Some(value) => non_negative_integer(value).and_then(|number| Id::try_from(number).ok()).map(Some).ok_or_else(wrong),
        }
    }

    /// Returns a parameter as a whole number, negative ones too. Absent, `null` and empty are `None`.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ParamsError> {
        self.non_empty_value(name).map(|value| parse_integer(name, value)).transpose()
    }

    /// Returns a parameter as a boolean: true, false, "true", "false", "1", "0", 1, 0. Absent, `null` and empty are `None`.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ParamsError> {
        let flag = match self.non_empty_value(name) {
            None => return Ok(None),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Some(value) => match non_negative_integer(value) {
                Some(1) => Some(true),
                Some(0) => Some(false),
                _ => None,
            },
        };
        flag.map(Some).ok_or_else(|| ParamsError::invalid_value(name, "true or false"))
    }

    /// Returns a parameter as a date, as `2021-06-13` or `13 Jun 2021`. Absent, `null` and empty are `None`.
    pub fn date(&self, name: &str) -> Result<Option<Date>, ParamsError> {
        let day = |value: &Value| value.as_str().and_then(date_param::parse_date);
        self.non_empty_value(name)
            .map(|value| day(value).ok_or_else(|| ParamsError::invalid_value(name, "a day, as 2021-06-13")))
            .transpose()
    }

    /// Returns a parameter as a list: a list, or an object whose names are numbers, which is what `a[0]=x` makes, in their order. Absent and
    /// `null` are `None`.
    pub fn list(&self, name: &str) -> Result<Option<Vec<&Value>>, ParamsError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list.iter().collect())),
            Some(Value::Object(object)) => match indexed_values(object) {
                Some(list) => Ok(Some(list)),
                None => Err(ParamsError::invalid_value(name, "a list")),
            },
            Some(_) => Err(ParamsError::invalid_value(name, "a list")),
        }
    }

    /// Returns a parameter as a list of texts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ParamsError> {
        self.parse_list(name, |value| parse_text(&format!("{name}[]"), value))
    }

    /// Returns a parameter as texts: a list of them, a single one, or none.
    pub fn text_or_list(&self, name: &str) -> Result<Vec<String>, ParamsError> {
        match self.value(name) {
            Some(Value::String(one)) if one.is_empty() => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            _ => Ok(self.texts(name)?.unwrap_or_default()),
        }
    }

    /// Returns a parameter as a list of whole numbers.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ParamsError> {
        self.parse_list(name, |value| parse_integer(&format!("{name}[]"), value))
    }

    /// Returns a parameter as a list of objects. Errors within one are named with [`ParamsError::nested_in`].
    pub fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, ParamsError> {
        self.parse_list(name, |value| parse_object(name, value, "a list of objects"))
    }

    /// Returns a parameter as an object. Errors within it are named with [`ParamsError::nested_in`].
    pub fn object(&self, name: &str) -> Result<Option<Self>, ParamsError> {
        self.value(name).map(|value| parse_object(name, value, "an object")).transpose()
    }

    /// Returns the first name that is not in `known`.
    #[must_use]
    pub fn first_unknown(&self, known: &[&str]) -> Option<&str> {
        self.values.keys().map(String::as_str).find(|name| !known.contains(name))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    fn non_empty_value(&self, name: &str) -> Option<&Value> {
        self.value(name).filter(|value| value.as_str() != Some(""))
    }

    fn parse_list<T>(&self, name: &str, read: impl Fn(&Value) -> Result<T, ParamsError>) -> Result<Option<Vec<T>>, ParamsError> {
        self.list(name)?.map(|list| list.into_iter().map(read).collect()).transpose()
    }
}

/// Encodes names and values as a query or a form.
#[must_use]
pub fn encode_form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn parse_body(content_type: Option<&str>, body: &[u8], remaining: &mut usize) -> Result<Map<String, Value>, ParamsError> {
    let malformed = |reason: &str| ParamsError::Malformed { part: "body", reason: reason.to_owned() };
    if body.is_empty() {
        return Ok(Map::new());
    }
    match BodyFormat::of(content_type) {
        BodyFormat::Json => json_body::parse_json_object(body),
        BodyFormat::Form => {
            let form = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
            parse_form("body", form, remaining)
        }
        BodyFormat::Multipart => Err(malformed("multipart is not read here; send JSON or a URL-encoded form")),
        BodyFormat::Unknown => Err(malformed("its type is neither application/json nor application/x-www-form-urlencoded")),
    }
}

fn parse_form(part: &'static str, form: &str, remaining: &mut usize) -> Result<Map<String, Value>, ParamsError> {
    let mut values = Map::new();
    for pair in form.split('&').filter(|pair| !pair.is_empty()) {
        *remaining = remaining.checked_sub(1).ok_or(ParamsError::LimitExceeded)?;
        let decoded =
            |text| percent_decode(text, PlusSign::Space).map_err(|error| ParamsError::Malformed { part, reason: error.to_string() });
        // A name without `=` has no value, which is not the same as an empty one.
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Value::from(decoded(value)?)),
            None => (pair, Value::Null),
        };
        let name = decoded(name)?;
        // Each name in brackets may make an object of its own.
        let nested_names = name.bytes().zip(name.bytes().skip(1)).filter(|(first, next)| *first == b'[' && *next != b']').count();
        *remaining = remaining.checked_sub(nested_names).ok_or(ParamsError::LimitExceeded)?;
        nested_params::insert_nested(&mut values, part, &name, value)?;
    }
    Ok(values)
}

fn parse_text(name: &str, value: &Value) -> Result<String, ParamsError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(ParamsError::invalid_value(name, "text")),
    }
}

fn parse_integer(name: &str, value: &Value) -> Result<i64, ParamsError> {
    let number = match value {
        Value::String(text) if !text.starts_with('+') => text.parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| non_negative_integer(value).and_then(|number| number.try_into().ok())),
        _ => None,
    };
    number.ok_or_else(|| ParamsError::invalid_value(name, "a whole number"))
}

fn parse_object(name: &str, value: &Value, expected: &'static str) -> Result<Params, ParamsError> {
    match value {
        Value::Object(values) => Ok(Params { values: values.clone() }),
        _ => Err(ParamsError::invalid_value(name, expected)),
    }
}

/// Returns a number that is whole and not negative; `11.0` is 11.
fn non_negative_integer(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and within what an f64 holds exactly")]
    let from_float = |float: f64| (float.fract() == 0.0 && (0.0..=EXACT).contains(&float)).then_some(float as u64);
    number.as_u64().or_else(|| number.as_f64().filter(|_| number.is_f64()).and_then(from_float))
}

/// Returns the values of an object whose names are all numbers, in the order of the numbers.
fn indexed_values(object: &Map<String, Value>) -> Option<Vec<&Value>> {
    let mut list: Vec<(u32, &Value)> = object.iter().map(|(name, value)| Some((name.parse().ok()?, value))).collect::<Option<_>>()?;
    list.sort_by_key(|(number, _)| *number);
    Some(list.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Params, encode_form};
    use crate::wire::http::params_error::{MAX_PARAM_COUNT, ParamsError};

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const JSON: Option<&str> = Some("application/json");

    fn query(query: &str) -> Result<Params, ParamsError> {
        Params::parse(Some(query), JSON, b"")
    }

    fn object(value: Value) -> Params {
        Params::parse(None, JSON, value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn query_form_and_json_say_the_same() {
        let shape = json!({"key_id": "11", "scopes": ["api", "read user"], "packs": [{"x": "1", "y": "é"}]});
        let form = "key_id=11&scopes[]=api&scopes%5B%5D=read+user&packs[][x]=1&packs%5b%5d%5by%5d=%C3%A9";
        let read = |query, content_type, body: &str| Params::parse(query, content_type, body.as_bytes()).unwrap().values;
        assert_eq!(Value::Object(read(Some(form), None, "")), shape);
        assert_eq!(Value::Object(read(None, FORM, form)), shape);
        assert_eq!(Value::Object(read(None, None, form)), shape);
        assert_eq!(Value::Object(read(None, Some("Application/JSON; charset=utf-8"), &shape.to_string())), shape);
    }

    #[test]
    fn a_name_in_both_query_and_body_is_a_duplicate() {
        for (body, content_type) in [("a=1", FORM), (r#"{"a":1}"#, JSON), ("a[]=1", FORM)] {
            let read = Params::parse(Some("a[]=1"), content_type, body.as_bytes());
            assert_eq!(read.map(|params| params.values), Err(ParamsError::Duplicate("a".to_owned())), "{body}");
        }
        let both = Params::parse(Some("a=1"), JSON, br#"{"b":2}"#).unwrap();
        assert_eq!(Value::Object(both.values), json!({"a": "1", "b": 2}));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_remedy() {
        let reason = |content_type, body: &[u8]| Params::parse(None, content_type, body).unwrap_err().to_string();
        assert!(reason(Some("multipart/form-data; boundary=x"), b"--x").contains("send JSON"));
        assert!(reason(Some("text/plain"), b"a=1").contains("neither"));
        assert!(reason(FORM, b"a=\xff").contains("UTF-8"));
        assert!(reason(FORM, b"a=%ff").contains("UTF-8"));
        assert!(reason(FORM, b"a=100%").contains("two hex digits"));
        assert!(Params::parse(Some("&&"), Some("text/plain"), b"").unwrap().values.is_empty());
    }

    #[test]
    fn the_count_of_query_and_form_together_is_bounded() {
        let pairs = |count| "a[]=1&".repeat(count);
        assert!(query(&pairs(MAX_PARAM_COUNT)).is_ok());
        assert_eq!(query(&pairs(MAX_PARAM_COUNT + 1)).map(|params| params.values), Err(ParamsError::LimitExceeded));
        let both = Params::parse(Some(&pairs(MAX_PARAM_COUNT)), FORM, b"b=1");
        assert_eq!(both.map(|params| params.values), Err(ParamsError::LimitExceeded));
        let nested = |count: usize| (0..count).map(|name| format!("a[{name}][]=1&")).collect::<String>();
        assert!(query(&nested(MAX_PARAM_COUNT / 2)).is_ok(), "a name in brackets is counted as one more");
        assert_eq!(query(&nested(MAX_PARAM_COUNT / 2 + 1)).map(|params| params.values), Err(ParamsError::LimitExceeded));
    }

    #[test]
    fn an_id_is_a_number_or_its_digits() {
        for value in [json!(11), json!("11"), json!(11.0)] {
            assert_eq!(object(json!({"id": value})).id("id").unwrap().map(u64::from), Some(11), "{value}");
        }
        for value in [json!(null), json!("")] {
            assert_eq!(object(json!({"id": value})).id("id"), Ok(None), "{value}");
        }
        for value in
            [json!(0), json!("0"), json!(-1), json!("011"), json!(1.5), json!("1 "), json!(u64::MAX), json!(true), json!([1]), json!("x")]
        {
            let message = object(json!({"id": value})).id("id").unwrap_err().to_string();
            assert!(message.starts_with("`id` is a whole number from 1"), "{value}: {message}");
        }
    }

    #[test]
    fn scalars_are_read_as_rails_reads_them() {
        let params =
            object(json!({"yes": "1", "no": false, "one": 1, "text": 7, "minus": "-3", "day": "13 Jun 2021", "empty": "", "null": null}));
        assert_eq!((params.boolean("yes"), params.boolean("no"), params.boolean("one")), (Ok(Some(true)), Ok(Some(false)), Ok(Some(true))));
        assert_eq!(params.text("text").unwrap().as_deref(), Some("7"));
        assert_eq!(params.integer("minus"), Ok(Some(-3)));
        assert_eq!(params.date("day").unwrap().map(|day| day.to_string()).as_deref(), Some("2021-06-13"));
        assert_eq!((params.integer("empty"), params.boolean("empty"), params.date("empty")), (Ok(None), Ok(None), Ok(None)));
        assert_eq!((params.text("empty").unwrap().as_deref(), params.text("null"), params.text("none")), (Some(""), Ok(None), Ok(None)));
        assert!(params.boolean("text").is_err() && params.integer("day").is_err() && params.date("text").is_err());
        assert!(params.text("no").is_err());
        assert!(params.contains("null") && !params.contains("none"));
        assert_eq!(params.first_unknown(&["yes", "no", "one"]), Some("text"));
    }

    #[test]
    fn lists_are_lists_or_numbered() {
        let params = query("a[10]=z&a[9]=y&b[]=1&b[]=2&p[1][x]=2&p[0][x]=1&o[x]=1&s=1&n[]").unwrap();
        assert_eq!(params.texts("a"), Ok(Some(vec!["y".to_owned(), "z".to_owned()])));
        assert_eq!(params.integers("b"), Ok(Some(vec![1, 2])));
        let packs = params.objects("p").unwrap().unwrap();
        assert_eq!(packs.iter().map(|pack| pack.integer("x").unwrap()).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!(params.object("o").unwrap().unwrap().text("x").unwrap().as_deref(), Some("1"));
        assert_eq!(params.texts("none"), Ok(None));
        for wrong in ["o", "s", "n"] {
            assert!(params.texts(wrong).unwrap_err().to_string().starts_with(&format!("`{wrong}")), "{wrong}");
        }
        assert!(params.objects("a").is_err() && params.object("s").is_err());
        let within = object(json!({"x": []})).integer("x").unwrap_err().nested_in("packs").to_string();
        assert_eq!(within, "`packs[x]` is a whole number");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(pairs in proptest::collection::btree_map("[^\\[\\]]{1,8}", any::<String>(), 0..8)) {
            let encoded = encode_form(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let expected = serde_json::to_value(&pairs).unwrap();
            prop_assert_eq!(Value::Object(query(&encoded).unwrap().values), expected.clone());
            let form = Params::parse(None, FORM, encoded.as_bytes()).unwrap();
            prop_assert_eq!(Value::Object(form.values), expected.clone());
            prop_assert_eq!(Value::Object(object(expected.clone()).values), expected);
        }

        #[test]
        fn no_query_and_no_body_causes_a_panic(text in "([ab=&+%]|\\[|\\]|%5[bdBD]|\\PC){0,40}", body: Vec<u8>) {
            let _ = query(&text);
            for content_type in [FORM, JSON] {
                let _ = Params::parse(None, content_type, &body);
                let _ = Params::parse(None, content_type, text.as_bytes());
            }
        }
    }
}
