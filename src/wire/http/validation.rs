//! Validation errors as the framework that GitLab uses words them: all in one line, each with the parameter's name.
//! (server.md 1.2)

use crate::wire::http::params_error::ParamsError;

/// All errors of the parameters of a request, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValidationError(pub String);

/// Collects the errors of the parameters of a request.
#[derive(Debug, Default)]
pub struct Validator(Vec<String>);

impl Validator {
    /// Adds the error of a parameter that is missing.
    pub fn add_missing(&mut self, name: &str) {
        self.0.push(format!("{name} is missing"));
    }

    /// Adds the error of a parameter of the wrong form.
    pub fn add_invalid(&mut self, name: &str) {
        self.0.push(format!("{name} is invalid"));
    }

    /// Adds the error of a parameter whose value is none of the known ones.
    pub fn add_unknown_value(&mut self, name: &str) {
        self.0.push(format!("{name} does not have a valid value"));
    }

    /// Adds the error of two parameters of which only one may be given.
    pub fn add_mutually_exclusive(&mut self, one: &str, other: &str) {
        self.0.push(format!("{one}, {other} are mutually exclusive"));
    }

    /// Returns the value of an optional parameter; on an error adds it and returns `None`.
    pub fn optional<T>(&mut self, name: &str, read: Result<Option<T>, ParamsError>) -> Option<T> {
        read.unwrap_or_else(|_| {
            self.add_invalid(name);
            None
        })
    }

    /// Returns the value of a required parameter; if it is missing or wrong adds the error and returns `None`.
    pub fn required<T>(&mut self, name: &str, read: Result<Option<T>, ParamsError>) -> Option<T> {
        match read {
            Ok(None) => {
                self.add_missing(name);
                None
            }
            read => self.optional(name, read),
        }
    }

    /// Returns the value if there were no errors. A value of `None` is an error in any case.
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
    fn all_errors_are_in_one_line_in_their_order() {
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
