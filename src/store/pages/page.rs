//! A page: neighbouring items under one key of the database.
//!
//! ```text
//! checksum  4 bytes, little-endian CRC-32 of the page's own key and of all that follows
//! end       length + 1 and bytes: the first key that is not the page's any more; 0 in the last page
//! items     each: length of key, length of value, key, value; in ascending order, to the end of the page
//! ```
//! Lengths are LEB128. A page covers every key from its own up to `end`, so that a lost page is detected as a gap and not
//! mistaken for "there is none", and a page that is found under another key is refused.

use crate::store::error::StoreError;

/// How full the pages of a map get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Items of a page as it is made in one go.
    pub fill_items: usize,
    /// Bytes of a page as it is made in one go.
    pub fill_bytes: usize,
    /// A page with more items is split.
    pub max_items: usize,
    /// A page with more bytes is split, unless it holds one item only.
    pub max_bytes: usize,
}

/// Returns the name of a page in an error message.
fn page_label(key: &[u8]) -> String {
    key.iter().take(12).fold("page ".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A page for reading: checked, not unpacked.
#[derive(Clone, Debug)]
pub struct PageView {
    bytes: sled::IVec,
    end_key: Option<(usize, usize)>,
    items: usize,
}

impl PageView {
    /// Checks the bytes stored under `key`.
    pub fn decode(key: &[u8], bytes: sled::IVec) -> Result<Self, StoreError> {
        let broken = || StoreError(format!("{} is damaged", page_label(key)));
        let (checksum, body) = bytes.split_at_checked(4).ok_or_else(broken)?;
        if checksum != compute_checksum(key, body) {
            return Err(broken());
        }
        let mut reader = PageReader { bytes: &bytes, position: 4 };
        let length = reader.read_varint().ok_or_else(broken)?;
        let end = match length.checked_sub(1) {
            None => None,
            Some(length) => Some(reader.read_span(length).ok_or_else(broken)?),
        };
        let items = reader.position;
        Ok(Self { bytes, end_key: end, items })
    }

    /// Returns the first key that is not the page's any more; `None` in the last page.
    pub fn end_key(&self) -> Option<&[u8]> {
        self.end_key.and_then(|(from, to)| self.bytes.get(from..to))
    }

    /// Iterates over keys and values, ascending.
    pub fn items(&self) -> impl Iterator<Item = Result<(&[u8], &[u8]), StoreError>> {
        let mut reader = PageReader { bytes: &self.bytes, position: self.items };
        std::iter::from_fn(move || {
            if reader.position >= self.bytes.len() {
                return None;
            }
            let item = reader.read_item();
            if item.is_none() {
                reader.position = self.bytes.len();
            }
            Some(item.ok_or_else(|| StoreError("a page with a broken item".to_owned())))
        })
    }

    /// Returns the value of a key.
    pub fn value(&self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        for item in self.items() {
            let (found, value) = item?;
            if found >= key {
                return Ok((found == key).then_some(value));
            }
        }
        Ok(None)
    }
}

/// A page for writing: unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The first key that is not the page's any more; `None` in the last page.
    pub end_key: Option<Vec<u8>>,
    items: Vec<(Vec<u8>, Vec<u8>)>,
    byte_len: usize,
}

impl Page {
    /// Unpacks a page.
    pub fn from_view(view: &PageView) -> Result<Self, StoreError> {
        let mut page = Self { end_key: view.end_key().map(<[u8]>::to_vec), ..Self::default() };
        for item in view.items() {
            let (key, value) = item?;
            page.push(key, value);
        }
        Ok(page)
    }

    /// Adds an item that comes after all others.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.byte_len += key.len() + value.len();
        self.items.push((key.to_vec(), value.to_vec()));
    }

    /// Puts an item; returns the value that was there.
    pub fn put(&mut self, key: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        match self.search(key) {
            Ok(index) => {
                let old = std::mem::replace(&mut self.items[index].1, value);
                self.byte_len = self.byte_len + self.items[index].1.len() - old.len();
                Some(old)
            }
            Err(index) => {
                self.byte_len += key.len() + value.len();
                self.items.insert(index, (key.to_vec(), value));
                None
            }
        }
    }

    /// Returns the value of a key.
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.search(key).ok().map(|index| self.items[index].1.as_slice())
    }

    /// Removes an item; returns its value.
    pub fn remove(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let (key, value) = self.items.remove(self.search(key).ok()?);
        self.byte_len -= key.len() + value.len();
        Some(value)
    }

    /// Returns keys and values, ascending.
    pub fn items(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.items
    }

    /// Returns whether it is as full as pages are made.
    pub fn is_full(&self, limits: &PageLimits) -> bool {
        self.items.len() >= limits.fill_items || self.byte_len >= limits.fill_bytes
    }

    /// Returns whether it must be split.
    pub fn is_oversized(&self, limits: &PageLimits) -> bool {
        self.items.len() > limits.max_items.max(1) || (self.byte_len > limits.max_bytes && self.items.len() > 1)
    }

    /// Returns whether it holds so little that it should be merged with its neighbour.
    pub fn is_sparse(&self, limits: &PageLimits) -> bool {
        self.items.len() * 4 <= limits.fill_items && self.byte_len * 4 <= limits.fill_bytes
    }

    /// Returns whether both fit into one page with room to grow.
    pub fn can_merge(&self, other: &Self, limits: &PageLimits) -> bool {
        self.items.len() + other.items.len() <= limits.fill_items && self.byte_len + other.byte_len <= limits.fill_bytes
    }

    /// Splits it near the middle of its bytes; returns the upper part.
    pub fn split(&mut self) -> Self {
        let mut lower = 0;
        let middle = self.items.iter().position(|(key, value)| {
            lower += key.len() + value.len();
            lower * 2 > self.byte_len
        });
        let cut = middle.unwrap_or(0).clamp(1, self.items.len().max(2) - 1);
        let items = self.items.split_off(cut.min(self.items.len()));
        let bytes = items.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.byte_len -= bytes;
        let end = self.end_key.take();
        self.end_key = items.first().map(|(key, _)| key.clone());
        Self { end_key: end, items, byte_len: bytes }
    }

    /// Appends the page that follows.
    pub fn merge(&mut self, next: Self) {
        self.items.extend(next.items);
        self.byte_len += next.byte_len;
        self.end_key = next.end_key;
    }

    /// Returns the bytes to store under `key`.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.reserve(self.byte_len + self.items.len() * 4 + 64);
        match &self.end_key {
            None => write_varint(&mut bytes, 0),
            Some(end) => {
                write_varint(&mut bytes, end.len() + 1);
                bytes.extend_from_slice(end);
            }
        }
        for (key, value) in &self.items {
            write_varint(&mut bytes, key.len());
            write_varint(&mut bytes, value.len());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        let checksum = compute_checksum(key, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum);
        bytes
    }

    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.items.binary_search_by(|(found, _)| found.as_slice().cmp(key))
    }
}

/// Returns the checksum of a value, which holds under its own key only.
pub fn compute_checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(body);
    sum.finalize().to_le_bytes()
}

fn write_varint(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

struct PageReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> PageReader<'a> {
    fn read_varint(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.position)?;
            self.position += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    fn read_span(&mut self, length: usize) -> Option<(usize, usize)> {
        let from = self.position;
        self.position = from.checked_add(length).filter(|to| *to <= self.bytes.len())?;
        Some((from, self.position))
    }

    fn read_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (from, to) = self.read_span(length)?;
        self.bytes.get(from..to)
    }

    fn read_item(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let key = self.read_varint()?;
        let value = self.read_varint()?;
        Some((self.read_slice(key)?, self.read_slice(value)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Page, PageLimits, PageView};

    const SMALL: PageLimits = PageLimits { fill_items: 2, fill_bytes: 64, max_items: 4, max_bytes: 128 };

    fn page(items: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>, end: Option<Vec<u8>>) -> Page {
        let mut page = Page { end_key: end, ..Page::default() };
        for (key, value) in items {
            page.push(key, value);
        }
        page
    }

    proptest! {
        #[test]
        fn a_page_reads_as_it_was_written(
            items: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
            end: Option<Vec<u8>>,
            long in 0_usize..40_000,
        ) {
            let mut page = page(&items, end);
            page.put(b"long", vec![1; long]);
            let view = PageView::decode(b"key", page.encode(b"key").into()).unwrap();
            prop_assert_eq!(Page::from_view(&view).unwrap(), page);
        }

        #[test]
        fn a_changed_byte_is_detected(items: std::collections::BTreeMap<Vec<u8>, Vec<u8>>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = page(&items, Some(b"z".to_vec())).encode(b"key");
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(PageView::decode(b"key", bytes.into()).is_err());
        }

        #[test]
        fn a_split_loses_nothing(items in prop::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 2..20)) {
            let whole = page(&items, None);
            let mut lower = whole.clone();
            let upper = lower.split();
            prop_assert!(!lower.items().is_empty() && !upper.items().is_empty());
            prop_assert_eq!(lower.end_key.as_ref(), upper.items().first().map(|(key, _)| key));
            lower.merge(upper);
            prop_assert_eq!(lower, whole);
        }
    }

    #[test]
    fn a_page_under_another_key_is_refused() {
        let bytes = Page::default().encode(b"one");
        assert!(PageView::decode(b"one", bytes.clone().into()).is_ok());
        assert!(PageView::decode(b"two", bytes.into()).is_err());
    }

    #[test]
    fn a_page_with_one_large_item_is_not_split() {
        let mut page = Page::default();
        page.put(b"a", vec![0; 1_000]);
        assert!(!page.is_oversized(&SMALL));
        page.put(b"b", Vec::new());
        assert!(page.is_oversized(&SMALL));
    }
}
