//! What the grammar of fields accepts, the rules can match: no record enters that could never answer anything.

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::model::directory::Directory as _;
use crate::model::memory_directory::MemoryDirectory;
use crate::model::record::Record;
use crate::model::record_grammar;
use crate::rules::ip_allowlist::is_ip_allowed;
use crate::rules::repository::find_repository;
use crate::rules::wildcard::matches_wildcard;

fn enters(line: &Value) -> bool {
    record_grammar::check(&Record::parse(&line.to_string()).unwrap()).is_ok()
}

/// Short texts of letters and of what matters in names, paths and patterns, so that both outcomes are frequent.
fn text() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec!["a", "B", "1", "_", "-", ".", "/", "*", " ", "é", "refs/heads/", ".git", ".wiki", "tree"]);
    let any = prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat());
    prop_oneof![any, "[aB1_.-]{1,3}", "[aB1_.*-]{1,3}(/[aB1_.*-]{1,3}){1,2}"]
}

/// Texts that look like addresses, networks and lists of them.
fn address() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(bytes).to_string()),
        any::<[u16; 8]>().prop_map(|words| IpAddr::from(words).to_string()),
        prop::sample::select(vec!["*", "", "10.0.0.1,10.0.0.2", "host"]).prop_map(str::to_owned),
    ];
    let end = prop_oneof![Just(String::new()), (0..140_u32).prop_map(|prefix| format!("/{prefix}")), Just("/x".to_owned())];
    (start, end).prop_map(|(start, end)| start + &end)
}

proptest! {
    #[test]
    fn a_project_that_enters_is_found_by_its_path(path in text()) {
        let project = json!({"kind": "project", "id": 2, "namespace_id": 1, "path": path, "name": "p", "relative_path": "p.git"});
        if !enters(&project) {
            return Ok(());
        }
        let directory = MemoryDirectory::from_lines([project.to_string().as_str()]);
        for typed in [path.clone(), format!("/{path}.git"), path.to_ascii_uppercase()] {
            let found = find_repository(&directory, None, Some(&typed)).unwrap();
            prop_assert!(found.repository.is_some(), "{}", typed);
        }
    }

    #[test]
    fn a_former_path_that_enters_is_found(from in text()) {
        let redirect = json!({"kind": "redirect", "from": from, "project_id": 2});
        if !enters(&redirect) {
            return Ok(());
        }
        let project = r#"{"kind":"project","id":2,"namespace_id":1,"path":"z/z","name":"p","relative_path":"p.git"}"#;
        let directory = MemoryDirectory::from_lines([project, redirect.to_string().as_str()]);
        let found = find_repository(&directory, None, Some(&format!("/{from}.git"))).unwrap();
        prop_assert!(found.repository.is_some(), "{}", from);
    }

    #[test]
    fn a_user_who_enters_is_found_by_name(name in text()) {
        let user = json!({"kind": "user", "id": 1, "username": name, "name": "N"});
        if !enters(&user) {
            return Ok(());
        }
        let directory = MemoryDirectory::from_lines([user.to_string().as_str()]);
        prop_assert!(!name.contains('/') && directory.user_by_username(&name).unwrap().is_some());
    }

    #[test]
    fn a_network_that_enters_contains_its_own_address(entry in address()) {
        let group = json!({"kind": "namespace", "id": 1, "type": "group", "path": "g", "name": "g", "allowed_ips": [entry]});
        if !enters(&group) {
            return Ok(());
        }
        let Ok(Record::Namespace(group)) = Record::parse(&group.to_string()) else { panic!() };
        let own = entry.split('/').next().unwrap();
        prop_assert!(is_ip_allowed(Some(&group), Some(own)), "{}", entry);
    }

    #[test]
    fn a_pattern_that_enters_matches_the_name_of_a_ref(pattern in text()) {
        for kind in ["protected_branch", "protected_tag"] {
            let line = json!({"kind": kind, "project_id": 1, "pattern": pattern});
            if !enters(&line) {
            return Ok(());
        }
            let name = pattern.replace('*', "x");
            prop_assert!(matches_wildcard(&pattern, &name) && !name.starts_with("refs/heads/") && !name.ends_with('/'), "{}", pattern);
        }
    }
}
