//! `pre_receive` on the wire: the repository, and whether its counter was increased. (server.md 2.8)

use serde_json::json;

use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The longest `gl_repository`, in bytes; those of a GitLab have some 30.
pub const MAX_GL_REPOSITORY_BYTES: usize = 255;

/// Reads the parameter `gl_repository`: any text within the bound, but not none.
pub fn parse_gl_repository(params: &Params) -> Result<String, ParamsError> {
    let gl_repository = params.text("gl_repository")?.unwrap_or_default();
    match gl_repository.len() {
        1..=MAX_GL_REPOSITORY_BYTES => Ok(gl_repository),
        _ => Err(ParamsError::invalid_value("gl_repository", "a repository's word, as project-7")),
    }
}

/// Returns the body of `pre_receive`.
#[must_use]
pub fn encode_response(increased: bool) -> String {
    json!({"reference_counter_increased": increased}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MAX_GL_REPOSITORY_BYTES, encode_response, parse_gl_repository};
    use crate::wire::http::params::Params;

    #[test]
    fn gl_repository_is_required_and_bounded() {
        for (word, accepted) in
            [("", false), ("x", true), (&"x".repeat(MAX_GL_REPOSITORY_BYTES), true), (&"x".repeat(MAX_GL_REPOSITORY_BYTES + 1), false)]
        {
            let params = Params { values: json!({"gl_repository": word}).as_object().cloned().unwrap() };
            assert_eq!(parse_gl_repository(&params).is_ok(), accepted, "{word}");
        }
    }

    #[test]
    fn the_body_is_as_the_contract_has_it() {
        assert_eq!(encode_response(true), r#"{"reference_counter_increased":true}"#);
    }
}
