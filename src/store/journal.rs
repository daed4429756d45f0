//! The primary's journal: the last commits, in the batch that makes them.
