//! `docs/status.md` has every field that a daemon sends, with its shape, and no daemon sends another: compared in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::http::Request;

const DOCUMENT: &str = include_str!("../../../docs/status.md");
/// Objects whose fields are named by what they are about.
const MAPS: [&str; 8] = [
    "follower.counts",
    "sockets.refused",
    "kept.questions",
    "kept.evictions",
    "kept.shadow",
    "kept.shadow.*.ages",
    "records",
    "kept.pushes_under_way",
];

/// A field of the document: its shape, and whether it is always there.
struct Field<'a> {
    shape: &'a str,
    is_always_sent: bool,
}

/// Returns the fields of a daemon, by path: the rows of the table below its heading and below the heading of what all have.
fn documented(daemon: &str) -> BTreeMap<&'static str, Field<'static>> {
    let mut fields = BTreeMap::new();
    let mut is_its = false;
    for line in DOCUMENT.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            is_its = heading.starts_with("Every daemon") || heading.to_lowercase().contains(&format!("`{daemon}`"));
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, path, shape, when, ..] = cells[..] else { continue };
        if let Some(path) = path.strip_prefix('`').and_then(|path| path.strip_suffix('`'))
            && is_its
        {
            fields.insert(path, Field { shape, is_always_sent: when == "always" });
        }
    }
    assert!(fields.len() > 20, "the tables of {daemon} are not found");
    fields
}

/// Fails if a status has a field that the document does not have, or of another shape; if a field is missing that is always there; or one of
/// `also`, which this state shows.
pub fn assert_documented(status: &Value, daemon: &str, also: &[&str]) {
    let documented = documented(daemon);
    let mut sent = BTreeSet::new();
    walk("", status, &mut |path, value| {
        let Some(field) = documented.get(path) else { panic!("`{path}` is sent by a {daemon} and not documented: {status}") };
        assert!(has_shape(value, field.shape), "`{path}` is {value}, and documented as {}", field.shape);
        sent.insert(path.to_owned());
    });
    for (path, field) in &documented {
        assert!(!field.is_always_sent || sent.contains(*path), "`{path}` is documented as always there, and a {daemon} does not send it");
    }
    for path in also {
        assert!(sent.contains(*path), "`{path}` is not sent: {status}");
    }
}

/// Fails unless exactly the alarms of a status stand in the metrics on the same socket.
pub fn assert_metrics_agree(status: &Value, socket: &Path) {
    let in_status: BTreeSet<String> =
        status["alarms"].as_array().unwrap().iter().map(|alarm| alarm["kind"].as_str().unwrap().to_owned()).collect();
    let metrics = Request::get("/-/metrics").send(socket).text();
    let standing = metrics.lines().filter_map(|line| line.strip_prefix("sidegate_alarms{kind=\"")?.strip_suffix("\"} 1"));
    assert_eq!(in_status, standing.map(str::to_owned).collect::<BTreeSet<_>>(), "{metrics}");
}

/// Calls `visit` with each field and its path; elements of a list are `[]`, fields of a map `*`.
fn walk(path: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            let is_map = MAPS.contains(&path);
            for (name, field) in fields {
                let name = if is_map { "*" } else { name.as_str() };
                let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                visit(&inner, field);
                walk(&inner, field, visit);
            }
        }
        Value::Array(elements) => {
            elements.iter().filter(|element| element.is_object()).for_each(|element| walk(&format!("{path}[]"), element, visit))
        }
        _ => {}
    }
}

/// Returns whether a value has a documented shape, as `integer` or `time or null`.
fn has_shape(value: &Value, shape: &str) -> bool {
    shape.split(" or ").any(|shape| match shape.split(',').next().unwrap().trim() {
        "null" => value.is_null(),
        "text" => value.is_string(),
        "time" => value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "list" => value.is_array(),
        other => panic!("`{other}` is no shape that the document explains"),
    })
}

#[test]
fn no_number_is_sent_as_text() {
    for daemon in ["sidecar", "primary", "mirror"] {
        for (path, field) in documented(daemon) {
            let is_number = ["seconds", "bytes", "milliseconds", "count"].iter().any(|unit| path.ends_with(unit));
            assert!(!is_number || field.shape.starts_with("integer") || field.shape.starts_with("number"), "`{path}` is {}", field.shape);
        }
    }
}
