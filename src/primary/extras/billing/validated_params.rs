//! Parameters validated as GitLab's framework does it: all errors are reported together, as `x is missing, y is invalid`.
//! (server.md 1.2: Grape)

use http::StatusCode;

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::text::Text;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The longest text, in characters.
const MAX_TEXT_CHARS: usize = 255;

/// The errors of a request's parameters.
#[derive(Debug, Default)]
pub struct ValidationErrors(Vec<String>);

impl ValidationErrors {
    /// Refuses the request if there is an error.
    pub fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid_parameters(self.0.join(", "))) }
    }

    /// Adds an error: a parameter, and what it is (`missing`, `empty`, `invalid`).
    pub fn add(&mut self, name: &str, is: &str) {
        let error = format!("{name} is {is}");
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }
}

/// One object of parameters, whose errors are collected while it is read.
pub struct ValidatedParams<'a> {
    params: &'a Params,
    in_list: Option<&'static str>,
    errors: &'a mut ValidationErrors,
}

impl<'a> ValidatedParams<'a> {
    /// Reads the request's own parameters.
    pub const fn new(params: &'a Params, errors: &'a mut ValidationErrors) -> Self {
        Self { params, in_list: None, errors }
    }

    /// Reads the parameters of one object in a list.
    pub const fn in_list(list: &'static str, params: &'a Params, errors: &'a mut ValidationErrors) -> Self {
        Self { params, in_list: Some(list), errors }
    }

    /// Adds an error for each of these that is missing.
    pub fn require(&mut self, names: &[&str]) -> &mut Self {
        for name in names.iter().filter(|name| !self.params.contains(name)) {
            self.add_error(name, "missing");
        }
        self
    }

    /// Adds an error if this one is `null` or an empty text.
    pub fn require_non_empty(&mut self, name: &str) -> &mut Self {
        if self.params.values.get(name).is_some_and(|value| value.is_null() || value.as_str().is_some_and(str::is_empty)) {
            self.add_error(name, "empty");
        }
        self
    }

    /// Returns whether it is there, be it `null`.
    pub fn is_given(&self, name: &str) -> bool {
        self.params.contains(name)
    }

    /// Returns a day.
    pub fn day(&mut self, name: &str) -> Option<Day> {
        let read = self.params.date(name);
        self.check(name, read).map(Day::from)
    }

    /// Returns a whole number.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let read = self.params.integer(name);
        self.check(name, read)
    }

    /// Returns true or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let read = self.params.boolean(name);
        self.check(name, read)
    }

    /// Returns a text without control characters; `None` if it is empty.
    pub fn text(&mut self, name: &str) -> Option<Text> {
        let read = self.params.text(name);
        let text = self.check(name, read).filter(|text| !text.is_empty())?;
        match Text::try_from(text) {
            Ok(text) if text.chars().count() <= MAX_TEXT_CHARS => Some(text),
            _ => {
                self.add_error(name, "invalid");
                None
            }
        }
    }

    fn check<T>(&mut self, name: &str, read: Result<Option<T>, ParamsError>) -> Option<T> {
        read.unwrap_or_else(|_| {
            self.add_error(name, "invalid");
            None
        })
    }

    fn add_error(&mut self, name: &str, is: &str) {
        match self.in_list {
            Some(list) => self.errors.add(&format!("{list}[{name}]"), is),
            None => self.errors.add(name, is),
        }
    }
}

/// Returns the objects of a list that must be there and not be empty.
pub fn required_list(params: &Params, name: &str) -> Result<Vec<Params>, ApiError> {
    if !params.contains(name) {
        return Err(ApiError::invalid_parameters(format!("{name} is missing")));
    }
    match params.objects(name) {
        Ok(Some(objects)) if !objects.is_empty() => Ok(objects),
        Ok(_) => Err(ApiError::invalid_parameters(format!("{name} is empty"))),
        Err(_) => Err(ApiError::invalid_parameters(format!("{name} is invalid"))),
    }
}

/// Refuses with 403 what only an instance with billing offers.
pub fn require_saas(saas: bool) -> Result<(), ApiError> {
    if saas { Ok(()) } else { Err(ApiError::new(StatusCode::FORBIDDEN, "403 Forbidden - This API is gitlab.com only!")) }
}
