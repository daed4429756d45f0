//! The body that carries one sentence: `{"message": …}`. (server.md 1.2)

use serde::Deserialize;

/// Returns the JSON body with this message.
#[must_use]
pub fn encode_message(text: &str) -> String {
    format!(r#"{{"message":{}}}"#, serde_json::Value::from(text))
}

/// Returns the `message` of a JSON body; `None` if it has none.
#[must_use]
pub fn parse_message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct MessageBody {
        message: String,
    }
    serde_json::from_slice(body).ok().map(|MessageBody { message }| message)
}

#[cfg(test)]
mod tests {
    use super::{encode_message, parse_message};

    #[test]
    fn a_message_is_read_as_it_was_written() {
        assert_eq!(encode_message("404 Key Not Found"), r#"{"message":"404 Key Not Found"}"#);
        for text in ["", "No \"x\".\n", "Zoë"] {
            assert_eq!(parse_message(encode_message(text).as_bytes()).as_deref(), Some(text));
        }
    }
}
