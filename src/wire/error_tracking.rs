//! Error tracking's question on the wire. (server.md 2.12)

use serde_json::json;

use crate::wire::params::{BadParams, Params};

/// The project as it was named and the public key; `None` if one of them is blank.
pub fn read(params: &Params) -> Result<Option<(String, String)>, BadParams> {
    let filled = |name| Ok(params.text(name)?.filter(|text| !text.trim().is_empty()));
    Ok(filled("project_id")?.zip(filled("public_key")?))
}

/// The answer.
#[must_use]
pub fn answered(enabled: bool) -> String {
    json!({"enabled": enabled}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{answered, read};
    use crate::wire::params::Params;

    fn of(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn a_question_without_project_or_key_is_none() {
        assert_eq!(read(&of(json!({"project_id": 111, "public_key": "k"}))), Ok(Some(("111".to_owned(), "k".to_owned()))));
        for blank in [json!({"project_id": 111}), json!({"project_id": "", "public_key": "k"}), json!({"project_id": 1, "public_key": " "})]
        {
            assert_eq!(read(&of(blank.clone())), Ok(None), "{blank}");
        }
        assert!(read(&of(json!({"project_id": [1], "public_key": "k"}))).is_err());
        assert_eq!(answered(true), r#"{"enabled":true}"#);
    }
}
