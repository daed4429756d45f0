//! Parameters as GitLab's framework judges them: all that is wrong is said together, as `x is missing, y is invalid`.
//! (server.md 1.2: Grape)

use http::StatusCode;

use crate::authority::refusal::Refusal;
use crate::model::day::Day;
use crate::model::text::Text;
use crate::wire::params::{BadParams, Params};

/// Most characters of a text.
const TEXT_LENGTH: usize = 255;

/// What is wrong with a request.
#[derive(Debug, Default)]
pub struct Complaints(Vec<String>);

impl Complaints {
    /// Goes on if nothing is.
    pub fn none(self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.0.join(", "))) }
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
pub struct Declared<'a> {
    params: &'a Params,
    within: Option<&'static str>,
    complaints: &'a mut Complaints,
}

impl<'a> Declared<'a> {
    /// The request's own.
    pub const fn of(params: &'a Params, complaints: &'a mut Complaints) -> Self {
        Self { params, within: None, complaints }
    }

    /// Those of one object within a list.
    pub const fn within(list: &'static str, params: &'a Params, complaints: &'a mut Complaints) -> Self {
        Self { params, within: Some(list), complaints }
    }

    /// Complains of those that are not there.
    pub fn must_have(&mut self, names: &[&str]) -> &mut Self {
        for name in names.iter().filter(|name| !self.params.given(name)) {
            self.complain(name, "missing");
        }
        self
    }

    /// Complains of one that is there and says nothing.
    pub fn must_say(&mut self, name: &str) -> &mut Self {
        if self.params.values.get(name).is_some_and(|value| value.is_null() || value.as_str().is_some_and(str::is_empty)) {
            self.complain(name, "empty");
        }
        self
    }

    /// Whether it is there, be it `null`.
    pub fn given(&self, name: &str) -> bool {
        self.params.given(name)
    }

    /// A day.
    pub fn day(&mut self, name: &str) -> Option<Day> {
        let read = self.params.date(name);
        self.read(name, read).map(Day::from)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let read = self.params.integer(name);
        self.read(name, read)
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let read = self.params.boolean(name);
        self.read(name, read)
    }

    /// Text that may be printed anywhere. An empty one is none.
    pub fn text(&mut self, name: &str) -> Option<Text> {
        let read = self.params.text(name);
        let text = self.read(name, read).filter(|text| !text.is_empty())?;
        match Text::try_from(text) {
            Ok(text) if text.chars().count() <= TEXT_LENGTH => Some(text),
            _ => {
                self.complain(name, "invalid");
                None
            }
        }
    }

    fn read<T>(&mut self, name: &str, read: Result<Option<T>, BadParams>) -> Option<T> {
        read.unwrap_or_else(|_| {
            self.complain(name, "invalid");
            None
        })
    }

    fn complain(&mut self, name: &str, is: &str) {
        match self.within {
            Some(list) => self.complaints.add(&format!("{list}[{name}]"), is),
            None => self.complaints.add(name, is),
        }
    }
}

/// The objects of a list that must be there and not be empty.
pub fn objects(params: &Params, name: &str) -> Result<Vec<Params>, Refusal> {
    if !params.given(name) {
        return Err(Refusal::invalid(format!("{name} is missing")));
    }
    match params.objects(name) {
        Ok(Some(objects)) if !objects.is_empty() => Ok(objects),
        Ok(_) => Err(Refusal::invalid(format!("{name} is empty"))),
        Err(_) => Err(Refusal::invalid(format!("{name} is invalid"))),
    }
}

/// 403 for what only an instance that sells has.
pub fn only_saas(saas: bool) -> Result<(), Refusal> {
    if saas { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "403 Forbidden - This API is gitlab.com only!")) }
}
