//! Blanks the part `secret_token` of a multipart body that is passed on as it arrives: its name becomes `_`, its value white space.

use std::ops::Range;

use crate::wire::http::percent_encoding::{PlusSign, percent_decode};
use crate::wire::secret_mask::name::is_secret_name;

/// The longest header of a part that is looked at, in bytes; a longer one is taken for the secret's.
const MAX_HEADER_BYTES: usize = 8 << 10;
const END_OF_HEADER: &[u8] = b"\r\n\r\n";

/// Follows the parts of one body.
pub struct MultipartMask {
    /// What stands before each part but the first: a line feed, two dashes, the boundary.
    delimiter: Vec<u8>,
    place: Place,
}

/// Where in the body the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the very beginning, where the first delimiter has no line feed before it.
    Start,
    /// In the header of a part.
    Header,
    /// In the value of a part that stays.
    Value,
    /// In the value of the secret.
    Secret,
}

impl MultipartMask {
    /// Returns the mask of a body with this boundary.
    pub fn new(boundary: &str) -> Self {
        Self { delimiter: [b"\r\n--", boundary.as_bytes()].concat(), place: Place::Start }
    }

    /// Masks as far as it is decided, and returns how far that is. What is not decided must be given again, before what follows it.
    pub fn advance(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while let Some(next) = match self.place {
            Place::Start => self.skip_start(bytes),
            Place::Header => self.skip_header(&mut bytes[at..]),
            Place::Value | Place::Secret => self.skip_value(&mut bytes[at..]),
        } {
            at += next;
        }
        if matches!(self.place, Place::Start | Place::Header) {
            return at;
        }
        // The end of what is here may be the beginning of a delimiter.
        let decided = at.max((bytes.len() + 1).saturating_sub(self.delimiter.len()));
        self.mask(&mut bytes[at..decided]);
        decided
    }

    /// Masks what is left at the end of the body.
    pub fn finish(&self, bytes: &mut [u8]) {
        self.mask(bytes);
    }

    fn mask(&self, value: &mut [u8]) {
        if self.place == Place::Secret {
            value.fill(b' ');
        }
    }

    fn skip_start(&mut self, bytes: &[u8]) -> Option<usize> {
        let first = self.delimiter.get(2..)?;
        if bytes.len() < first.len() && first.starts_with(bytes) {
            return None;
        }
        let is_first = bytes.starts_with(first);
        self.place = if is_first { Place::Header } else { Place::Value };
        Some(if is_first { first.len() } else { 0 })
    }

    fn skip_header(&mut self, bytes: &mut [u8]) -> Option<usize> {
        match find(bytes, END_OF_HEADER) {
            Some(end) => {
                self.place = if blank_secret_name(&mut bytes[..end]) { Place::Secret } else { Place::Value };
                Some(end + END_OF_HEADER.len())
            }
            None if bytes.len() > MAX_HEADER_BYTES => {
                self.place = Place::Secret;
                Some(bytes.len())
            }
            None => None,
        }
    }

    fn skip_value(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let end = find(bytes, &self.delimiter)?;
        self.mask(&mut bytes[..end]);
        self.place = Place::Header;
        Some(end + self.delimiter.len())
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// Blanks the name of a part, if it is the secret's; returns whether it is.
fn blank_secret_name(header: &mut [u8]) -> bool {
    let names = name_ranges(header);
    let decoded: Vec<String> = names.iter().filter_map(|range| header.get(range.clone())).map(decode_name).collect();
    let is_secret = is_secret_name(&decoded.concat()) || decoded.iter().any(|name| is_secret_name(name));
    if is_secret {
        for range in names {
            header[range].iter_mut().filter(|byte| **byte != b'"').for_each(|byte| *byte = b'_');
        }
    }
    is_secret
}

/// Returns where the values of `name`, `name*` and `name*0` are.
fn name_ranges(header: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for param in header.split(|byte| *byte == b';') {
        if let Some(equals) = param.iter().position(|byte| *byte == b'=') {
            let name = String::from_utf8_lossy(&param[..equals]).trim().to_ascii_lowercase();
            let length = param.iter().position(|byte| *byte == b'\r').filter(|end| *end > equals).unwrap_or(param.len());
            if name == "name" || name.starts_with("name*") {
                ranges.push(start + equals + 1..start + length);
            }
        }
        start += param.len() + 1;
    }
    ranges
}

fn decode_name(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value).replace(['"', '\\'], "");
    let text = text.rsplit('\'').next().unwrap_or_default();
    percent_decode(text, PlusSign::Literal).map_or_else(|_| text.to_owned(), |name| name.into_owned())
}
