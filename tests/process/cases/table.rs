//! A row: what is asked, and what must come of it at the primary and at the sidecar.

use serde_json::{Map, Value, json};

use crate::house::House;
use crate::http::{Answer, Request};

/// One case of the contract.
pub struct Row {
    id: &'static str,
    given: String,
    asked: Asked,
    status: u16,
    wants: Vec<Want>,
    apart: &'static [&'static str],
}

/// A question by its parameters, which may be spelled in several ways.
#[derive(Clone, Debug)]
pub struct Ask {
    method: &'static str,
    path: &'static str,
    params: Vec<(String, String)>,
}

enum Asked {
    /// The parameters in every form.
    InEveryForm(Ask),
    /// The parameters as JSON, once: it changes something.
    Once(Ask),
    /// A request as it is, to which a token is added.
    As(Request),
    /// A request as it is.
    Bare(Request),
}

enum Want {
    /// A `message` in which this stands.
    MessageWith(String),
    /// A body with all of this in it.
    Has(Value),
    /// A body that is this.
    Is(Value),
    /// A body without this name.
    Lacks(&'static str),
    /// A header, or none.
    Header(&'static str, Option<&'static str>),
    /// Where the sidecar's answer comes from.
    From(&'static str),
}

impl Ask {
    pub fn get(path: &'static str) -> Self {
        Self { method: "GET", path, params: Vec::new() }
    }

    pub fn post(path: &'static str) -> Self {
        Self { method: "POST", path, params: Vec::new() }
    }

    /// With one more parameter, or the same with another value.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.params.retain(|(known, _)| known != name);
        self.params.push((name.to_owned(), value.to_string()));
        self
    }

    /// Without a parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.params.retain(|(known, _)| known != name);
        self
    }

    /// As JSON whose ids are texts.
    pub fn as_json(&self) -> Request {
        self.json(|text| Value::from(text))
    }

    /// The four ways to send it: JSON with texts, JSON with numbers, a form, a query.
    pub fn in_every_form(&self) -> [(&'static str, Request); 4] {
        let number = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
        let pairs = self.params.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let as_form = Request::new(self.method, self.path).header("Content-Type", "application/x-www-form-urlencoded").body(form.clone());
        let as_query = Request::new(self.method, &format!("{}?{form}", self.path));
        [("JSON of texts", self.as_json()), ("JSON of numbers", self.json(number)), ("a form", as_form), ("a query", as_query)]
    }

    fn json(&self, spell: impl Fn(&str) -> Value) -> Request {
        let body: Map<String, Value> = self.params.iter().map(|(name, value)| (name.clone(), spell(value))).collect();
        Request::new(self.method, self.path).header("Content-Type", "application/json").body(Value::Object(body).to_string())
    }
}

/// A case whose question goes in every form. `given` says what it is about.
pub fn row(id: &'static str, given: impl ToString, ask: Ask, status: u16) -> Row {
    Row { id, given: given.to_string(), asked: Asked::InEveryForm(ask), status, wants: Vec::new(), apart: &[] }
}

/// A case of a request as it is, to which a token is added.
pub fn exactly(id: &'static str, given: impl ToString, request: Request, status: u16) -> Row {
    Row { id, given: given.to_string(), asked: Asked::As(request), status, wants: Vec::new(), apart: &[] }
}

/// A case of a request as it is, with the credentials that it has.
pub fn bare(id: &'static str, given: impl ToString, request: Request, status: u16) -> Row {
    Row { id, given: given.to_string(), asked: Asked::Bare(request), status, wants: Vec::new(), apart: &[] }
}

impl Row {
    /// Asked once and not in every form.
    pub fn once(mut self) -> Self {
        if let Asked::InEveryForm(ask) = self.asked {
            self.asked = Asked::Once(ask);
        }
        self
    }

    /// In whose `message` this stands.
    pub fn says_something_with(self, text: impl ToString) -> Self {
        self.wanting(Want::MessageWith(text.to_string()))
    }

    /// Whose body has all of this.
    pub fn has(self, part: Value) -> Self {
        self.wanting(Want::Has(part))
    }

    /// Whose body is this.
    pub fn is(self, whole: Value) -> Self {
        self.wanting(Want::Is(whole))
    }

    /// Whose body has no such name.
    pub fn lacks(self, name: &'static str) -> Self {
        self.wanting(Want::Lacks(name))
    }

    /// Which has this header, or does not have it.
    pub fn header(self, name: &'static str, value: Option<&'static str>) -> Self {
        self.wanting(Want::Header(name, value))
    }

    /// Which the sidecar says from here: `local`, `forwarded`, `cached`.
    pub fn from(self, place: &'static str) -> Self {
        self.wanting(Want::From(place))
    }

    /// Whose answers differ in these names, since they are made anew each time.
    pub fn apart_from(mut self, names: &'static [&'static str]) -> Self {
        self.apart = names;
        self
    }

    fn wanting(mut self, want: Want) -> Self {
        self.wants.push(want);
        self
    }

    /// What is wrong with the answers to this row.
    fn wrong(&self, house: &House) -> Vec<String> {
        let token = |request: Request| request.header("Gitlab-Shell-Api-Request", &house.shell_token());
        let requests: Vec<(&str, Request)> = match &self.asked {
            Asked::InEveryForm(ask) => ask.in_every_form().into_iter().map(|(form, request)| (form, token(request))).collect(),
            Asked::Once(ask) => vec![("JSON of texts", token(ask.as_json()))],
            Asked::As(request) => vec![("as it is", token(request.clone()))],
            Asked::Bare(request) => vec![("as it is", request.clone())],
        };
        let mut wrong = Vec::new();
        for (form, request) in requests {
            let (there, here) = (request.to(&house.primary_socket()), request.to(&house.sidecar_socket()));
            wrong.extend(self.judge(&there).into_iter().map(|why| format!("at the primary, as {form}: {why}: {}", shown(&there))));
            wrong.extend(self.judge(&here).into_iter().map(|why| format!("at the sidecar, as {form}: {why}: {}", shown(&here))));
            wrong.extend(self.judge_origin(&here).map(|why| format!("at the sidecar, as {form}: {why}: {}", shown(&here))));
            if !self.alike(&there, &here) {
                wrong.push(format!("as {form}, the two are not one: {} and {}", shown(&there), shown(&here)));
            }
        }
        wrong.into_iter().map(|why| format!("{} ({}) {why}", self.id, self.given)).collect()
    }

    fn judge(&self, answer: &Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        if answer.status != self.status {
            wrong.push(format!("not {}", self.status));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        for want in &self.wants {
            match want {
                Want::MessageWith(part) if !body["message"].as_str().unwrap_or_default().contains(part.as_str()) => {
                    wrong.push(format!("says nothing with {part:?}"));
                }
                Want::Has(part) if !holds(&body, part) => wrong.push(format!("has not {part}")),
                Want::Is(whole) if body != *whole => wrong.push(format!("is not {whole}")),
                Want::Lacks(name) if body.get(name).is_some() => wrong.push(format!("has {name}")),
                Want::Header(name, value) if answer.header(name) != *value => wrong.push(format!("header {name} is not {value:?}")),
                _ => {}
            }
        }
        wrong
    }

    fn judge_origin(&self, answer: &Answer) -> Option<String> {
        let place = self.wants.iter().find_map(|want| match want {
            Want::From(place) => Some(*place),
            _ => None,
        })?;
        (answer.header("x-sidegate-answer") != Some(place)).then(|| format!("is not {place}"))
    }

    /// Byte for byte the same; or the same but for what is made anew, and for the `message` that a sidecar adds to an `error`.
    fn alike(&self, there: &Answer, here: &Answer) -> bool {
        if there.status != here.status || there.header("content-type") != here.header("content-type") {
            return false;
        }
        if there.body == here.body {
            return true;
        }
        let read = |answer: &Answer| serde_json::from_slice::<Value>(&answer.body).ok();
        let (Some(mut there), Some(mut here)) = (read(there), read(here)) else { return false };
        if let (Some(error), None) = (there.get("error").cloned(), there.get("message")) {
            there["message"] = error;
        }
        for body in [&mut there, &mut here].into_iter().filter_map(Value::as_object_mut) {
            body.retain(|name, _| !self.apart.contains(&name.as_str()));
        }
        there == here
    }
}

/// Asks all rows, and fails with everything that is wrong with any of them.
pub fn check(house: &House, rows: Vec<Row>) {
    let wrong: Vec<String> = rows.iter().flat_map(|row| row.wrong(house)).collect();
    assert!(wrong.is_empty(), "{} answers to {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// A refusal of `allowed`, whole.
pub fn no(text: &str) -> Value {
    json!({"status": false, "message": text})
}

/// Whether `body` has all that `part` has.
pub fn holds(body: &Value, part: &Value) -> bool {
    match (body, part) {
        (Value::Object(body), Value::Object(part)) => {
            part.iter().all(|(name, part)| body.get(name).is_some_and(|value| holds(value, part)))
        }
        (Value::Array(body), Value::Array(part)) => body.len() == part.len() && body.iter().zip(part).all(|(body, part)| holds(body, part)),
        (body, part) => body == part,
    }
}

fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.text())
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
