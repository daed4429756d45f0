//! A row: what is asked, and what must come of it at the primary and at the sidecar.

use serde_json::{Map, Value, json};

use crate::support::env::TestEnv;
use crate::support::http::{Request, Response};

/// The `message` for a project that is hidden or missing.
pub const PROJECT_NOT_FOUND: &str = "The project you were looking for could not be found or you don't have permission to view it.";

/// One case of the contract.
pub struct ContractCase {
    id: &'static str,
    description: String,
    request: CaseRequest,
    status: u16,
    expectations: Vec<Expectation>,
    ignored_fields: &'static [&'static str],
}

/// A question by its parameters, which may be spelled in several ways.
#[derive(Clone, Debug)]
pub struct ApiCall {
    method: &'static str,
    path: &'static str,
    params: Vec<(String, String)>,
}

enum CaseRequest {
    /// The parameters in every form.
    AllEncodings(ApiCall),
    /// The parameters as JSON, once: it changes something.
    JsonOnce(ApiCall),
    /// A request as it is, to which a token is added.
    WithToken(Request),
    /// A request as it is.
    Verbatim(Request),
}

enum Expectation {
    /// A `message` in which this stands.
    MessageContains(String),
    /// A body with all of this in it.
    BodyContains(Value),
    /// A body that is this.
    BodyEquals(Value),
    /// A body without this name.
    BodyLacks(&'static str),
    /// A header, or none.
    Header(&'static str, Option<&'static str>),
    /// Where the sidecar's answer comes from.
    AnswerSource(&'static str),
}

impl ApiCall {
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
    pub fn to_json_request(&self) -> Request {
        self.encode_json(|text| Value::from(text))
    }

    /// The four ways to send it: JSON with texts, JSON with numbers, a form, a query.
    pub fn all_encodings(&self) -> [(&'static str, Request); 4] {
        let number = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
        let pairs = self.params.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let as_form = Request::new(self.method, self.path).header("Content-Type", "application/x-www-form-urlencoded").body(form.clone());
        let as_query = Request::new(self.method, &format!("{}?{form}", self.path));
        [
            ("JSON of texts", self.to_json_request()),
            ("JSON of numbers", self.encode_json(number)),
            ("a form", as_form),
            ("a query", as_query),
        ]
    }

    fn encode_json(&self, spell: impl Fn(&str) -> Value) -> Request {
        let body: Map<String, Value> = self.params.iter().map(|(name, value)| (name.clone(), spell(value))).collect();
        Request::new(self.method, self.path).header("Content-Type", "application/json").body(Value::Object(body).to_string())
    }
}

/// A case whose question goes in every form. `given` says what it is about.
pub fn case(id: &'static str, given: impl ToString, call: ApiCall, status: u16) -> ContractCase {
    ContractCase {
        id,
        description: given.to_string(),
        request: CaseRequest::AllEncodings(call),
        status,
        expectations: Vec::new(),
        ignored_fields: &[],
    }
}

/// A case of a request as it is, to which a token is added.
pub fn authenticated_case(id: &'static str, given: impl ToString, request: Request, status: u16) -> ContractCase {
    ContractCase {
        id,
        description: given.to_string(),
        request: CaseRequest::WithToken(request),
        status,
        expectations: Vec::new(),
        ignored_fields: &[],
    }
}

/// A case of a request as it is, with the credentials that it has.
pub fn verbatim_case(id: &'static str, given: impl ToString, request: Request, status: u16) -> ContractCase {
    ContractCase {
        id,
        description: given.to_string(),
        request: CaseRequest::Verbatim(request),
        status,
        expectations: Vec::new(),
        ignored_fields: &[],
    }
}

impl ContractCase {
    /// Asked once and not in every form.
    pub fn sent_once(mut self) -> Self {
        if let CaseRequest::AllEncodings(call) = self.request {
            self.request = CaseRequest::JsonOnce(call);
        }
        self
    }

    /// In whose `message` this stands.
    pub fn message_contains(self, text: impl ToString) -> Self {
        self.expect(Expectation::MessageContains(text.to_string()))
    }

    /// Whose body has all of this.
    pub fn body_contains(self, part: Value) -> Self {
        self.expect(Expectation::BodyContains(part))
    }

    /// Whose body is this.
    pub fn body_equals(self, whole: Value) -> Self {
        self.expect(Expectation::BodyEquals(whole))
    }

    /// Whose body has no such name.
    pub fn body_lacks(self, name: &'static str) -> Self {
        self.expect(Expectation::BodyLacks(name))
    }

    /// Which has this header, or does not have it.
    pub fn header(self, name: &'static str, value: Option<&'static str>) -> Self {
        self.expect(Expectation::Header(name, value))
    }

    /// Which the sidecar says from here: `local`, `forwarded`, `cached`.
    pub fn answered_from(self, place: &'static str) -> Self {
        self.expect(Expectation::AnswerSource(place))
    }

    /// Whose answers differ in these names, since they are made anew each time.
    pub fn ignoring_fields(mut self, names: &'static [&'static str]) -> Self {
        self.ignored_fields = names;
        self
    }

    fn expect(mut self, want: Expectation) -> Self {
        self.expectations.push(want);
        self
    }

    /// What is wrong with the answers to this row.
    fn failures(&self, env: &TestEnv) -> Vec<String> {
        let token = |request: Request| request.header("Gitlab-Shell-Api-Request", &env.shell_token());
        let requests: Vec<(&str, Request)> = match &self.request {
            CaseRequest::AllEncodings(call) => call.all_encodings().into_iter().map(|(form, request)| (form, token(request))).collect(),
            CaseRequest::JsonOnce(call) => vec![("JSON of texts", token(call.to_json_request()))],
            CaseRequest::WithToken(request) => vec![("as it is", token(request.clone()))],
            CaseRequest::Verbatim(request) => vec![("as it is", request.clone())],
        };
        let mut wrong = Vec::new();
        for (form, request) in requests {
            let (there, here) = (request.send(&env.primary_socket()), request.send(&env.sidecar_socket()));
            wrong.extend(
                self.check_response(&there).into_iter().map(|why| format!("at the primary, as {form}: {why}: {}", describe(&there))),
            );
            wrong
                .extend(self.check_response(&here).into_iter().map(|why| format!("at the sidecar, as {form}: {why}: {}", describe(&here))));
            wrong.extend(self.check_answer_source(&here).map(|why| format!("at the sidecar, as {form}: {why}: {}", describe(&here))));
            if !self.responses_match(&there, &here) {
                wrong.push(format!("as {form}, the two are not one: {} and {}", describe(&there), describe(&here)));
            }
        }
        wrong.into_iter().map(|why| format!("{} ({}) {why}", self.id, self.description)).collect()
    }

    fn check_response(&self, answer: &Response) -> Vec<String> {
        let mut wrong = Vec::new();
        if answer.status != self.status {
            wrong.push(format!("not {}", self.status));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        for want in &self.expectations {
            match want {
                Expectation::MessageContains(part) if !body["message"].as_str().unwrap_or_default().contains(part.as_str()) => {
                    wrong.push(format!("says nothing with {part:?}"));
                }
                Expectation::BodyContains(part) if !json_contains(&body, part) => wrong.push(format!("has not {part}")),
                Expectation::BodyEquals(whole) if body != *whole => wrong.push(format!("is not {whole}")),
                Expectation::BodyLacks(name) if body.get(name).is_some() => wrong.push(format!("has {name}")),
                Expectation::Header(name, value) if answer.header(name) != *value => wrong.push(format!("header {name} is not {value:?}")),
                _ => {}
            }
        }
        wrong
    }

    fn check_answer_source(&self, answer: &Response) -> Option<String> {
        let place = self.expectations.iter().find_map(|want| match want {
            Expectation::AnswerSource(place) => Some(*place),
            _ => None,
        })?;
        (answer.header("x-sidegate-answer") != Some(place)).then(|| format!("is not {place}"))
    }

    /// Byte for byte the same; or the same but for what is made anew, and for the `message` that a sidecar adds to an `error`.
    fn responses_match(&self, there: &Response, here: &Response) -> bool {
        if there.status != here.status || there.header("content-type") != here.header("content-type") {
            return false;
        }
        if there.body == here.body {
            return true;
        }
        let read = |answer: &Response| serde_json::from_slice::<Value>(&answer.body).ok();
        let (Some(mut there), Some(mut here)) = (read(there), read(here)) else { return false };
        if let (Some(error), None) = (there.get("error").cloned(), there.get("message")) {
            there["message"] = error;
        }
        for body in [&mut there, &mut here].into_iter().filter_map(Value::as_object_mut) {
            body.retain(|name, _| !self.ignored_fields.contains(&name.as_str()));
        }
        there == here
    }
}

/// Asks all rows, and fails with everything that is wrong with any of them.
pub fn assert_cases(env: &TestEnv, rows: Vec<ContractCase>) {
    let wrong: Vec<String> = rows.iter().flat_map(|row| row.failures(env)).collect();
    assert!(wrong.is_empty(), "{} answers to {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// A refusal of `allowed`, whole.
pub fn denied_body(text: &str) -> Value {
    json!({"status": false, "message": text})
}

/// Whether `body` has all that `part` has.
pub fn json_contains(body: &Value, part: &Value) -> bool {
    match (body, part) {
        (Value::Object(body), Value::Object(part)) => {
            part.iter().all(|(name, part)| body.get(name).is_some_and(|value| json_contains(value, part)))
        }
        (Value::Array(body), Value::Array(part)) => {
            body.len() == part.len() && body.iter().zip(part).all(|(body, part)| json_contains(body, part))
        }
        (body, part) => body == part,
    }
}

fn describe(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.text())
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
