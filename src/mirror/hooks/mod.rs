//! GitLab's system hooks: what they tell is on disk before they are answered, and asked of GitLab afterwards. From top to bottom:
//!
//! | file | what it does |
//! | --- | --- |
//! | [`pending`] | what was told and is not asked yet, on disk |
//! | [`untold`] | notices that GitLab changes without telling |

pub mod pending;
pub mod untold;
