//! The two hooks of a push on the wire: their parameters, and what they answer. (server.md 2.8, 2.9; client.md appendix A)

use serde_json::{Value, json};

use crate::model::push::{MessageType, PushEvent, PushMessages};
use crate::wire::claimant;
use crate::wire::http::params::{Params, ParamsError};

/// The longest word of a repository; those that there are have some 30.
pub const MAX_GL_REPOSITORY_BYTES: usize = 255;

/// The repository's word: any text is one, but none at all and endless ones are not.
pub fn parse_gl_repository(params: &Params) -> Result<String, ParamsError> {
    let word = params.text("gl_repository")?.unwrap_or_default();
    match word.len() {
        1..=MAX_GL_REPOSITORY_BYTES => Ok(word),
        _ => Err(ParamsError::invalid_value("gl_repository", "a repository's word, as project-7")),
    }
}

/// Reads what was pushed. Who pushed is in `identifier` alone.
pub fn parse_request(params: &Params) -> Result<PushEvent, ParamsError> {
    Ok(PushEvent {
        gl_repository: parse_gl_repository(params)?,
        claimed_actor: claimant::parse_identifier(&params.text("identifier")?.unwrap_or_default()),
        changes: params.text("changes")?.unwrap_or_default(),
        push_options: params.text_or_list("push_options")?,
    })
}

/// `pre_receive`.
#[must_use]
pub fn encode_pre_receive_response(increased: bool) -> String {
    json!({"reference_counter_increased": increased}).to_string()
}

/// `post_receive`.
#[must_use]
pub fn encode_post_receive_response(messages: &PushMessages, decreased: bool) -> String {
    let word = |tone| match tone {
        MessageType::Alert => "alert",
        MessageType::Basic => "basic",
    };
    let messages: Vec<Value> = messages.iter().map(|(tone, text)| json!({"message": text, "type": word(tone)})).collect();
    json!({"messages": messages, "reference_counter_decreased": decreased}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_GL_REPOSITORY_BYTES, encode_post_receive_response, encode_pre_receive_response, parse_request};
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
    fn a_repositorys_word_is_bounded() {
        for (word, fine) in
            [("", false), ("x", true), (&"x".repeat(MAX_GL_REPOSITORY_BYTES), true), (&"x".repeat(MAX_GL_REPOSITORY_BYTES + 1), false)]
        {
            assert_eq!(parse_request(&to_params(json!({"gl_repository": word}))).is_ok(), fine, "{word}");
        }
    }

    #[test]
    fn the_bodies_are_as_the_contract_has_them() {
        assert_eq!(encode_pre_receive_response(true), r#"{"reference_counter_increased":true}"#);
        let mut messages = PushMessages::default();
        messages.add_basic("b".to_owned());
        messages.add_alert("a".to_owned());
        let expected =
            r#"{"messages":[{"message":"a","type":"alert"},{"message":"b","type":"basic"}],"reference_counter_decreased":false}"#;
        assert_eq!(encode_post_receive_response(&messages, false), expected);
    }
}
