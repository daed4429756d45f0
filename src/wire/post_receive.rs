//! `post_receive` on the wire: what was pushed, and the messages for who pushed. (server.md 2.9; client.md appendix A)

use serde_json::{Value, json};

use crate::model::push::{MessageType, PushEvent, PushMessages};
use crate::wire::claimant;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;
use crate::wire::pre_receive::parse_gl_repository;

/// Reads what was pushed. Who pushed is in `identifier` alone.
pub fn parse_request(params: &Params) -> Result<PushEvent, ParamsError> {
    Ok(PushEvent {
        gl_repository: parse_gl_repository(params)?,
        claimed_actor: claimant::parse_identifier(&params.text("identifier")?.unwrap_or_default()),
        changes: params.text("changes")?.unwrap_or_default(),
        push_options: params.text_or_list("push_options")?,
    })
}

/// Returns the body of `post_receive`.
#[must_use]
pub fn encode_response(messages: &PushMessages, decreased: bool) -> String {
    let type_name = |message_type| match message_type {
        MessageType::Alert => "alert",
        MessageType::Basic => "basic",
    };
    let messages: Vec<Value> =
        messages.iter().map(|(message_type, text)| json!({"message": text, "type": type_name(message_type)})).collect();
    json!({"messages": messages, "reference_counter_decreased": decreased}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{encode_response, parse_request};
    use crate::model::access_request::ClaimedActor;
    use crate::model::push::PushMessages;
    use crate::wire::http::params::Params;

    fn to_params(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn options_come_as_a_list_as_one_or_not_at_all() {
        for (sent, read_as) in
            [(json!(["a", "b"]), vec!["a", "b"]), (json!("a"), vec!["a"]), (json!(null), vec![]), (json!([]), vec![]), (json!(""), vec![])]
        {
            let pushed =
                parse_request(&to_params(json!({"gl_repository": "project-7", "identifier": "user-1", "key_id": 3, "push_options": sent})))
                    .unwrap();
            assert_eq!(
                (pushed.push_options, pushed.claimed_actor),
                (read_as.into_iter().map(str::to_owned).collect(), ClaimedActor::User("1".parse().ok()))
            );
        }
    }

    #[test]
    fn the_body_is_as_the_contract_has_it() {
        let mut messages = PushMessages::default();
        messages.add_basic("b".to_owned());
        messages.add_alert("a".to_owned());
        let expected =
            r#"{"messages":[{"message":"a","type":"alert"},{"message":"b","type":"basic"}],"reference_counter_decreased":false}"#;
        assert_eq!(encode_response(&messages, false), expected);
    }
}
