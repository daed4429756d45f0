//! The thin thread: a key at the primary, an answer at the sidecar, also when the primary is dead.

use crate::support::env::TestEnv;
use crate::support::lookup::lookup_request;

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn directory() -> String {
    format!(
        "{{\"kind\":\"user\",\"id\":7,\"username\":\"zoe\",\"name\":\"Zoe\"}}\n\
         {{\"kind\":\"key\",\"id\":11,\"user_id\":7,\"title\":\"laptop\",\"key\":\"{KEY}\",\"created_at\":\"2026-01-31T12:00:00Z\"}}\n"
    )
}

#[test]
fn a_key_at_the_primary_is_found_at_the_sidecar_also_when_the_primary_is_dead() {
    let mut env = TestEnv::running(&directory());
    let blob = KEY.split(' ').nth(1).unwrap();
    let hit = env.request_sidecar(lookup_request(blob));
    assert_eq!((hit.status, hit.json()["id"].as_u64()), (200, Some(11)));
    assert_eq!(hit.header("x-sidegate-answer"), Some("local"));
    assert_eq!(hit.json()["key"], format!("{KEY} Zoe (localhost)"));
    env.primary.as_mut().unwrap().kill();
    assert_eq!(env.request_sidecar(lookup_request(blob)).json()["id"], 11);
    let miss = env.request_sidecar(lookup_request("AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!((miss.status, miss.message()), (404, "404 Key Not Found".to_owned()));
}
