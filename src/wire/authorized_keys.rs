//! The answer of `authorized_keys`, and the line that sshd reads from its `AuthorizedKeysCommand` (client contract, section 3.1).
//!
//! Nothing is escaped in that line, so it contains nothing that could end it or its quotes: the shell's path, the id and the key are
//! types that were checked when they were created.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::key::decode_blob;
use crate::model::record::{Key, User};
use crate::model::text::Text;
use crate::model::time::Time;
use crate::wire::http::message::parse_message;
#[cfg(feature = "daemon")]
use crate::wire::http::params::Params;
#[cfg(feature = "daemon")]
use crate::wire::http::params_error::ParamsError;

const AUTHORIZED_KEY_OPTIONS: &str = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty";
const NOT_FOUND_MESSAGE: &str = "404 Key Not Found";

/// The absolute path of gitlab-shell, which sshd runs with the user's login shell: only what no shell reads as anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellPath(Box<str>);

/// The error of a path that cannot be part of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of gitlab-shell is absolute, of letters, digits and any of / . _ - + , : @ % =")]
pub struct InvalidShellPath;

impl Default for ShellPath {
    /// Where GitLab's own packages put it.
    fn default() -> Self {
        Self("/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell".into())
    }
}

impl FromStr for ShellPath {
    type Err = InvalidShellPath;

    fn from_str(path: &str) -> Result<Self, InvalidShellPath> {
        let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte) || !byte.is_ascii());
        if path.starts_with('/') && plain { Ok(Self(path.into())) } else { Err(InvalidShellPath) }
    }
}

impl fmt::Display for ShellPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A hit of `authorized_keys`: the id of the requested key, and the key as in the response, comment included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AuthorizedKey {
    /// The key's id.
    pub id: Id,
    /// `<type> <blob> <comment>`, one line.
    pub key: Text,
}

/// Why the body of a 200 is not a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizedKeyError {
    /// Not one JSON object with a positive whole `id` and a `key` that is one line.
    #[error("the answer is not an object with a positive `id` and a `key` of one line")]
    Malformed,
    /// Another key than the requested one, or one whose type is not that of its blob.
    #[error("the answer speaks of another key")]
    KeyMismatch,
}

impl AuthorizedKey {
    /// Parses the body of a 200. Only a response about the requested blob counts: any other would let in whoever offered that blob
    /// under an id that is not theirs.
    pub fn parse(body: &[u8], blob: &[u8]) -> Result<Self, AuthorizedKeyError> {
        // serde would take an array for the fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(AuthorizedKeyError::Malformed);
        }
        let hit: Self = serde_json::from_slice(body).map_err(|_| AuthorizedKeyError::Malformed)?;
        if hit.matches_blob(blob) { Ok(hit) } else { Err(AuthorizedKeyError::KeyMismatch) }
    }

    fn matches_blob(&self, blob: &[u8]) -> bool {
        let mut words = self.key.split(' ').filter(|word| !word.is_empty());
        let (algorithm, encoded_blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        blob_key_type(blob) == Some(algorithm.as_bytes()) && decode_blob(encoded_blob).as_deref() == Some(blob)
    }

    /// Returns the line for sshd, with its line feed: the forced command with `key-<id>`, the options, and the key.
    #[must_use]
    pub fn authorized_keys_line(&self, shell: &ShellPath) -> String {
        format!("command=\"{shell} key-{}\",{AUTHORIZED_KEY_OPTIONS} {}\n", self.id, self.key)
    }
}

/// Returns the key type in the first field of a blob.
fn blob_key_type(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Reads the Base64 of a blob from `key`. Whoever sends it as it is, as the base document's example does, sends its `+` unencoded, which a
/// query says is a space; Base64 has none, so a space is a `+`. (server.md 2.3)
#[cfg(feature = "daemon")]
pub fn parse_key(params: &Params) -> Result<Option<String>, ParamsError> {
    Ok(params.text("key")?.map(|key| key.replace(' ', "+")))
}

/// Returns the body of a hit of `authorized_keys`: the comment of the key is the owner's name and the instance's host. (server.md 2.3)
///
/// A key whose owner does not exist any more has only the host in its comment. Whether the key may be used is the caller's decision.
#[must_use]
pub fn encode_authorized_key(key: &Key, owner: Option<&User>, host: &str) -> String {
    let line = match owner {
        Some(owner) => format!("{} {} ({host})", key.key, owner.name),
        None => format!("{} ({host})", key.key),
    };
    let body = AuthorizedKeyBody {
        id: key.id,
        title: &key.title,
        created_at: key.created_at,
        expires_at: key.expires_at,
        key: &line,
        usage_type: key.usage,
    };
    // Text, numbers and names always print.
    serde_json::to_string(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct AuthorizedKeyBody<'a> {
    id: Id,
    title: &'a Text,
    created_at: Time,
    expires_at: Option<Time>,
    key: &'a str,
    usage_type: KeyUsage,
}

/// Returns whether the body of a 404 says that there is no such key, and does not come from something that does not know the path.
#[must_use]
pub fn is_key_not_found(body: &[u8]) -> bool {
    parse_message(body).is_some_and(|text| text == NOT_FOUND_MESSAGE)
}

/// Returns the comment for a key that was not found, with its line feed. Control characters in `blob` are left out.
#[must_use]
pub fn not_found_comment(blob: &str) -> String {
    format!("# No key was found for {}\n", strip_control_chars(blob))
}

/// Returns the comment for a lookup that failed, with its line feed: `kind` is `outage` or `not permitted`. Control characters in
/// `reason` are left out.
#[must_use]
pub fn lookup_failed_comment(kind: &str, reason: &str) -> String {
    format!("# sidegate: the key could not be looked up ({kind}): {}\n", strip_control_chars(reason))
}

fn strip_control_chars(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        AuthorizedKey, AuthorizedKeyError, InvalidShellPath, ShellPath, encode_authorized_key, is_key_not_found, lookup_failed_comment,
        not_found_comment,
    };
    use crate::model::key::decode_blob;
    use crate::model::record::{Key, Record, User};

    const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn read(body: &str) -> Result<AuthorizedKey, AuthorizedKeyError> {
        AuthorizedKey::parse(body.as_bytes(), &decode_blob(BLOB).unwrap())
    }

    #[test]
    fn a_hit_is_the_line_that_gitlab_shell_prints() {
        let hit = read(&format!(r#"{{"id":11,"title":null,"key":"ssh-ed25519 {BLOB} Zoë (gitlab.example)"}}"#)).unwrap();
        let expected = format!(
            "command=\"/opt/gitlab-shell/bin/gitlab-shell key-11\",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty ssh-ed25519 {BLOB} Zoë (gitlab.example)\n"
        );
        assert_eq!(hit.authorized_keys_line(&"/opt/gitlab-shell/bin/gitlab-shell".parse().unwrap()), expected);
    }

    #[test]
    fn a_response_without_an_id_and_a_key_is_no_hit() {
        let key = format!("ssh-ed25519 {BLOB}");
        let bodies = [
            String::new(),
            "{}".to_owned(),
            "null".to_owned(),
            format!("[11,\"{key}\"]"),
            format!(r#"{{"key":"{key}"}}"#),
            format!(r#"{{"id":0,"key":"{key}"}}"#),
            format!(r#"{{"id":-1,"key":"{key}"}}"#),
            format!(r#"{{"id":11.0,"key":"{key}"}}"#),
            format!(r#"{{"id":"11","key":"{key}"}}"#),
            format!(r#"{{"id":true,"key":"{key}"}}"#),
            format!(r#"{{"id":null,"key":"{key}"}}"#),
            format!(r#"{{"id":11,"id":12,"key":"{key}"}}"#),
            format!(r#"{{"id":11,"key":"{key}"}} trailing"#),
            r#"{"id":11,"key":null}"#.to_owned(),
            r#"{"id":11}"#.to_owned(),
            format!(r#"{{"id":11,"key":"{key}\nssh-rsa AAAA"}}"#),
            format!(r#"{{"id":11,"key":"{key} \u0000"}}"#),
            format!(r#"{{"id":11,"key":"{key}\u007f"}}"#),
        ];
        for body in bodies {
            assert_eq!(read(&body), Err(AuthorizedKeyError::Malformed), "{body}");
        }
    }

    #[test]
    fn a_response_about_another_key_is_no_hit() {
        let other = BLOB.replace("Sqti", "Sqtj");
        for key in [
            "",
            BLOB,
            "ssh-ed25519",
            &format!("ssh-ed25519 {other}"),
            &format!("ssh-rsa {BLOB}"),
            &format!("command=\"x\" ssh-ed25519 {BLOB}"),
        ] {
            let body = serde_json::json!({"id": 11, "key": key}).to_string();
            assert_eq!(read(&body), Err(AuthorizedKeyError::KeyMismatch), "{key}");
        }
    }

    #[test]
    fn only_the_primarys_own_message_is_a_miss() {
        assert!(is_key_not_found(br#"{"message":"404 Key Not Found"}"#));
        for other in ["", "null", "404 Key Not Found", r#"{"message":"404 Not Found"}"#, r#"{"error":"404 Key Not Found"}"#] {
            assert!(!is_key_not_found(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_shell_path_with_quotes_or_shell_syntax_is_refused() {
        for path in ["", "relative", "/a\" ssh-rsa", "/a\nb", "/a b", "/a\\", "/a;b", "/$HOME/x", "/a`b`", "/a'b", "/a&b", "/*"] {
            assert_eq!(path.parse::<ShellPath>(), Err(InvalidShellPath), "{path:?}");
        }
    }

    #[test]
    fn a_comment_is_one_line_whatever_it_contains() {
        assert_eq!(not_found_comment("AAAA"), "# No key was found for AAAA\n");
        assert_eq!(not_found_comment("A\nssh-rsa B\u{85}"), "# No key was found for Assh-rsa B\n");
        assert_eq!(lookup_failed_comment("outage", "a\r\nb"), "# sidegate: the key could not be looked up (outage): ab\n");
    }

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn key(more: &str) -> Key {
        let line = format!(r#"{{"kind":"key","id":11,"title":"a \"b\"","key":"{KEY}","created_at":"2019-06-27T15:29:02.219Z"{more}}}"#);
        match Record::parse(&line).unwrap() {
            Record::Key(key) => key,
            other => panic!("{other:?}"),
        }
    }

    fn sample_user() -> User {
        match Record::parse(r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë <x>"}"#).unwrap() {
            Record::User(user) => user,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hit_names_the_owner_and_the_host_and_leaves_no_address() {
        let expected = format!(
            r#"{{"id":11,"title":"a \"b\"","created_at":"2019-06-27T15:29:02.219Z","expires_at":null,"key":"{KEY} Zoë <x> (git.example.com)","usage_type":"auth_and_signing"}}"#
        );
        assert_eq!(encode_authorized_key(&key(""), Some(&sample_user()), "git.example.com"), expected);
    }

    #[test]
    fn a_hit_says_when_the_key_ends_and_what_it_is_for() {
        let body = encode_authorized_key(&key(r#","usage":"auth","expires_at":"2030-01-01T00:00:00Z""#), None, "h");
        assert!(body.contains(r#""expires_at":"2030-01-01T00:00:00.000Z","#), "{body}");
        assert!(body.ends_with(&format!(r#""key":"{KEY} (h)","usage_type":"auth"}}"#)), "{body}");
    }
}
