//! Nested names in a query or a form: `a[b]`, `a[]`, `packs[][x]`. The shapes are Rack's.
//!
//! `a[]=1&a[]=2` is a list. `packs[][x]=1&packs[][y]=2&packs[][x]=3` is a list of two objects: a new one begins where a name
//! comes again. `packs[0][x]=1` is an object with the name `0`. Where Rack keeps the last of two values, or guesses at
//! brackets that do not match, this refuses.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::wire::http::params_error::{MAX_NAME_BYTES, MAX_PARAM_DEPTH, ParamsError};

/// One step into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeySegment<'a> {
    Field(&'a str),
    ListItem,
}

/// Inserts a value under its decoded name.
pub fn insert_nested(values: &mut Map<String, Value>, part: &'static str, name: &str, value: Value) -> Result<(), ParamsError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(ParamsError::LimitExceeded);
    }
    let (first, segments) =
        parse_key(name).ok_or_else(|| ParamsError::Malformed { part, reason: "a name whose brackets do not match".to_owned() })?;
    if first.is_empty() {
        return Err(ParamsError::Malformed { part, reason: "a value without a name".to_owned() });
    }
    if segments.len() >= MAX_PARAM_DEPTH {
        return Err(ParamsError::LimitExceeded);
    }
    insert_at(values, first, &segments, value).map_err(|conflict| match conflict {
        InsertConflict::Duplicate => ParamsError::Duplicate(name.to_owned()),
        InsertConflict::TypeMismatch => ParamsError::invalid_value(name, "given in two shapes: as one value, as a list or as an object"),
        InsertConflict::NestedList => ParamsError::invalid_value(name, "a list of lists, which only JSON can say"),
    })
}

/// Why a value cannot be inserted under its name.
enum InsertConflict {
    Duplicate,
    TypeMismatch,
    NestedList,
}

/// Splits a name into its first part and the segments in brackets. A bracket at the very start belongs to the name.
fn parse_key(name: &str) -> Option<(&str, Vec<KeySegment<'_>>)> {
    let Some(open) = name.char_indices().skip(1).find(|(_, letter)| *letter == '[').map(|(index, _)| index) else {
        return Some((name, Vec::new()));
    };
    let (first, mut rest) = name.split_at(open);
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
        if inner.contains('[') {
            return None;
        }
        segments.push(if inner.is_empty() { KeySegment::ListItem } else { KeySegment::Field(inner) });
        rest = after;
    }
    Some((first, segments))
}

fn insert_at(values: &mut Map<String, Value>, name: &str, segments: &[KeySegment<'_>], value: Value) -> Result<(), InsertConflict> {
    let place = values.entry(name);
    match segments {
        [] => match place {
            Entry::Occupied(_) => Err(InsertConflict::Duplicate),
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
        },
        [KeySegment::Field(inner), rest @ ..] => match place.or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(object) => insert_at(object, inner, rest, value),
            _ => Err(InsertConflict::TypeMismatch),
        },
        [KeySegment::ListItem, rest @ ..] => match place.or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => append_item(list, rest, value),
            _ => Err(InsertConflict::TypeMismatch),
        },
    }
}

fn append_item(list: &mut Vec<Value>, segments: &[KeySegment<'_>], value: Value) -> Result<(), InsertConflict> {
    match segments {
        [] => list.push(value),
        [KeySegment::ListItem, ..] => return Err(InsertConflict::NestedList),
        [KeySegment::Field(name), rest @ ..] => match list.last_mut() {
            Some(Value::Object(last)) if !contains_value(last, segments) => return insert_at(last, name, rest, value),
            _ => {
                let mut object = Map::new();
                insert_at(&mut object, name, rest, value)?;
                list.push(Value::Object(object));
            }
        },
    }
    Ok(())
}

/// Returns whether there is a value already. A list may always take one more.
fn contains_value(object: &Map<String, Value>, segments: &[KeySegment<'_>]) -> bool {
    match segments {
        [KeySegment::Field(name)] => object.contains_key(*name),
        [KeySegment::Field(name), rest @ ..] => matches!(object.get(*name), Some(Value::Object(inner)) if contains_value(inner, rest)),
        [] | [KeySegment::ListItem, ..] => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::insert_nested;
    use crate::wire::http::params_error::{MAX_NAME_BYTES, MAX_PARAM_DEPTH, ParamsError};

    fn nested(pairs: &[(&str, &str)]) -> Result<Value, ParamsError> {
        let mut values = Map::new();
        for (name, value) in pairs {
            insert_nested(&mut values, "query", name, Value::from(*value))?;
        }
        Ok(Value::Object(values))
    }

    #[test]
    fn names_nest_as_rack_nests_them() {
        for (pairs, shape) in [
            (vec![("a[]", "1"), ("a[]", "2")], json!({"a": ["1", "2"]})),
            (vec![("a[b][c]", "1"), ("a[b][d]", "2")], json!({"a": {"b": {"c": "1", "d": "2"}}})),
            (
                vec![("p[][x]", "1"), ("p[][y]", "2"), ("p[][x]", "3"), ("p[][y]", "4")],
                json!({"p": [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]}),
            ),
            (
                vec![("p[][x][y]", "1"), ("p[][x][z]", "2"), ("p[][x][y]", "3")],
                json!({"p": [{"x": {"y": "1", "z": "2"}}, {"x": {"y": "3"}}]}),
            ),
            (vec![("p[][x][]", "1"), ("p[][x][]", "2")], json!({"p": [{"x": ["1", "2"]}]})),
            (vec![("p[0][x]", "1"), ("p[1][x]", "2")], json!({"p": {"0": {"x": "1"}, "1": {"x": "2"}}})),
            (vec![("[a]", "1"), ("b]", "2")], json!({"[a]": "1", "b]": "2"})),
        ] {
            assert_eq!(nested(&pairs), Ok(shape), "{pairs:?}");
        }
    }

    #[test]
    fn what_rack_would_guess_at_is_refused() {
        assert_eq!(nested(&[("a", "1"), ("a", "1")]), Err(ParamsError::Duplicate("a".to_owned())));
        assert_eq!(nested(&[("a[b]", "1"), ("a[b]", "1")]), Err(ParamsError::Duplicate("a[b]".to_owned())));
        for pairs in [
            [("a", "1"), ("a[]", "1")],
            [("a[]", "1"), ("a[b]", "1")],
            [("a[b]", "1"), ("a[]", "1")],
            [("a[][b]", "1"), ("a[][b][c]", "1")],
        ] {
            assert!(matches!(nested(&pairs), Err(ParamsError::InvalidValue { .. })), "{pairs:?}");
        }
        assert!(matches!(nested(&[("a[][]", "1")]), Err(ParamsError::InvalidValue { .. })));
        for name in ["", "a[", "a[b", "a[b]c", "a[[b]]", "a]b[", "a[b]]", "é[b"] {
            assert!(matches!(nested(&[(name, "1")]), Err(ParamsError::Malformed { .. })), "{name}");
        }
    }

    #[test]
    fn the_depth_and_the_length_of_a_name_are_bounded() {
        let deep = |names: usize| format!("a{}", "[b]".repeat(names - 1));
        assert!(nested(&[(&deep(MAX_PARAM_DEPTH), "1")]).is_ok());
        assert_eq!(nested(&[(&deep(MAX_PARAM_DEPTH + 1), "1")]), Err(ParamsError::LimitExceeded));
        let long = |bytes: usize| "n".repeat(bytes);
        assert!(nested(&[(&long(MAX_NAME_BYTES), "1")]).is_ok());
        assert_eq!(nested(&[(&long(MAX_NAME_BYTES + 1), "1")]), Err(ParamsError::LimitExceeded));
    }
}
