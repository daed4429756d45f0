//! Directories of users and keys out of numbers, so that a test knows every right answer without asking anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The Base64 of the blob of an Ed25519 key that nobody holds.
pub fn key_blob(number: u64) -> String {
    let point = Sha256::digest(number.to_le_bytes());
    encode_blob(&[b"ssh-ed25519", &point])
}

/// The same of a key on a security token.
pub fn security_key_blob(number: u64) -> String {
    let point = Sha256::digest(number.to_le_bytes());
    encode_blob(&[b"sk-ssh-ed25519@openssh.com", &point, b"ssh:"])
}

fn encode_blob(fields: &[&[u8]]) -> String {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        bytes.extend(*field);
    }
    STANDARD.encode(bytes)
}

/// A line of a directory file: a user of this id, whose name is `person-<id>`.
pub fn user_line(id: u64) -> String {
    format!("{{\"kind\":\"user\",\"id\":{id},\"username\":\"person-{id}\",\"name\":\"Person {id}\"}}\n")
}

/// A line of a directory file: a key of a user's, by its public line.
pub fn key_line(id: u64, user: u64, line: &str) -> String {
    format!(
        "{{\"kind\":\"key\",\"id\":{id},\"user_id\":{user},\"title\":\"key {id}\",\"key\":\"{line}\",\
         \"created_at\":\"2026-01-31T12:00:00Z\"}}\n"
    )
}

/// A line of a directory file: the key out of its own id, of a user's.
pub fn generated_key_line(id: u64, user: u64) -> String {
    key_line(id, user, &format!("ssh-ed25519 {}", key_blob(id)))
}

/// `keys` keys of a quarter as many users: key n is user n/4+1's.
pub fn directory_of_keys(keys: u64) -> String {
    let users: String = (1..=keys / 4 + 1).map(user_line).collect();
    let keys: String = (1..=keys).map(|id| generated_key_line(id, id / 4 + 1)).collect();
    users + &keys
}

/// What stands for a blob in a query.
pub fn query_encode(blob: &str) -> String {
    blob.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
