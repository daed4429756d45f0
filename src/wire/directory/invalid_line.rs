//! What an operator reads of a line that is not a record: the field that is wrong, and what was expected.
//!
//! The parser names a field only where the field itself is missing or unknown. Of a value of another form it gives the column, so the field
//! is found by where the fields of the line stand.

use serde_json::{Map, Value};

use crate::model::record::{InvalidRecord, Record};

/// What the parser calls a whole number.
const NUMBER_TYPES: [&str; 4] = ["expected u64", "expected u32", "expected u16", "expected i64"];

/// The fields of records whose values are never repeated.
const SECRET_FIELDS: [&str; 2] = ["token", "token_sha256"];

/// Returns the reason for which `line` is not a record, with the field that it is about where one field is to blame.
pub fn describe(line: &str, reason: &InvalidRecord) -> String {
    let InvalidRecord::Syntax(error) = reason else { return reason.to_string() };
    let text = error.to_string();
    let (what, _position) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let what = NUMBER_TYPES.iter().fold(what.to_owned(), |what, name| what.replace(name, "expected a whole number"));
    if !error.is_data() {
        return format!("this is not a JSON object on one line: {what} (byte {})", error.column());
    }
    if what.starts_with("missing field") {
        return what;
    }
    let field = field_at_fault(line);
    let what = if may_be_of_secret(field.as_deref(), line) { without_value(&what) } else { what };
    match field {
        Some(field) if !what.contains(&format!("`{field}`")) => format!("`{field}`: {what}"),
        _ => what,
    }
}

/// Returns whether the value at fault may be a secret: that of a secret field, or of any field where one is to blame that is not known.
fn may_be_of_secret(field: Option<&str>, line: &str) -> bool {
    match field {
        Some(field) => SECRET_FIELDS.contains(&field),
        None => SECRET_FIELDS.iter().any(|secret| line.contains(&format!("\"{secret}\""))),
    }
}

/// Returns what is wrong with a value, as the parser says it, without the value.
fn without_value(what: &str) -> String {
    match what.split_once(": ") {
        Some((kind @ ("invalid type" | "invalid value" | "invalid length"), rest)) => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{kind} (the value is not shown, because it may be a secret), expected {expected}"),
            None => format!("{kind} (the value is not shown, because it may be a secret)"),
        },
        _ => what.to_owned(),
    }
}

/// Returns the field whose value is refused, if the line has all its fields and one of them is to blame: the line is read again with its
/// kind first, where the parser stops right behind the value that it refuses.
fn field_at_fault(line: &str) -> Option<String> {
    let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
    // What this version has no kind for is refused for its kind; the kinds that are never published name no field in an error's place.
    let kind = fields.get("kind")?.as_str().filter(|kind| Record::field_names(kind).is_some())?.to_owned();
    let (text, ends) = write_kind_first(&kind, &fields)?;
    let Err(InvalidRecord::Syntax(error)) = Record::parse(&text) else { return None };
    let refused_at = error.column();
    // The parser may have taken the byte behind the value too.
    ends.into_iter().find(|(_, end)| end + 1 >= refused_at).map(|(name, _)| name)
}

/// Returns the object with its kind first, and where each field's value ends, in bytes.
fn write_kind_first(kind: &str, fields: &Map<String, Value>) -> Option<(String, Vec<(String, usize)>)> {
    let mut text = format!("{{\"kind\":{}", serde_json::to_string(kind).ok()?);
    let mut ends = vec![("kind".to_owned(), text.len())];
    for (name, value) in fields.iter().filter(|(name, _)| *name != "kind") {
        text.push(',');
        text.push_str(&serde_json::to_string(name).ok()?);
        text.push(':');
        text.push_str(&value.to_string());
        ends.push((name.clone(), text.len()));
    }
    text.push('}');
    Some((text, ends))
}

#[cfg(test)]
mod tests {
    use super::describe;
    use crate::wire::directory::record_lines::DirectoryRecord;

    fn refusal(line: &str) -> String {
        describe(line, &DirectoryRecord::parse(line).unwrap_err())
    }

    #[test]
    fn a_secret_of_another_form_is_not_repeated() {
        for line in [
            r#"{"kind":"storage","name":"a","address":"b","token":7777}"#,
            r#"{"kind":"storage","name":"a","address":"b","token":-7777}"#,
            r#"{"kind":"storage","name":"a","address":"b","token":7777.5}"#,
            r#"{"token":7777,"kind":"storage","name":"a","address":"b"}"#,
            r#"{"kind":"storage","name":"a","address":"b","token":7777,"token":"x"}"#,
            r#"{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":7777}"#,
            r#"{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":"7777"}"#,
        ] {
            let said = refusal(line);
            assert!(!said.contains("7777"), "{line}: {said}");
            assert!(said.contains("expected") || said.contains("64 lower-case hex digits"), "{line}: {said}");
        }
    }

    #[test]
    fn the_field_and_what_it_should_be_are_named_wherever_the_kind_stands() {
        for (line, begins) in [
            (r#"{"kind":"user","id":"x","username":"a","name":"A"}"#, r#"`id`: invalid type: string "x", expected a whole number"#),
            (r#"{"id":0,"kind":"user","username":"a","name":"A"}"#, "`id`: an id is a whole number"),
            (r#"{"username":7,"kind":"user","id":1,"name":"A"}"#, "`username`: invalid type: integer `7`"),
            (
                r#"{"kind":"user","id":1,"username":"a","name":"A","state":"gone"}"#,
                "`state`: unknown variant `gone`, expected one of `active`",
            ),
            (r#"{"kind":"user","id":1,"username":"a","name":"A","admin":1}"#, "`admin`: invalid type: integer `1`, expected a boolean"),
            (r#"{"kind":"member","project_id":1,"user_id":1,"access_level":31}"#, "`access_level`: an access level is"),
            (r#"{"kind":"key","id":1,"user_id":1,"title":"t","key":"rsa x","created_at":"2026-01-31T12:00:00Z"}"#, "`key`: a key is"),
            (r#"{"kind":"user","id":1,"username":"a","name":"A","colour":1}"#, "unknown field `colour`, expected one of"),
            (r#"{"kind":"user","id":1,"name":"A"}"#, "missing field `username`"),
            (r#"{"kind":"robot","id":1}"#, "unknown variant `robot`, expected one of `settings`"),
            (r#"{"kind":"user","id":1,"#, "this is not a JSON object on one line: "),
            ("id,username", "this is not a JSON object on one line: expected value (byte 1)"),
        ] {
            let said = refusal(line);
            assert!(said.starts_with(begins) && !said.contains(" at line "), "{line}: {said}");
        }
    }
}
