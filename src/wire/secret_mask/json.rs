//! Blanks the member `secret_token` of a JSON object that is passed on as it arrives.
//!
//! The member goes with the comma before it or, if it is the first, with the one after it: what is left is as good JSON as it was. A comma is
//! held until the name after it is known.

use crate::wire::secret_mask::name::{MAX_NAME_BYTES, is_secret_name};

/// So much white space is held between a comma and a name; more of it is sent before the comma instead.
const MAX_HELD_SPACE_BYTES: usize = 1 << 10;

/// Follows the text of one body.
#[derive(Default)]
pub struct JsonMask {
    position: JsonPosition,
    /// How many objects and lists are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether a member of the outermost object has been passed on.
    has_member: bool,
}

/// Where in the text the next byte is. Names count only in the outermost object.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum JsonPosition {
    /// Before the outermost value.
    #[default]
    Start,
    /// In a value that is no object: nothing of it is a parameter.
    Other,
    /// Before or in the name of a member. The held bytes are the comma before it, if there is one, and the name.
    Name,
    /// After the name of a member that stays.
    Member,
    /// After the name of the secret.
    Secret,
}

impl JsonMask {
    /// Masks as far as it is decided, and returns how far that is. What is not decided must be given again, before what follows it.
    pub fn advance(&mut self, bytes: &mut [u8]) -> usize {
        let (mut member_start, mut name_start) = (0, None);
        if self.position == JsonPosition::Name {
            (self.in_string, self.escaped) = (false, false);
        }
        for at in 0..bytes.len() {
            let byte = bytes[at];
            let ends_string = self.step(byte);
            match self.position {
                JsonPosition::Start if byte == b'{' => (self.position, member_start, name_start) = (JsonPosition::Name, at + 1, None),
                JsonPosition::Start if !byte.is_ascii_whitespace() => self.position = JsonPosition::Other,
                JsonPosition::Name => match name_start {
                    None if self.in_string => name_start = Some(at),
                    None if byte.is_ascii_whitespace() => {
                        if bytes.get(member_start) != Some(&b',') {
                            member_start = at + 1;
                        } else if at - member_start > MAX_HELD_SPACE_BYTES {
                            bytes.swap(member_start, at);
                            member_start = at;
                        }
                    }
                    None if byte == b',' && at == member_start => {}
                    Some(start) if ends_string => self.end_name(&mut bytes[member_start..=at], start - member_start),
                    Some(start) if at - start < MAX_NAME_BYTES => {}
                    None | Some(_) => self.keep_member(),
                },
                JsonPosition::Member | JsonPosition::Secret if byte == b',' && self.depth == 1 && !self.in_string => {
                    let goes_too = self.position == JsonPosition::Secret && !self.has_member;
                    if goes_too {
                        bytes[at] = b' ';
                    }
                    (self.position, member_start, name_start) = (JsonPosition::Name, at + usize::from(goes_too), None);
                }
                JsonPosition::Secret if self.depth > 0 => bytes[at] = b' ',
                JsonPosition::Start | JsonPosition::Other | JsonPosition::Member | JsonPosition::Secret => {}
            }
        }
        if self.position == JsonPosition::Name { member_start } else { bytes.len() }
    }

    /// Follows strings and depth by one byte; returns whether it ends a string.
    const fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            let ends = byte == b'"' && !self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            self.in_string = !ends;
            return ends;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// Decides by the whole name, which ends the bytes and begins at `start` of them.
    fn end_name(&mut self, bytes: &mut [u8], start: usize) {
        let name: Option<String> = bytes.get(start..).and_then(|name| serde_json::from_slice(name).ok());
        if name.is_some_and(|name| is_secret_name(&name)) {
            self.position = JsonPosition::Secret;
            bytes.fill(b' ');
        } else {
            self.keep_member();
        }
    }

    const fn keep_member(&mut self) {
        self.position = JsonPosition::Member;
        self.has_member = true;
    }
}
