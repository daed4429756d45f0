//! The directory of a mirror: the records that are published, and how what is found of GitLab becomes them. From top to bottom:
//!
//! | file | what it does |
//! | --- | --- |
//! | [`mirrored`] | publishes findings, in one commit or not at all |
//! | [`changes`] | turns findings into changes of the present directory |
//! | [`finding`] | what GitLab was found to have, and who found it |
//! | [`held_ids`] | which users are held, and which keys each has |
//! | [`removals`] | how much was removed lately, for the loss guard |
//! | [`subject`] | which findings are too old to count |

pub mod changes;
pub mod finding;
pub mod held_ids;
pub mod mirrored;
pub mod removals;
pub mod subject;
