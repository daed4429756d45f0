//! The grammar of names in paths: usernames, the segments of namespaces and projects, the names that URLs need for themselves, and the
//! paths of repositories on a storage. One grammar for a project that a push creates and for one that a directory file brings.
//! (server.md 3.6)

/// The longest username or segment of a path, in bytes.
pub const MAX_PATH_SEGMENT_BYTES: usize = 255;

/// Names that cannot be a project's or a subgroup's, because URLs below a project or a group use them.
const RESERVED_NAMES: [&str; 18] = [
    "-",
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];

/// Why text is no segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It is empty, has another character, or begins or ends as no segment does.
    #[error("can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.', '.git' or '.atom'")]
    Characters,
    /// It is too long.
    #[error("is too long (maximum is {MAX_PATH_SEGMENT_BYTES} characters)")]
    TooLong,
    /// URLs use it.
    #[error("{0} is a reserved name")]
    Reserved(String),
}

/// Checks a username, or a segment that may have a reserved name.
pub fn check_segment(segment: &str) -> Result<(), SegmentError> {
    let plain = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let ends = [".git", ".atom", "."].iter().any(|end| segment.to_ascii_lowercase().ends_with(end));
    if segment.is_empty() || !plain || segment.starts_with('-') || ends {
        return Err(SegmentError::Characters);
    }
    if segment.len() > MAX_PATH_SEGMENT_BYTES {
        return Err(SegmentError::TooLong);
    }
    Ok(())
}

/// Checks the last segment of the path of a project or of a subgroup.
pub fn check_name(name: &str) -> Result<(), SegmentError> {
    check_segment(name)?;
    if RESERVED_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(SegmentError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Returns whether a path is `parent`, a slash and one segment; letters match in any ASCII case.
#[must_use]
pub fn is_directly_below(path: &str, parent: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(above, _)| above.eq_ignore_ascii_case(parent))
}

/// Returns whether this is the path of a repository below its storage's folder: relative, without an empty, `.` or `..` segment.
#[must_use]
pub fn is_relative_path(path: &str) -> bool {
    path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Returns whether a pattern of protected branches or tags matches the short name of a ref that Git allows. `*` stands for any
/// characters. A pattern that begins with `refs/heads/` or `refs/tags/` names a ref by its long name and matches none.
#[must_use]
pub fn is_ref_pattern(pattern: &str) -> bool {
    let name = pattern.replace('*', "x");
    let is_long = ["refs/heads/", "refs/tags/"].iter().any(|prefix| pattern.starts_with(prefix));
    let has_forbidden = name.chars().any(|letter| letter.is_ascii_control() || matches!(letter, ' ' | '~' | '^' | ':' | '?' | '[' | '\\'));
    let is_component = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !is_long
        && !has_forbidden
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.ends_with('.')
        && name.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::{MAX_PATH_SEGMENT_BYTES, check_name, check_segment, is_directly_below, is_ref_pattern, is_relative_path};

    #[test]
    fn a_segment_is_bounded_and_a_name_is_not_reserved() {
        for (name, segment_ok, name_ok) in [
            ("a", true, true),
            ("_x.y-z", true, true),
            (".hidden", true, true),
            ("a.wiki", true, true),
            ("tree", true, false),
            ("WIKIS", true, false),
            ("", false, false),
            ("-", false, false),
            ("a.", false, false),
            (".", false, false),
            ("..", false, false),
            ("a.GIT", false, false),
            ("a.atom", false, false),
            ("zoë", false, false),
        ] {
            assert_eq!((check_segment(name).is_ok(), check_name(name).is_ok()), (segment_ok, name_ok), "{name}");
        }
        assert!(check_segment(&"a".repeat(MAX_PATH_SEGMENT_BYTES)).is_ok());
        assert!(check_segment(&"a".repeat(MAX_PATH_SEGMENT_BYTES + 1)).is_err());
    }

    #[test]
    fn paths_and_patterns_that_match_nothing_are_told_from_those_that_do() {
        assert!(is_directly_below("A/b", "a") && !is_directly_below("a/b/c", "a") && !is_directly_below("a", "a"));
        for (path, ok) in [("@hashed/a/b.git", true), ("a", true), ("", false), ("/a", false), ("a//b", false), ("a/../b", false)] {
            assert_eq!(is_relative_path(path), ok, "{path}");
        }
        for (pattern, ok) in [
            ("*", true),
            ("main", true),
            ("release/*-stable", true),
            ("refs/pull/*", true),
            ("v1.*", true),
            ("", false),
            ("refs/heads/main", false),
            ("refs/tags/v*", false),
            ("a b", false),
            ("main/", false),
            ("/main", false),
            ("a..b", false),
            ("*.lock", false),
            ("a/.b", false),
        ] {
            assert_eq!(is_ref_pattern(pattern), ok, "{pattern}");
        }
    }
}
