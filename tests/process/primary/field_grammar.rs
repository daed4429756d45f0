//! Fields with a grammar: a record that could never match anything is refused where it enters, with its line and its field.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::model::day::Day;

use super::{TestPrimary, home, key, project, public_key, small_directory, user};

fn group(id: u32, path: &str, more: &str) -> String {
    format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"g"{more}}}"#)
}

fn with_relative_path(path: &str) -> String {
    project(9, 1, "zoe/next").replace("9.git", path)
}

fn protected(kind: &str, pattern: &str) -> String {
    format!(r#"{{"kind":"{kind}","project_id":1,"pattern":"{pattern}"}}"#)
}

/// Lines that are refused, and the field that the message names.
fn refused_lines() -> Vec<(String, &'static str)> {
    let ips = |list: &str| group(9, "team", &format!(r#","allowed_ips":{list}"#));
    let storage = |address: &str| format!(r#"{{"kind":"storage","name":"second","address":"{address}"}}"#);
    let snippet = |path: &str| format!(r#"{{"kind":"snippet","id":9,"author_id":1,"storage":"default","relative_path":"{path}"}}"#);
    let redirect = |from: &str| format!(r#"{{"kind":"redirect","from":"{from}","project_id":1}}"#);
    let settings = |field: &str, value: &str| format!(r#"{{"kind":"settings","{field}":"{value}"}}"#);
    let mut lines = Vec::new();
    let mut add = |field: &'static str, list: Vec<String>| lines.extend(list.into_iter().map(|line| (line, field)));
    add("username", ["", "a/b", "-a", "a.", "a.git", "a.ATOM", "a b", "zoë", ".", ".."].map(|name| user(9, name)).into());
    add("username", vec![user(9, &"a".repeat(256))]);
    add(
        "path",
        ["", "team/", "/team", "team//sub", "team/../sub", "team.git", "team/.", "te am", "*"].map(|path| group(9, path, "")).into(),
    );
    add(
        "path",
        ["zoe/p/", "zoe/next.git", "zoe/..", "zoe//new", "/zoe/next", "zoe", "zoe/-", "zoe/tree", "zoe/New"]
            .map(|path| project(9, 1, path))
            .into(),
    );
    add("path", vec![project(9, 1, "bob/next"), project(9, 1, "zoe/sub/next"), project(9, 1, "next")]);
    add("path", vec![group(9, "team/sub", r#","parent_id":1"#)]);
    add(
        "relative_path",
        ["", "/x.git", "../x.git", "a/../x.git", "a//x.git", "./x.git", "x.git/", "a/./x.git"].map(with_relative_path).into(),
    );
    add("relative_path", ["", "/s.git", "../s.git"].map(snippet).into());
    add(
        "allowed_ips",
        [r#"["10.0.0.1,10.0.0.2"]"#, r#"["10.0.0.0/33"]"#, r#"["*"]"#, r#"["10.0.0.1",""]"#, r#"["::/129"]"#].map(ips).into(),
    );
    add("pattern", ["", "refs/heads/main", "refs/tags/v1"].map(|pattern| protected("protected_branch", pattern)).into());
    add("pattern", ["", "refs/heads/main", "refs/tags/v*"].map(|pattern| protected("protected_tag", pattern)).into());
    add("from", ["", "old", "/zoe/old", "zoe/old/", "zoe/old.git", "zoe//old", "zoe/../old"].map(redirect).into());
    add(
        "web_url",
        ["", "git.example.com", "ftp://git.example.com", "https://", "https://a b", "https://a/?x"]
            .map(|url| settings("web_url", url))
            .into(),
    );
    add("host", ["", "a b", "https://a", "a/b"].map(|host| settings("host", host)).into());
    add("address", ["", "b", "unix:", "/run/gitaly.sock", "tcp://", "unix:gitaly.sock"].map(storage).into());
    add("user_id", vec![key(19, 1).replace(r#""user_id":1,"#, "")]);
    lines
}

#[test]
fn a_record_that_could_never_match_is_refused_with_its_line_and_its_field() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let mut accepted = Vec::new();
    for (line, field) in refused_lines() {
        let (status, body) = primary.apply("", &[user(8, "eve"), line.clone()]);
        let message = body["message"].as_str().unwrap_or_default();
        if status != StatusCode::UNPROCESSABLE_ENTITY || !message.starts_with(&format!("line 2: `{field}` ")) {
            accepted.push(format!("{line}: {status} {message}"));
        }
    }
    assert!(accepted.is_empty(), "{} lines:\n{}", accepted.len(), accepted.join("\n"));
    assert_eq!(primary.head(), head, "nothing of a refused file is applied");
}

#[test]
fn a_project_beside_the_one_whose_wiki_has_its_name_is_refused() {
    let primary = TestPrimary::with(&small_directory());
    let taken = |other: &str| {
        let other = other.to_ascii_lowercase();
        format!("line 1: the path `{other}` and the path `zoe/p` in the directory name one repository")
    };
    for name in ["zoe/p.wiki", "zoe/P.Wiki", "zoe/p.design"] {
        let (status, body) = primary.apply("", &[project(9, 1, name)]);
        assert_eq!((status, &body["message"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(taken(name))));
    }
    let (status, body) = primary.apply("", &[project(9, 1, "zoe/q.wiki"), project(10, 1, "zoe/q")]);
    let expected = "line 2: the path `zoe/q` and the path `zoe/q.wiki` in line 1 name one repository";
    assert_eq!((status, &body["message"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(expected)));
    let (status, body) = primary.apply("?prune", &[small_directory(), vec![project(9, 1, "zoe/p.wiki")]].concat());
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(primary.apply("", &[project(9, 1, "zoe/q.wiki")]).0, StatusCode::OK, "alone it is a name like any other");
    let (status, body) = primary.apply("", &[project(10, 1, "zoe/q")]);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}

#[test]
fn what_gitlab_accepts_is_accepted() {
    let lines = vec![
        r#"{"kind":"settings","host":"git.example.com","web_url":"https://git.example.com:8443/gitlab/"}"#.to_owned(),
        r#"{"kind":"storage","name":"a","address":"tls://gitaly.internal:9999"}"#.to_owned(),
        r#"{"kind":"storage","name":"b","address":"unix:///run/gitaly.sock"}"#.to_owned(),
        r#"{"kind":"storage","name":"c","address":"dns:///gitaly.internal:8075"}"#.to_owned(),
        user(7, "_ghost.1"),
        user(8, &"a".repeat(255)),
        home(8, "Some.One_-x"),
        group(9, "team", r#","allowed_ips":["10.0.0.1","10.0.0.0/8","2001:db8::/32","::1","0.0.0.0/0"]"#),
        group(10, "Team/sub.group", r#","parent_id":9"#),
        project(9, 10, "team/Sub.group/.dotted_name"),
        project(10, 10, "team/sub.group/gitlab"),
        protected("protected_branch", "*"),
        protected("protected_branch", "release/*-stable"),
        protected("protected_tag", "v*"),
        r#"{"kind":"redirect","from":"long/ago/name","project_id":9}"#.to_owned(),
        key(19, 1).replace(&public_key(19), &public_key(20)).replace(r#""user_id":1,"#, r#""deploy":true,"#),
    ];
    let primary = TestPrimary::with(&small_directory());
    let (status, body) = primary.apply("", &lines);
    assert_eq!((status, &body["added"]), (StatusCode::OK, &json!(lines.len())), "{body}");
}

#[test]
fn a_token_that_has_ended_before_it_begins_is_refused() {
    let primary = TestPrimary::with(&small_directory());
    let ask = |day: &str| {
        let body = json!({"key_id": 11, "name": "t", "scopes": ["api"], "expires_at": day});
        primary.shell(Method::POST, "internal/personal_access_token", body).1
    };
    let today = Day::from_time(clock::wall_time()).to_string();
    for past in ["2020-01-01", today.as_str()] {
        let refused = json!({"success": false, "message": "Failed to create token: Expiration date is in the past"});
        assert_eq!(ask(past), refused, "{past}");
    }
    assert_eq!(primary.stored("personal_access_tokens"), 0);
    assert_eq!(ask("2999-12-31")["success"], Value::Bool(true));
}
