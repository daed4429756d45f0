//! Complaints about parameters in the words of the framework that GitLab uses: all at once, each with the parameter's name.
//! (server.md 1.2)

use crate::wire::http::params_error::ParamsError;

/// What is wrong with the parameters of a request, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValidationError(pub String);

/// Complaints being gathered.
#[derive(Debug, Default)]
pub struct Validator(Vec<String>);

impl Validator {
    /// A parameter that is not there.
    pub fn add_missing(&mut self, name: &str) {
        self.0.push(format!("{name} is missing"));
    }

    /// A parameter of the wrong form.
    pub fn add_invalid(&mut self, name: &str) {
        self.0.push(format!("{name} is invalid"));
    }

    /// A parameter that is none of the words that there are.
    pub fn add_unknown_value(&mut self, name: &str) {
        self.0.push(format!("{name} does not have a valid value"));
    }

    /// Two parameters of which there can be one.
    pub fn add_mutually_exclusive(&mut self, one: &str, other: &str) {
        self.0.push(format!("{one}, {other} are mutually exclusive"));
    }

    /// A parameter that may be absent: what was read, or a complaint and nothing.
    pub fn optional<T>(&mut self, name: &str, read: Result<Option<T>, ParamsError>) -> Option<T> {
        read.unwrap_or_else(|_| {
            self.add_invalid(name);
            None
        })
    }

    /// A parameter that must be there: what was read, or a complaint and nothing.
    pub fn required<T>(&mut self, name: &str, read: Result<Option<T>, ParamsError>) -> Option<T> {
        match read {
            Ok(None) => {
                self.add_missing(name);
                None
            }
            read => self.optional(name, read),
        }
    }

    /// The value, if there is no complaint. A value that is not there is one, whoever forgot to say so.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ValidationError> {
        match (value, self.0.is_empty()) {
            (Some(value), true) => Ok(value),
            (_, true) => Err(ValidationError("a parameter is missing".to_owned())),
            (_, false) => Err(ValidationError(self.0.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ValidationError, Validator};
    use crate::wire::http::params::Params;

    #[test]
    fn all_complaints_stand_in_one_line_in_their_order() {
        let params = Params { values: json!({"a": "x"}).as_object().cloned().unwrap() };
        let mut validator = Validator::default();
        assert_eq!(validator.required("a", params.integer("a")), None);
        assert_eq!(validator.required("b", params.integer("b")), None);
        assert_eq!(validator.optional("c", params.integer("c")), None);
        validator.add_mutually_exclusive("a", "b");
        let expected = "a is invalid, b is missing, a, b are mutually exclusive";
        assert_eq!(validator.finish(Some(1)), Err(ValidationError(expected.to_owned())));
        assert_eq!(Validator::default().finish(Some(1)), Ok(1));
    }
}
