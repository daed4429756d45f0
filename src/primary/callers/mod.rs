//! Who a request is for, where the handler has to find out: the user of a key, the holder of an access token.

pub mod requester;
pub mod token_owner;
pub mod token_seed;
