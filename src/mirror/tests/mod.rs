//! Tests that need the inside of the mirror.

mod directory;
mod simulated_mirror;
mod walks;

use std::path::Path;
use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::mirror::directory::mirrored::MirroredDirectory;
use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::loss_guard::LossGuard;
use crate::model::record::{Key, Record, User};
use crate::model::text::Text;
use crate::model::time::Time;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::metrics::PrimaryMetrics;
use crate::store::generations::generation::StoreOptions;
use crate::store::primary::primary_store::PrimaryStore;

/// A guard that lets everything through.
const NO_GUARD: LossGuard = LossGuard { share: 1.0, more_than: u64::MAX };

fn open_store(folder: &Path) -> PrimaryStore {
    let options = StoreOptions { page_cache_bytes: 8 << 20, record_cache_entries: 1024 };
    PrimaryStore::open(&folder.join("store"), options).unwrap()
}

fn load_directory(store: &PrimaryStore, guard: LossGuard) -> MirroredDirectory {
    let metrics = Arc::new(PrimaryMetrics::register(&mut Registry::default()));
    let writer = Arc::new(DirectoryWriter::new(store.clone(), metrics));
    MirroredDirectory::load(store.clone(), writer, guard).unwrap()
}

fn id(number: u64) -> Id {
    Id::try_from(number).unwrap()
}

fn user(number: u64, name: &str) -> User {
    match Record::parse(&format!(r#"{{"kind":"user","id":{number},"username":"{name}","name":"N"}}"#)).unwrap() {
        Record::User(user) => user,
        _ => unreachable!(),
    }
}

/// The key whose blob is made of one byte.
fn public_key(byte: u8) -> PublicKey {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([byte; 32]);
    format!("ssh-ed25519 {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, blob)).parse().unwrap()
}

fn key(number: u64, byte: u8, owner: Option<u64>) -> Key {
    Key {
        id: id(number),
        user_id: owner.map(id),
        title: Text::try_from("t").unwrap(),
        key: public_key(byte),
        usage: KeyUsage::default(),
        deploy: owner.is_none(),
        created_at: Time::EPOCH,
        expires_at: None,
    }
}
