//! An instance of any size out of a seed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::records::Instance;

/// The line of the generated Ed25519 key of this number, which nobody holds: `ssh-ed25519 <base64>`.
pub fn key_line(number: u64) -> String {
    let point = Sha256::digest(number.to_le_bytes());
    let mut blob = Vec::new();
    for field in [b"ssh-ed25519".as_slice(), &point] {
        blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend(field);
    }
    format!("ssh-ed25519 {}", STANDARD.encode(blob))
}

/// `users` users, `root` among them, and `keys` keys, which belong to users that the seed picks: most have one or none, some many. One user
/// in fifty is not active. Key n is the generated key n.
pub fn instance(seed: u64, users: u64, keys: u64) -> Instance {
    let mut instance = Instance::new();
    for number in 2..=users {
        instance.add_user(&format!("person-{number}"));
    }
    let states = ["blocked", "ldap_blocked", "blocked_pending_approval", "deactivated", "banned"];
    for id in (2..=users).filter(|id| pick(seed, 1, *id, 50) == 0) {
        instance.set_state(id, states[usize::try_from(pick(seed, 2, id, states.len() as u64)).unwrap()]);
    }
    for number in 1..=keys {
        // One key in ten goes to one of a few with very many.
        let among = if pick(seed, 3, number, 10) == 0 { users.div_ceil(1000) } else { users };
        instance.add_key(pick(seed, 4, number, among) + 1, &key_line(number));
    }
    instance
}

fn pick(seed: u64, kind: u64, number: u64, bound: u64) -> u64 {
    let digest = Sha256::digest([seed.to_be_bytes(), kind.to_be_bytes(), number.to_be_bytes()].concat());
    u64::from_be_bytes(digest[..8].try_into().unwrap()) % bound
}
