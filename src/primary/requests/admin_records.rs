//! `GET /-/admin/records`: the records of one kind, as an operator looks at them: without tokens, a key with its fingerprint. (`kind`, in
//! the singular or plural; `which`: its id, name, path or fingerprint; `user_id`: only this user's)

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::record::Record;
use crate::model::unpublished::UnpublishedRecord;
use crate::primary::directory::unpublished;
use crate::primary::line_stream;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// What stands in the place of a token.
const HIDDEN: &str = "[hidden]";
/// The fields that nobody is shown.
const SECRET_FIELDS: [&str; 2] = ["token", "token_sha256"];
/// The fields that a record is asked for by, in any ASCII case.
const NAME_FIELDS: [&str; 4] = ["username", "path", "from", "fingerprint"];
/// The kinds whose `name` tells them apart.
const NAMED_KINDS: [&str; 4] = ["storage", "agent", "scan_execution_policy", "policy_configuration"];

/// Answers with the records as a stream of lines.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let kind = parse_kind(&request.required_text("kind")?)?;
    let filter = RecordFilter { which: request.params.text("which")?, user_id: request.params.id("user_id")? };
    let store = state.store.clone();
    Ok(line_stream::respond("a list of records", move || {
        let published = store.directory().entries();
        let published = published.map(|entry| entry.map(|entry| entry.record().map(|record| (record.kind(), entry.text().to_owned()))));
        let beside = unpublished::load_all(store.private_store())?.into_iter();
        let beside = beside.map(|record| Ok(Some((record.kind(), record.canonical().map_err(|error| StoreError(error.to_string()))?))));
        Ok(published.chain(beside).filter_map(move |entry| {
            let text = match entry {
                Ok(Some((of, text))) if of == kind => text,
                Ok(_) => return None,
                Err(error) => return Some(Err(error)),
            };
            let record = view(&text)?;
            filter.matches(&record).then(|| Ok(Value::Object(record).to_string()))
        }))
    }))
}

/// What of a kind is wanted.
struct RecordFilter {
    which: Option<String>,
    user_id: Option<Id>,
}

impl RecordFilter {
    fn matches(&self, record: &Map<String, Value>) -> bool {
        let is_of_user = self.user_id.is_none_or(|user| record.get("user_id").and_then(Value::as_u64) == Some(user.number()));
        is_of_user && self.which.as_deref().is_none_or(|which| is_named(record, which))
    }
}

fn is_named(record: &Map<String, Value>, which: &str) -> bool {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let has_name = |field: &str| text(field).is_some_and(|name| name.eq_ignore_ascii_case(which));
    let is_fingerprint = which.starts_with("SHA256:");
    let has_id = record.get("id").and_then(Value::as_u64).is_some_and(|id| which == id.to_string());
    let by_name = text("kind").is_some_and(|kind| NAMED_KINDS.contains(&kind)) && has_name("name");
    has_id
        || by_name
        || NAME_FIELDS
            .iter()
            .any(|field| if *field == "fingerprint" { is_fingerprint && text(field) == Some(which) } else { has_name(field) })
}

/// Returns a record as it is shown.
fn view(text: &str) -> Option<Map<String, Value>> {
    let Value::Object(mut record) = serde_json::from_str(text).ok()? else { return None };
    for field in SECRET_FIELDS {
        if let Some(secret) = record.get_mut(field) {
            *secret = HIDDEN.into();
        }
    }
    let kind = record.get("kind").and_then(Value::as_str).map(str::to_owned);
    match kind.as_deref() {
        Some("user") => drop(record.entry("state").or_insert("active".into())),
        Some("key") => {
            let key = record.get("key").and_then(Value::as_str).and_then(|key| key.parse::<PublicKey>().ok());
            let fingerprint = key.map(|key| key.fingerprint().to_string());
            fingerprint.into_iter().for_each(|fingerprint| drop(record.insert("fingerprint".to_owned(), fingerprint.into())));
        }
        _ => {}
    }
    Some(record)
}

/// Returns the kind with this name, which may be in the plural; refuses another with the names of all.
fn parse_kind(name: &str) -> Result<String, ApiError> {
    let singulars = [Some(name), name.strip_suffix('s'), name.strip_suffix("es")];
    let policy = name.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let is_kind = |kind: &str| Record::field_names(kind).is_some() || UnpublishedRecord::is_unpublished_kind(&kind_line(kind));
    let found = singulars.into_iter().flatten().chain(policy.as_deref()).find(|kind| is_kind(kind)).map(str::to_owned);
    found.ok_or_else(|| {
        let refused = Record::parse(&kind_line(name)).err().map(|error| error.to_string()).unwrap_or_default();
        let kinds = refused.split_once(", expected ").and_then(|(_, kinds)| kinds.split(" at line ").next()).unwrap_or_default().to_owned();
        ApiError::bad_request(format_args!("kind `{name}` is not known; it is {kinds}"))
    })
}

fn kind_line(kind: &str) -> String {
    serde_json::json!({"kind": kind}).to_string()
}

#[cfg(test)]
mod tests {
    use super::{RecordFilter, parse_kind, view};
    use crate::model::memory_directory::ed25519_public_key;

    #[test]
    fn a_kind_is_named_in_the_singular_or_plural_and_another_is_refused_with_all_names() {
        for (name, kind) in [
            ("users", "user"),
            ("key", "key"),
            ("settings", "settings"),
            ("protected_branches", "protected_branch"),
            ("scan_execution_policies", "scan_execution_policy"),
            ("broadcasts", "broadcast"),
        ] {
            assert_eq!(parse_kind(name).as_deref(), Ok(kind));
        }
        let refused = parse_kind("robots").unwrap_err().message;
        assert!(refused.contains("`robots` is not known") && refused.contains("`user`") && refused.contains("`key`"), "{refused}");
    }

    #[test]
    fn tokens_are_hidden_and_a_key_shows_its_fingerprint() {
        let storage = view(r#"{"kind":"storage","name":"default","address":"unix:/g","token":"s3cret"}"#).unwrap();
        assert_eq!(storage["token"], "[hidden]");
        let agent = view(r#"{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":"00"}"#).unwrap();
        assert_eq!(agent["token_sha256"], "[hidden]");
        let key = view(&format!(r#"{{"kind":"key","id":1,"title":"t","key":"{}"}}"#, ed25519_public_key(1))).unwrap();
        assert!(key["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
        let which = |which: &str| RecordFilter { which: Some(which.to_owned()), user_id: None };
        assert!(which("1").matches(&key) && which(key["fingerprint"].as_str().unwrap()).matches(&key) && !which("t").matches(&key));
        assert!(which("Default").matches(&storage) && !which("2").matches(&agent));
    }
}
