//! `GET /deploy_keys`: all deploy keys of the instance, with no user. (server.md 5b)

use crate::wire::gitlab::key::{FoundKey, KeyOwner, read_key};
use crate::wire::gitlab::object::{MalformedAnswer, Object};

/// Reads a page of the instance's deploy keys. An error if one has no `id` or `key`.
pub fn parse_deploy_keys(body: &[u8]) -> Result<Vec<FoundKey>, MalformedAnswer> {
    Object::parse_list(body, "deploy key")?.iter().map(|object| read_key(object, Ok(KeyOwner::Deploy))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_deploy_keys;
    use crate::wire::gitlab::key::FoundKey;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_deploy_key_has_no_user() {
        let list = format!(
            r#"[{{"id":9,"title":"ci","key":"{KEY}","fingerprint":"aa:bb","created_at":"2026-01-31T12:00:00.000Z","projects_with_write_access":[]}},
               {{"id":10,"title":"ci","key":"none"}}]"#
        );
        let found = parse_deploy_keys(list.as_bytes()).unwrap();
        assert!(matches!(&found[0], FoundKey::Login(key) if key.deploy && key.user_id.is_none() && key.id.number() == 9));
        assert!(matches!(&found[1], FoundKey::Skipped(skipped) if skipped.what == "deploy key 10"), "{found:?}");
        assert_eq!(parse_deploy_keys(br#"[{"id":9}]"#).unwrap_err().to_string(), "deploy key 1 of the list has no `key`");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_deploy_keys(&body);
        }
    }
}
