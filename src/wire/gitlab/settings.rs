//! What a list of users shows of GitLab's own settings: its external URL, below which the `web_url` of each user is, and with it the host that
//! GitLab writes into the comment of each key. (server.md 2.3, 5b)
//!
//! No other field of the settings is shown by what a mirror asks, so that all others keep their defaults.

use http::Uri;
use serde_json::json;

use crate::model::record::{Record, Settings};
use crate::model::record_grammar;
use crate::wire::gitlab::object::Object;

/// Reads the settings that a page of `GET /users` shows. `None` if no user has a `web_url` that is a URL and ends with the username, or two
/// users differ in what stands before it.
#[must_use]
pub fn parse_settings(body: &[u8]) -> Option<Settings> {
    let users = Object::parse_list(body, "user").ok()?;
    let mut urls = users.iter().filter_map(external_url);
    let first = urls.next()?;
    urls.all(|url| url == first).then(|| settings_of(first)).flatten()
}

/// Returns the external URL by what is shown of one user: `https://gitlab.example.com/zoe` without `/zoe`.
fn external_url(user: &Object) -> Option<&str> {
    let username = user.optional("username")?.as_str()?;
    user.optional("web_url")?.as_str()?.strip_suffix(username)?.strip_suffix('/')
}

fn settings_of(external_url: &str) -> Option<Settings> {
    let url: Uri = external_url.parse().ok()?;
    let text = json!({"kind": "settings", "host": url.host()?, "web_url": external_url}).to_string();
    let record = Record::parse(&text).ok().filter(|record| record_grammar::check(record).is_ok())?;
    match record {
        Record::Settings(settings) => Some(settings),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::parse_settings;
    use crate::model::record::Record;

    fn page(urls: &[&str]) -> Vec<u8> {
        let user = |url: &&str| json!({"id": 7, "username": "zoe", "name": "Zoë", "state": "active", "web_url": url});
        json!(urls.iter().map(user).collect::<Vec<_>>()).to_string().into_bytes()
    }

    #[test]
    fn the_url_of_users_is_that_of_gitlab_and_its_host_has_no_port() {
        for (user, url, host) in [
            ("https://gitlab.example.com/zoe", "https://gitlab.example.com", "gitlab.example.com"),
            ("http://gitlab.example.com:8080/gitlab/zoe", "http://gitlab.example.com:8080/gitlab", "gitlab.example.com"),
        ] {
            let settings = parse_settings(&page(&[user, user])).unwrap();
            assert_eq!((settings.web_url.as_str(), settings.host.as_str()), (url, host));
            let canonical = Record::Settings(settings).canonical().unwrap();
            assert_eq!(canonical, format!(r#"{{"kind":"settings","host":"{host}","web_url":"{url}"}}"#), "nothing else is told");
        }
    }

    #[test]
    fn what_is_not_told_plainly_is_not_taken() {
        let one = "https://gitlab.example.com/zoe";
        for urls in [
            &[][..],
            &["https://gitlab.example.com/max"],
            &["/zoe"],
            &["ftp://h/zoe"],
            &["https:///zoe"],
            &[one, "https://other.example/zoe"],
        ] {
            assert_eq!(parse_settings(&page(urls)), None, "{urls:?}");
        }
        assert!(parse_settings(&page(&[one, "https://gitlab.example.com/max"])).is_some(), "a user elsewhere says nothing of GitLab");
        let without = json!([{"id": 7, "username": "zoe", "name": "Zoë", "state": "active"}]).to_string();
        assert_eq!(parse_settings(without.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200), url in ".{0,40}") {
            let _ = (parse_settings(&body), parse_settings(&page(&[&format!("{url}/zoe")])));
        }
    }
}
