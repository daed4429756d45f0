//! Sorting more index entries than should be in memory: runs are sorted in memory, written to unnamed files, and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write as _};
use std::path::PathBuf;

/// Bytes of entries that are sorted in memory at a time.
const MAX_RUN_BYTES: usize = 24 << 20;

/// Takes byte strings in any order and returns them ascending.
pub struct ExternalSorter {
    folder: PathBuf,
    run_bytes: usize,
    buffer: Vec<u8>,
    spans: Vec<(u32, u32)>,
    runs: Vec<File>,
}

impl ExternalSorter {
    /// Creates an empty sorter; its files are made in `folder` and have no name.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, run_bytes: MAX_RUN_BYTES, buffer: Vec::new(), spans: Vec::new(), runs: Vec::new() }
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: &[u8]) -> io::Result<()> {
        if self.buffer.len() + entry.len() > self.run_bytes && !self.spans.is_empty() {
            self.spill_run()?;
        }
        let from = u32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        let length = u32::try_from(entry.len()).map_err(io::Error::other)?;
        self.spans.push((from, length));
        self.buffer.extend_from_slice(entry);
        Ok(())
    }

    /// Returns all entries, ascending.
    pub fn into_sorted(mut self) -> io::Result<SortedEntries> {
        if self.runs.is_empty() {
            self.sort_buffer();
            return Ok(SortedEntries::InMemory { buffer: self.buffer, spans: self.spans.into_iter() });
        }
        self.spill_run()?;
        let mut merge = RunMerger { runs: Vec::new(), heads: BinaryHeap::new() };
        for mut file in self.runs {
            file.seek(SeekFrom::Start(0))?;
            merge.runs.push(BufReader::with_capacity(64 << 10, file));
        }
        for run in 0..merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(SortedEntries::Merged(merge))
    }

    fn sort_buffer(&mut self) {
        let bytes = &self.buffer;
        self.spans.sort_unstable_by(|one, other| span_bytes(bytes, *one).cmp(span_bytes(bytes, *other)));
    }

    fn spill_run(&mut self) -> io::Result<()> {
        self.sort_buffer();
        let mut file = BufWriter::with_capacity(64 << 10, tempfile::tempfile_in(&self.folder)?);
        for span in self.spans.drain(..) {
            file.write_all(&span.1.to_le_bytes())?;
            file.write_all(span_bytes(&self.buffer, span))?;
        }
        self.buffer.clear();
        self.runs.push(file.into_inner()?);
        Ok(())
    }
}

fn span_bytes(bytes: &[u8], (from, length): (u32, u32)) -> &[u8] {
    bytes.get(from as usize..from as usize + length as usize).unwrap_or_default()
}

/// The entries, ascending.
pub enum SortedEntries {
    /// They fitted in memory.
    InMemory {
        /// The bytes of all entries.
        buffer: Vec<u8>,
        /// Offset and length of each entry, in order.
        spans: std::vec::IntoIter<(u32, u32)>,
    },
    /// They were written to files.
    Merged(RunMerger),
}

/// Sorted runs being merged.
pub struct RunMerger {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl RunMerger {
    fn refill(&mut self, run: usize) -> io::Result<()> {
        let Some(reader) = self.runs.get_mut(run) else { return Ok(()) };
        let mut length = [0; 4];
        match reader.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let mut entry = vec![0; u32::from_le_bytes(length) as usize];
        reader.read_exact(&mut entry)?;
        self.heads.push(Reverse((entry, run)));
        Ok(())
    }
}

impl Iterator for SortedEntries {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::InMemory { buffer: bytes, spans } => spans.next().map(|span| Ok(span_bytes(bytes, span).to_vec())),
            Self::Merged(merge) => {
                let Reverse((entry, run)) = merge.heads.pop()?;
                Some(merge.refill(run).map(|()| entry))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ExternalSorter;

    proptest! {
        #[test]
        fn entries_come_out_in_order(mut entries: Vec<Vec<u8>>, run_bytes in 1_usize..400) {
            let mut sorter = ExternalSorter { run_bytes, ..ExternalSorter::new(std::env::temp_dir()) };
            for entry in &entries {
                sorter.push(entry).unwrap();
            }
            let sorted: Vec<Vec<u8>> = sorter.into_sorted().unwrap().map(Result::unwrap).collect();
            entries.sort();
            prop_assert_eq!(sorted, entries);
        }
    }
}
