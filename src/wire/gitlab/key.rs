//! The keys of `GET /users/:id/keys`, `GET /keys/:id` and `GET /keys?fingerprint=`. (server.md 5b)
//!
//! A deploy key has no user, but `GET /keys/:id` shows the one who created it, exactly as it shows the owner of another key. Only the
//! answer by fingerprint tells the two apart: so [`KeyById`] cannot become a record.

use serde_json::Value;

use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, PublicKey};
use crate::model::record::Key;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::wire::gitlab::object::{MalformedAnswer, Object, Skipped, read_id, read_time};

/// The longest title that is kept, in bytes.
const MAX_TITLE_BYTES: usize = 1024;

/// What was found of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundKey {
    /// A key that lets somebody in.
    Login(Key),
    /// A key that only signs commits: to a login it does not exist.
    SigningOnly(Id),
    /// A key that no record can express.
    Skipped(Skipped),
}

/// A key that was found by its id. Whether it is a user's or a deploy key is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyById {
    /// Its id.
    pub id: Id,
    /// The key, by whose fingerprint the rest can be asked.
    pub key: PublicKey,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Its owner, or if it is a deploy key the one who created it.
    pub owner_or_creator: Option<Id>,
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// This user's.
    User(Id),
    /// Nobody's: a deploy key.
    Deploy,
}

impl FoundKey {
    /// Returns the id of the key, if that could be read.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        match self {
            Self::Login(key) => Some(key.id),
            Self::SigningOnly(id) => Some(*id),
            Self::Skipped(skipped) => skipped.id,
        }
    }
}

/// Reads a page of the keys of one user. An error if one has no `id` or `key`.
pub fn parse_user_keys(body: &[u8], user: Id) -> Result<Vec<FoundKey>, MalformedAnswer> {
    Object::parse_list(body, "key")?.iter().map(|object| read_key(object, Ok(KeyOwner::User(user)))).collect()
}

/// Reads the body of `GET /users/:id/keys/:key_id`. The errors are those of [`parse_user_keys`].
pub fn parse_user_key(body: &[u8], user: Id) -> Result<FoundKey, MalformedAnswer> {
    read_key(&Object::parse(body, "key")?, Ok(KeyOwner::User(user)))
}

/// Reads the body of `GET /keys/:id`. An error if there is no `id`, `key` or `user`.
pub fn parse_key_by_id(body: &[u8]) -> Result<Result<KeyById, Skipped>, MalformedAnswer> {
    let object = Object::parse(body, "key")?;
    let (id, line, user) = (object.required("id")?, object.required("key")?, object.required("user")?);
    let known_id = read_id(id, "id");
    let read = || {
        let usage = read_usage(object.optional("usage_type"))?;
        Ok(KeyById { id: known_id.clone()?, key: read_line(line)?, usage, owner_or_creator: read_user_id(user).ok() })
    };
    Ok(read().map_err(|reason| object.skipped("key", known_id.clone().ok(), reason)))
}

/// Reads the body of `GET /keys?fingerprint=`. An error if there is no `id`, `key` or `user`. It is a deploy key if it lists the projects
/// that it is enabled in, be it none.
pub fn parse_key_by_fingerprint(body: &[u8], asked: Fingerprint) -> Result<FoundKey, MalformedAnswer> {
    let object = Object::parse(body, "key")?;
    let user = object.required("user")?;
    let owner = if object.has("deploy_keys_projects") { Ok(KeyOwner::Deploy) } else { read_user_id(user).map(KeyOwner::User) };
    Ok(match read_key(&object, owner)? {
        FoundKey::Login(key) if key.key.fingerprint() != asked => {
            FoundKey::Skipped(object.skipped("key", Some(key.id), "it is not the key that was asked for".to_owned()))
        }
        found => found,
    })
}

/// Reads one key. `owner` says whose it is, or why that is not known.
pub(super) fn read_key(object: &Object, owner: Result<KeyOwner, String>) -> Result<FoundKey, MalformedAnswer> {
    let (id, line) = (object.required("id")?, object.required("key")?);
    let kind = if owner == Ok(KeyOwner::Deploy) { "deploy key" } else { "key" };
    let id = match read_id(id, "id") {
        Ok(id) => id,
        Err(reason) => return Ok(FoundKey::Skipped(object.skipped(kind, None, reason))),
    };
    let read = || match read_usage(object.optional("usage_type"))? {
        KeyUsage::Signing => Ok(FoundKey::SigningOnly(id)),
        usage => owner.and_then(|owner| build_record(object, id, line, usage, owner)).map(FoundKey::Login),
    };
    Ok(read().unwrap_or_else(|reason| FoundKey::Skipped(object.skipped(kind, Some(id), reason))))
}

fn build_record(object: &Object, id: Id, line: &Value, usage: KeyUsage, owner: KeyOwner) -> Result<Key, String> {
    let user_id = match owner {
        KeyOwner::User(user) => Some(user),
        KeyOwner::Deploy => None,
    };
    Ok(Key {
        id,
        user_id,
        title: read_title(object.optional("title")),
        key: read_line(line)?,
        usage,
        deploy: owner == KeyOwner::Deploy,
        created_at: read_time(object.optional("created_at"), "created_at").ok().flatten().unwrap_or(Time::EPOCH),
        expires_at: read_time(object.optional("expires_at"), "expires_at")?,
    })
}

/// Reads the line of a key, without its comment.
fn read_line(value: &Value) -> Result<PublicKey, String> {
    let line = value.as_str().ok_or("`key` is not text")?;
    line.trim().parse().map_err(|error| format!("`key`: {error}"))
}

/// Reads what a key is for. A GitLab before 15.7 does not say: then it is for both. (server.md 7)
fn read_usage(value: Option<&Value>) -> Result<KeyUsage, String> {
    match value.map(Value::as_str) {
        None | Some(Some("auth_and_signing")) => Ok(KeyUsage::AuthAndSigning),
        Some(Some("auth")) => Ok(KeyUsage::Auth),
        Some(Some("signing")) => Ok(KeyUsage::Signing),
        Some(_) => Err("`usage_type` is none of auth, signing and auth_and_signing".to_owned()),
    }
}

/// Reads a title, which only people read: a control byte becomes a space, and what is too long is cut.
fn read_title(value: Option<&Value>) -> Text {
    let title = value.and_then(Value::as_str).unwrap_or_default();
    let mut plain = String::new();
    for letter in title.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if plain.len() + letter.len_utf8() > MAX_TITLE_BYTES {
            break;
        }
        plain.push(letter);
    }
    Text::try_from(plain).unwrap_or_default()
}

/// Reads the id of the object in the field `user`.
fn read_user_id(user: &Value) -> Result<Id, String> {
    let user = user.as_object().ok_or("`user` is not an object")?;
    read_id(user.get("id").unwrap_or(&Value::Null), "user.id")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{FoundKey, parse_key_by_fingerprint, parse_key_by_id, parse_user_key, parse_user_keys};
    use crate::model::enums::KeyUsage;
    use crate::model::id::Id;
    use crate::model::key::{Fingerprint, PublicKey};
    use crate::model::record::Key;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn user() -> Id {
        Id::try_from(7).unwrap()
    }

    fn sample() -> Value {
        json!({
            "id": 11, "title": "Zoë's laptop", "created_at": "2026-01-31T13:00:00.000+01:00", "expires_at": null,
            "key": format!("{KEY} zoe@example.com"), "usage_type": "auth_and_signing", "last_used_at": null
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut key = sample();
        key[field] = value;
        key
    }

    fn read(key: &Value) -> FoundKey {
        parse_user_key(key.to_string().as_bytes(), user()).unwrap()
    }

    fn login(found: FoundKey) -> Key {
        match found {
            FoundKey::Login(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn reason(found: FoundKey) -> String {
        match found {
            FoundKey::Skipped(skipped) => skipped.reason,
            other => panic!("{other:?}"),
        }
    }

    fn fingerprint() -> Fingerprint {
        KEY.parse::<PublicKey>().unwrap().fingerprint()
    }

    #[test]
    fn a_users_key_becomes_a_record_without_its_comment() {
        let key = login(read(&sample()));
        assert_eq!((key.id.number(), key.user_id, key.deploy), (11, Some(user()), false));
        assert_eq!((key.key.to_string().as_str(), key.title.as_str()), (KEY, "Zoë's laptop"));
        assert_eq!((key.created_at.to_string().as_str(), key.expires_at), ("2026-01-31T12:00:00.000Z", None));
        let until = login(read(&with("expires_at", json!("2030-01-01T00:00:00.000Z")))).expires_at.unwrap();
        assert_eq!(until.to_string(), "2030-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_key_for_signing_only_lets_nobody_in() {
        assert_eq!(read(&with("usage_type", json!("signing"))), FoundKey::SigningOnly(Id::try_from(11).unwrap()));
        assert_eq!(login(read(&with("usage_type", json!("auth")))).usage, KeyUsage::Auth);
        let mut before_15_7 = sample();
        before_15_7.as_object_mut().unwrap().remove("usage_type");
        assert_eq!(login(read(&before_15_7)).usage, KeyUsage::AuthAndSigning);
        assert!(reason(read(&with("usage_type", json!("encryption")))).starts_with("`usage_type`"));
    }

    #[test]
    fn what_is_no_key_is_skipped_and_named() {
        for (field, value, expected) in [
            ("key", json!("ssh-foo AAAA"), "`key`: "),
            ("key", json!(""), "`key`: "),
            ("key", json!(format!("command=\"x\" {KEY}")), "`key`: "),
            ("key", json!(format!("{KEY}\n{KEY}")), "`key`: "),
            ("key", json!(null), "`key` is not text"),
            ("expires_at", json!("tomorrow"), "`expires_at` is not a time"),
        ] {
            let found = read(&with(field, value));
            assert_eq!(found.id().map(u64::from), Some(11));
            assert!(reason(found.clone()).starts_with(expected), "{found:?}");
        }
        assert_eq!(read(&with("id", json!(0))).id(), None);
    }

    #[test]
    fn a_title_never_costs_the_key() {
        assert_eq!(login(read(&with("title", json!("a\tb\n\u{7f}c")))).title.as_str(), "a b  c");
        assert_eq!(login(read(&with("title", json!("ë".repeat(600))))).title.len(), 1024);
        assert_eq!(login(read(&with("title", json!(null)))).title.as_str(), "");
    }

    #[test]
    fn a_missing_field_is_an_error_that_names_it() {
        for field in ["id", "key"] {
            let mut key = sample();
            key.as_object_mut().unwrap().remove(field);
            let list = Value::from(vec![sample(), key.clone()]).to_string();
            assert_eq!(parse_user_keys(list.as_bytes(), user()).unwrap_err().to_string(), format!("key 2 of the list has no `{field}`"));
        }
        assert_eq!(parse_key_by_id(sample().to_string().as_bytes()).unwrap_err().to_string(), "key has no `user`");
    }

    #[test]
    fn only_the_answer_by_fingerprint_tells_a_deploy_key() {
        let owned = with("user", json!({"id": 7, "username": "zoe", "state": "blocked"}));
        let mut deploy = owned.clone();
        deploy["deploy_keys_projects"] = json!([]);
        let by_fingerprint = |key: &Value| parse_key_by_fingerprint(key.to_string().as_bytes(), fingerprint()).unwrap();
        let (of_user, of_nobody) = (login(by_fingerprint(&owned)), login(by_fingerprint(&deploy)));
        assert_eq!((of_user.user_id, of_user.deploy), (Some(user()), false));
        assert_eq!((of_nobody.user_id, of_nobody.deploy), (None, true));
        deploy["user"] = json!(null);
        assert!(login(by_fingerprint(&deploy)).deploy, "whoever created it may be gone");
        assert!(reason(by_fingerprint(&with("user", json!(null)))).starts_with("`user`"));

        let by_id = parse_key_by_id(owned.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!((by_id.id.number(), by_id.owner_or_creator), (11, Some(user())));
    }

    #[test]
    fn an_answer_about_another_key_is_not_taken() {
        let owned = with("user", json!({"id": 7})).to_string();
        let found = parse_key_by_fingerprint(owned.as_bytes(), Fingerprint::of(b"another")).unwrap();
        assert_eq!(reason(found), "it is not the key that was asked for");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_user_keys(&body, user()), parse_user_key(&body, user()));
            let _ = (parse_key_by_id(&body), parse_key_by_fingerprint(&body, fingerprint()));
        }

        #[test]
        fn a_title_is_always_text(title in any::<String>()) {
            prop_assert!(login(read(&with("title", json!(title)))).title.len() <= 1024);
        }
    }
}
