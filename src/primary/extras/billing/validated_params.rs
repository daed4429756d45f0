//! Parameters as GitLab's framework judges them: all that is wrong is said together, as `x is missing, y is invalid`.
//! (server.md 1.2: Grape)

use http::StatusCode;

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::text::Text;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// Most characters of a text.
const MAX_TEXT_CHARS: usize = 255;

/// What is wrong with a request.
#[derive(Debug, Default)]
pub struct ValidationErrors(Vec<String>);

impl ValidationErrors {
    /// Goes on if nothing is.
    pub fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid_parameters(self.0.join(", "))) }
    }

    /// One parameter, and what it is.
    pub fn add(&mut self, name: &str, is: &str) {
        let complaint = format!("{name} is {is}");
        if !self.0.contains(&complaint) {
            self.0.push(complaint);
        }
    }
}

/// One object of parameters, read with its complaints collected.
pub struct ValidatedParams<'a> {
    params: &'a Params,
    in_list: Option<&'static str>,
    errors: &'a mut ValidationErrors,
}

impl<'a> ValidatedParams<'a> {
    /// The request's own.
    pub const fn new(params: &'a Params, complaints: &'a mut ValidationErrors) -> Self {
        Self { params, in_list: None, errors: complaints }
    }

    /// Those of one object within a list.
    pub const fn in_list(list: &'static str, params: &'a Params, complaints: &'a mut ValidationErrors) -> Self {
        Self { params, in_list: Some(list), errors: complaints }
    }

    /// Complains of those that are not there.
    pub fn require(&mut self, names: &[&str]) -> &mut Self {
        for name in names.iter().filter(|name| !self.params.contains(name)) {
            self.add_error(name, "missing");
        }
        self
    }

    /// Complains of one that is there and says nothing.
    pub fn require_non_empty(&mut self, name: &str) -> &mut Self {
        if self.params.values.get(name).is_some_and(|value| value.is_null() || value.as_str().is_some_and(str::is_empty)) {
            self.add_error(name, "empty");
        }
        self
    }

    /// Whether it is there, be it `null`.
    pub fn is_given(&self, name: &str) -> bool {
        self.params.contains(name)
    }

    /// A day.
    pub fn day(&mut self, name: &str) -> Option<Day> {
        let read = self.params.date(name);
        self.check(name, read).map(Day::from)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let read = self.params.integer(name);
        self.check(name, read)
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let read = self.params.boolean(name);
        self.check(name, read)
    }

    /// Text that may be printed anywhere. An empty one is none.
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

/// The objects of a list that must be there and not be empty.
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

/// 403 for what only an instance that sells has.
pub fn require_saas(saas: bool) -> Result<(), ApiError> {
    if saas { Ok(()) } else { Err(ApiError::new(StatusCode::FORBIDDEN, "403 Forbidden - This API is gitlab.com only!")) }
}
