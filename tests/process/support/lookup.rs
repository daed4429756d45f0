//! Look-ups of keys at the sidecar, and what they may answer.

use crate::support::env::TestEnv;
use crate::support::generated_directory::{key_blob, query_encode};
use crate::support::http::{Request, Response};

/// The question whose key this blob is, without a credential.
pub fn lookup_request(blob: &str) -> Request {
    Request::get(&format!("/api/v4/internal/authorized_keys?key={}", query_encode(blob)))
}

/// Asks the sidecar for the generated key with this id.
pub fn look_up_key(env: &TestEnv, id: u64) -> Response {
    lookup_request(&key_blob(id)).send(&env.sidecar_socket())
}

/// What a lookup said: there, not there, or that it cannot be known.
pub fn key_present(answer: &Response, id: u64) -> Option<bool> {
    match answer.status {
        200 => {
            assert_eq!(answer.json()["id"].as_u64(), Some(id), "another key's id");
            Some(true)
        }
        404 => Some(false),
        424 => None,
        other => panic!("status {other}: {}", answer.text()),
    }
}

/// Of the first `keys` keys all must be known, and of as many foreign ones none. Without a primary some may be an outage.
pub fn assert_no_wrong_lookup(env: &TestEnv, keys: u64, primary_answers: bool) {
    for id in (1..=keys).chain(900_000..900_000 + keys / 4) {
        let found = key_present(&look_up_key(env, id), id);
        match found {
            Some(there) => assert_eq!(there, id <= keys, "key {id}\n{}", env.logs()),
            None => assert!(!primary_answers, "an outage though the primary answers\n{}", env.logs()),
        }
    }
}
