//! The JSON body of a request: one object without duplicate names, within the bounds of parameters.
//!
//! JSON parsers silently take the last of two values; then what was checked and what is forwarded could differ.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::wire::http::params_error::{MAX_LIST_ITEMS, MAX_NAME_BYTES, MAX_PARAM_COUNT, MAX_PARAM_DEPTH, ParamsError};

/// Parses a body. The bounds on the counts apply to the names of each object and to the items of each list.
pub fn parse_json_object(body: &[u8]) -> Result<Map<String, Value>, ParamsError> {
    let malformed = |reason: String| ParamsError::Malformed { part: "body", reason };
    let error = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = StrictJsonVisitor { depth: 0, error: &error }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match (read, error.into_inner()) {
        (_, Some(error)) => Err(error),
        (Ok(Value::Object(values)), None) => Ok(values),
        (Ok(_), None) => Err(malformed("it is not a JSON object".to_owned())),
        (Err(error), None) => Err(malformed(error.to_string())),
    }
}

/// Reads one value at this depth.
#[derive(Clone, Copy)]
struct StrictJsonVisitor<'a> {
    depth: usize,
    error: &'a Cell<Option<ParamsError>>,
}

impl StrictJsonVisitor<'_> {
    fn descend<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_PARAM_DEPTH {
            return Err(self.fail(ParamsError::LimitExceeded));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn fail<E: serde::de::Error>(self, error: ParamsError) -> E {
        self.error.set(Some(error));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for StrictJsonVisitor<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictJsonVisitor<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            if list.len() == MAX_LIST_ITEMS {
                return Err(self.fail(ParamsError::LimitExceeded));
            }
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.descend()?;
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.len() == MAX_PARAM_COUNT || name.len() > MAX_NAME_BYTES {
                return Err(self.fail(ParamsError::LimitExceeded));
            }
            if object.contains_key(&name) {
                return Err(self.fail(ParamsError::Duplicate(name)));
            }
            let value = entries.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse_json_object;
    use crate::wire::http::params_error::{MAX_LIST_ITEMS, MAX_NAME_BYTES, MAX_PARAM_COUNT, MAX_PARAM_DEPTH, ParamsError};

    #[test]
    fn an_object_is_read_completely_and_in_its_order() {
        let text = r#"{"b":null,"a":[1,-2,1.5,true,"x\u00eb",{"c":{}}]}"#;
        let values = parse_json_object(text.as_bytes()).unwrap();
        assert_eq!(Value::Object(values).to_string(), r#"{"b":null,"a":[1,-2,1.5,true,"xë",{"c":{}}]}"#);
    }

    #[test]
    fn a_duplicate_name_is_refused_at_any_depth() {
        assert_eq!(parse_json_object(br#"{"a":1,"a":1}"#), Err(ParamsError::Duplicate("a".to_owned())));
        assert_eq!(parse_json_object(br#"{"a":[{"b":1,"\u0062":1}]}"#), Err(ParamsError::Duplicate("b".to_owned())));
    }

    #[test]
    fn what_is_no_object_is_refused_without_repeating_it() {
        for wrong in ["\"secret\"", "[]", "null", "1", "{\"secret\":}", "{\"secret\":1} x", "{\"a\":\"\u{1}secret\"}", ""] {
            let message = parse_json_object(wrong.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("the body could not be read") && !message.contains("secret"), "{wrong}: {message}");
        }
        assert!(parse_json_object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn the_items_of_a_list_and_the_length_of_a_name_are_bounded() {
        let list = |items: usize| format!(r#"{{"a":[{}1]}}"#, "1,".repeat(items - 1));
        assert!(parse_json_object(list(MAX_LIST_ITEMS).as_bytes()).is_ok());
        assert_eq!(parse_json_object(list(MAX_LIST_ITEMS + 1).as_bytes()), Err(ParamsError::LimitExceeded));
        let named = |bytes: usize| format!(r#"{{"{}":1}}"#, "n".repeat(bytes));
        assert!(parse_json_object(named(MAX_NAME_BYTES).as_bytes()).is_ok());
        assert_eq!(parse_json_object(named(MAX_NAME_BYTES + 1).as_bytes()), Err(ParamsError::LimitExceeded));
    }

    #[test]
    fn depth_and_names_are_bounded() {
        let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(parse_json_object(deep(MAX_PARAM_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse_json_object(deep(MAX_PARAM_DEPTH + 1).as_bytes()), Err(ParamsError::LimitExceeded));
        assert_eq!(parse_json_object(format!(r#"{{"a":{}}}"#, "[".repeat(100_000)).as_bytes()), Err(ParamsError::LimitExceeded));
        let wide = |names: usize| Value::Object((0..names).map(|name| (name.to_string(), json!(1))).collect()).to_string();
        assert!(parse_json_object(wide(MAX_PARAM_COUNT).as_bytes()).is_ok());
        assert_eq!(parse_json_object(wide(MAX_PARAM_COUNT + 1).as_bytes()), Err(ParamsError::LimitExceeded));
    }
}
