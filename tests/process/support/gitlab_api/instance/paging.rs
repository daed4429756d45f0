//! Pages: by number, with all links, and by cursor, with the next one only. (server.md 5b)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::Answer;

/// The most objects that a page has, whatever is asked for.
pub const MOST_PER_PAGE: usize = 100;
const DEFAULT_PER_PAGE: usize = 20;
/// How many records can be reached by numbers of pages from 17.0 on.
pub const MOST_BY_NUMBER: usize = 50_000;

/// The parameters of a query, in their order.
#[derive(Clone, Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn per_page(&self) -> usize {
        self.value("per_page").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PER_PAGE).clamp(1, MOST_PER_PAGE)
    }

    pub fn page(&self) -> usize {
        self.value("page").and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    }

    /// The query with other values for some parameters.
    fn with(&self, changed: &[(&str, String)]) -> String {
        let mut all: Vec<(String, String)> =
            self.0.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name)).cloned().collect();
        all.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        all.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish()
    }
}

/// Where a list was asked for: what links of its pages begin with, as `https://gitlab.example.com/gitlab/api/v4/users`.
pub struct ListUrl<'a>(pub &'a str);

/// A page by its number.
pub fn numbered_page(items: &[Value], total: usize, query: &Query, url: &ListUrl<'_>) -> Answer {
    let (page, per_page) = (query.page(), query.per_page());
    let last = total.div_ceil(per_page).max(1);
    let link = |relation: &str, number: usize| {
        let query = query.with(&[("page", number.to_string()), ("per_page", per_page.to_string())]);
        format!("<{}?{query}>; rel=\"{relation}\"", url.0)
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(link("prev", page - 1));
    }
    if page < last {
        links.push(link("next", page + 1));
    }
    links.extend([link("first", 1), link("last", last)]);
    let next = if page < last { (page + 1).to_string() } else { String::new() };
    let headers = vec![
        ("Link", links.join(", ")),
        ("X-Next-Page", next),
        ("X-Page", page.to_string()),
        ("X-Per-Page", per_page.to_string()),
        ("X-Total", total.to_string()),
        ("X-Total-Pages", last.to_string()),
    ];
    Answer { status: 200, headers, body: Value::from(items.to_vec()).to_string() }
}

/// A page by a cursor. `after` is the last object of it, if there are more behind.
pub fn keyset_page(items: &[Value], after: Option<&Cursor>, query: &Query, url: &ListUrl<'_>) -> Answer {
    let link = |cursor: &Cursor| {
        let query = query.with(&[("cursor", cursor.encode()), ("per_page", query.per_page().to_string())]);
        ("Link", format!("<{}?{query}>; rel=\"next\"", url.0))
    };
    Answer { status: 200, headers: after.map(link).into_iter().collect(), body: Value::from(items.to_vec()).to_string() }
}

/// The place of the last object of a page: its value in the column that is sorted by, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub value: i64,
    pub id: u64,
}

impl Cursor {
    pub fn encode(&self) -> String {
        URL_SAFE.encode(json!({"value": self.value.to_string(), "id": self.id.to_string(), "_kd": "n"}).to_string())
    }

    pub fn decode(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(&URL_SAFE.decode(text).ok()?).ok()?;
        Some(Self { value: value["value"].as_str()?.parse().ok()?, id: value["id"].as_str()?.parse().ok()? })
    }
}
