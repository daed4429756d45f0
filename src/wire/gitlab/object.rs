//! The JSON objects of GitLab's API, and how their fields are read.

use serde_json::{Map, Value};

use crate::model::id::Id;
use crate::model::text::Text;
use crate::model::time::Time;

/// The longest name, username or title that is taken, in bytes; GitLab's have at most 255 characters.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Why an answer is not one of the API that is known. No text repeats a value of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAnswer {
    /// The body is not JSON, or more than one value.
    #[error("the body is not JSON")]
    NotJson,
    /// The body is JSON, but not a list.
    #[error("the body is not a list")]
    NotAList,
    /// What should be an object is none.
    #[error("{what} is not an object")]
    NotAnObject {
        /// What was read, as `user 3 of the list`.
        what: String,
    },
    /// A field that is needed is not there.
    #[error("{what} has no `{field}`")]
    MissingField {
        /// What was read.
        what: String,
        /// The name of the field.
        field: &'static str,
    },
}

/// An object of an answer that no record can express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is skipped: {reason}")]
pub struct Skipped {
    /// The object's id, if that could be read: it exists, although there is no record of it.
    pub id: Option<Id>,
    /// What it is, as `user 7`.
    pub what: String,
    /// Why, with the name of the field.
    pub reason: String,
}

/// One object of an answer.
pub struct Object {
    /// What it is, for messages.
    what: String,
    fields: Map<String, Value>,
}

impl Object {
    /// Reads a body that is one object. `kind` says what it is: `user`, `key`.
    pub fn parse(body: &[u8], kind: &'static str) -> Result<Self, MalformedAnswer> {
        Self::from_value(serde_json::from_slice(body).map_err(|_| MalformedAnswer::NotJson)?, kind.to_owned())
    }

    /// Reads a body that is a list of objects, each of this `kind`.
    pub fn parse_list(body: &[u8], kind: &'static str) -> Result<Vec<Self>, MalformedAnswer> {
        let Value::Array(values) = serde_json::from_slice(body).map_err(|_| MalformedAnswer::NotJson)? else {
            return Err(MalformedAnswer::NotAList);
        };
        let positions = 1..=values.len();
        values
            .into_iter()
            .zip(positions)
            .map(|(value, position)| Self::from_value(value, format!("{kind} {position} of the list")))
            .collect()
    }

    fn from_value(value: Value, what: String) -> Result<Self, MalformedAnswer> {
        match value {
            Value::Object(fields) => Ok(Self { what, fields }),
            _ => Err(MalformedAnswer::NotAnObject { what }),
        }
    }

    /// Returns a field that has to be there, also if it is null.
    pub fn required(&self, field: &'static str) -> Result<&Value, MalformedAnswer> {
        self.fields.get(field).ok_or_else(|| MalformedAnswer::MissingField { what: self.what.clone(), field })
    }

    /// Returns a field that is there and is not null.
    #[must_use]
    pub fn optional(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// Returns whether the object has this field, also if it is null.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Returns the error of an object of which there is no record. `kind` says what it is: `user`, `deploy key`.
    #[must_use]
    pub fn skipped(&self, kind: &str, id: Option<Id>, reason: String) -> Skipped {
        let what = id.map_or_else(|| self.what.clone(), |id| format!("{kind} {id}"));
        Skipped { id, what, reason }
    }
}

/// Reads a positive id; the error is the reason.
pub fn read_id(value: &Value, field: &str) -> Result<Id, String> {
    let id = value.as_u64().and_then(|number| Id::try_from(number).ok());
    id.ok_or_else(|| format!("`{field}` is not a whole number from 1 to 9223372036854775807"))
}

/// Reads text on one line, bounded; the error is the reason.
pub fn read_text(value: &Value, field: &str) -> Result<Text, String> {
    let text = value.as_str().ok_or_else(|| format!("`{field}` is not text"))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("`{field}` is longer than {MAX_TEXT_BYTES} bytes"));
    }
    Text::try_from(text).map_err(|error| format!("`{field}` is {error}"))
}

/// Reads a yes or no, no if it is not there; the error is the reason.
pub fn read_boolean(value: Option<&Value>, field: &str) -> Result<bool, String> {
    match value {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("`{field}` is neither true nor false")),
    }
}

/// Reads an instant, if it is there. GitLab writes it in the zone that it is configured with: `2026-01-31T13:00:00.000+01:00`. The error
/// is the reason.
pub fn read_time(value: Option<&Value>, field: &str) -> Result<Option<Time>, String> {
    let Some(value) = value else { return Ok(None) };
    let instant = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let time = instant.and_then(|instant| Time::from_milliseconds(instant.as_millisecond()));
    time.map(Some).ok_or_else(|| format!("`{field}` is not a time with its zone, from 1970 to 9999"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MalformedAnswer, Object, read_time};

    #[test]
    fn what_is_not_a_list_of_objects_is_an_error_that_names_it() {
        for (body, error) in [
            ("", "the body is not JSON"),
            ("<html>", "the body is not JSON"),
            ("[] []", "the body is not JSON"),
            (r#"[{"id":1},"#, "the body is not JSON"),
            ("{}", "the body is not a list"),
            ("null", "the body is not a list"),
            (r#"[{}, 7]"#, "user 2 of the list is not an object"),
            (r#"[[7]]"#, "user 1 of the list is not an object"),
        ] {
            assert_eq!(Object::parse_list(body.as_bytes(), "user").err().map(|error| error.to_string()).as_deref(), Some(error), "{body}");
        }
        assert_eq!(Object::parse(b"[]", "user").err(), Some(MalformedAnswer::NotAnObject { what: "user".into() }));
    }

    #[test]
    fn a_time_is_read_in_whatever_zone_gitlab_writes_it() {
        for text in ["2026-01-31T12:00:00.000Z", "2026-01-31T13:00:00.000+01:00", "2026-01-31T12:00:00+00:00"] {
            let time = read_time(Some(&json!(text)), "expires_at").unwrap().unwrap();
            assert_eq!(time.to_string(), "2026-01-31T12:00:00.000Z");
        }
        for wrong in [json!("2026-01-31"), json!("2026-01-31T12:00:00"), json!(7), json!(""), json!("1960-01-31T12:00:00Z")] {
            assert!(read_time(Some(&wrong), "expires_at").is_err(), "{wrong}");
        }
        assert_eq!(read_time(None, "expires_at"), Ok(None));
    }
}
