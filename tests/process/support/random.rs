//! Choices that look random and are the same for the same seed.

use sha2::{Digest as _, Sha256};

/// A source of choices.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = pseudo_random(self.0);
        self.0 % bound
    }

    /// True one time in `many`.
    pub fn chance(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of all.
    pub fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// A pseudo-random number out of a number.
pub fn pseudo_random(number: u64) -> u64 {
    u64::from_be_bytes(Sha256::digest(number.to_be_bytes())[..8].try_into().unwrap())
}
