//! What commands print: lines on standard output, and JSON values as a person reads them.

use std::io::Write as _;

use serde_json::Value;

/// Prints one line to standard output. A reader that has closed its end is no error.
pub fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints one line that begins with `WARNING:`.
pub fn print_warning(text: &str) {
    print_line(&format!("WARNING: {text}"));
}

/// Returns a JSON value as a person reads it: text without its quotes, `-` for null.
pub fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::field_text;

    #[test]
    fn a_value_is_shown_without_quotes_and_null_as_a_dash() {
        assert_eq!(field_text(&json!("zoe")), "zoe");
        assert_eq!(field_text(&json!(null)), "-");
        assert_eq!(field_text(&json!({"id": 1})), "{\"id\":1}");
    }
}
