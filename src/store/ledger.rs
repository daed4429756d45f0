//! What the primary keeps and never publishes: named bytes in a sled database of their own.

use crate::store::generation::Damage;

/// One write of several, all or none.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Key and value; `None` deletes.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    _inner: (),
}

impl Ledger {
    /// One value.
    pub fn read(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
        todo!()
    }

    /// All entries whose keys begin so, in order.
    pub fn scan(&self, _prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Damage> {
        todo!()
    }

    /// All or none, on disk when it returns. Blocks.
    pub fn write(&self, _writes: Writes) -> Result<(), Damage> {
        todo!()
    }

    /// Reads, decides and writes with no other writer between; on disk when it returns. Blocks.
    pub fn update<T, E: From<Damage>>(&self, _decide: impl FnOnce(&Self) -> Result<(Writes, T), E>) -> Result<T, E> {
        todo!()
    }
}
