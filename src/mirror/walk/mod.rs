//! Walking GitLab. From top to bottom:
//!
//! | file | what it does |
//! | --- | --- |
//! | [`full`] | all users, all their keys, all deploy keys: the truth |
//! | [`removal`] | removes what a whole walk did not find, once GitLab denies it |
//! | [`recent`] | the users that changed last: finds who was blocked |
//! | [`recent_order`] | how far a short walk has to go |
//! | [`progress`] | how far the full walk is, on disk |

pub mod full;
pub mod progress;
pub mod recent;
pub mod recent_order;
pub mod removal;
