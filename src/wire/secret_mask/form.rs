//! Blanks the pair `secret_token` of a form that is passed on as it arrives.

use crate::wire::secret_mask::name::{MAX_NAME_BYTES, is_secret_name};

/// Where in a form the next byte is.
#[derive(Default)]
pub enum FormMask {
    /// In the name of a pair, from the first byte that is held.
    #[default]
    Name,
    /// In a value that stays.
    Value,
    /// In a value that does not.
    Secret,
}

impl FormMask {
    /// Masks as far as it is decided, and returns how far that is. What is not decided must be given again, before what follows it.
    pub fn advance(&mut self, bytes: &mut [u8], at_end: bool) -> usize {
        let mut pair_start = 0;
        for at in 0..bytes.len() {
            // Older frameworks also take `;` between pairs.
            let byte = bytes[at];
            let ends_pair = matches!(byte, b'&' | b';');
            match self {
                Self::Name if byte == b'=' || ends_pair || at - pair_start > MAX_NAME_BYTES => {
                    let secret = self.end_name(&mut bytes[pair_start..at]);
                    if secret && !ends_pair {
                        bytes[at] = b'&';
                    }
                }
                Self::Secret if !ends_pair => bytes[at] = b'&',
                Self::Name | Self::Value | Self::Secret => {}
            }
            if ends_pair {
                *self = Self::Name;
                pair_start = at + 1;
            }
        }
        if !matches!(self, Self::Name) {
            return bytes.len();
        }
        if at_end {
            let _secret = self.end_name(&mut bytes[pair_start..]);
            return bytes.len();
        }
        pair_start
    }

    fn end_name(&mut self, name: &mut [u8]) -> bool {
        let secret = form_urlencoded::parse(name).next().is_some_and(|(name, _)| is_secret_name(&name));
        if secret {
            name.fill(b'&');
        }
        *self = if secret { Self::Secret } else { Self::Value };
        secret
    }
}
