//! The host under load, and the GitLab behind it.

use std::time::Duration;

use crate::gitlab::{GitlabEnv, Reach};
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::GitlabDirectory;

/// The first key that nobody knows.
pub const FIRST_UNKNOWN: u64 = 1_000_000;

/// A host whose GitLab takes a while over each answer, with so many keys that it knows.
pub fn started(keys: u64, delay: Duration, limits: &str, sections: &str) -> GitlabEnv {
    let it = GitlabEnv::start(GitlabVersion::V18, Reach::Unix, limits, sections);
    *it.gitlab.directory() = GitlabDirectory::of_size(keys);
    it.gitlab.count_only();
    it.gitlab.set_delay(delay);
    it
}
