//! The lines of the `authorized_keys` file that gitlab-shell manages where no `AuthorizedKeysCommand` is used: a forced command with the id
//! of a key, options, and the key. A line that says more than a look-up of that key would is refused, because the look-up's answer could
//! not say it. Pure.

use std::path::Path;

use crate::model::id::Id;
use crate::model::key::{InvalidPublicKey, PublicKey};

const COMMAND_OPTION: &str = "command=\"";
/// The options that a line has from gitlab-shell, and those that `AuthorizedKeysCommand`'s line would not lack either.
const KNOWN_OPTIONS: [&str; 6] = ["no-port-forwarding", "no-X11-forwarding", "no-agent-forwarding", "no-pty", "no-user-rc", "restrict"];

/// A line that lets a key in as GitLab would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedKey {
    /// The id of the key at the GitLab.
    pub id: Id,
    /// The key.
    pub key: PublicKey,
}

/// Why a line is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManagedKey {
    /// It does not begin with `command="…"`.
    #[error("it does not begin with command=\"…\": gitlab-shell did not write it")]
    NoCommand,
    /// The command is not `…/gitlab-shell key-<id>`.
    #[error("its command is not `…/gitlab-shell key-<id>`")]
    OtherCommand,
    /// An option that gitlab-shell does not write.
    #[error("option `{0}` is none of gitlab-shell's, and the answer to a look-up cannot say it")]
    UnknownOption(String),
    /// What follows the options is no key.
    #[error("{0}")]
    InvalidKey(#[from] InvalidPublicKey),
}

/// Parses a line without its line feed; `None` if it is blank or a comment, as removed keys are.
pub fn parse_managed_line(line: &str) -> Result<Option<ManagedKey>, InvalidManagedKey> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let quoted = line.strip_prefix(COMMAND_OPTION).ok_or(InvalidManagedKey::NoCommand)?;
    let (command, rest) = quoted.split_once('"').ok_or(InvalidManagedKey::NoCommand)?;
    let id = parse_command(command).ok_or(InvalidManagedKey::OtherCommand)?;
    let (options, key) = rest.split_once(' ').unwrap_or((rest, ""));
    if let Some(unknown) = options.split(',').skip(1).find(|option| !KNOWN_OPTIONS.contains(option)) {
        return Err(InvalidManagedKey::UnknownOption(unknown.chars().take(64).collect()));
    }
    if !options.is_empty() && !options.starts_with(',') {
        return Err(InvalidManagedKey::NoCommand);
    }
    Ok(Some(ManagedKey { id, key: key.trim_start().parse()? }))
}

/// Returns the id in `…/gitlab-shell key-<id>`, whatever stands before the program. An escaped quote ends with a `\` and is refused.
fn parse_command(command: &str) -> Option<Id> {
    let mut words = command.split_ascii_whitespace().rev();
    let (key, program) = (words.next()?, words.next()?);
    if command.contains('\\') || Path::new(program).file_name()? != "gitlab-shell" {
        return None;
    }
    key.strip_prefix("key-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvalidManagedKey, ManagedKey, parse_managed_line};
    use crate::model::memory_directory::ed25519_public_key;
    use crate::wire::authorized_keys::{AuthorizedKey, ShellPath};

    const OPTIONS: &str = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty";

    fn line(id: u64, options: &str, key: &str) -> String {
        format!("command=\"/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell key-{id}\"{options} {key}")
    }

    #[test]
    fn a_line_of_gitlab_shell_is_a_key_with_its_id() {
        let key = ed25519_public_key(5);
        for text in [
            line(123, &format!(",{OPTIONS}"), &key),
            line(123, &format!(",{OPTIONS}"), &format!("{key} zoe@example.com")),
            line(123, &format!(",{OPTIONS},no-user-rc"), &key),
            line(123, ",restrict", &key),
            format!("{}\r", line(123, "", &key)),
            format!("command=\"/usr/bin/env A=b /x/gitlab-shell key-123\",{OPTIONS} {key}"),
        ] {
            let expected = ManagedKey { id: "123".parse().unwrap(), key: key.parse().unwrap() };
            assert_eq!(parse_managed_line(&text), Ok(Some(expected)), "{text}");
        }
        for text in ["", "  ", "# a comment", &"#".repeat(200)] {
            assert_eq!(parse_managed_line(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_line_that_says_something_else_is_refused_with_the_reason() {
        let key = ed25519_public_key(5);
        let refused = |text: &str| parse_managed_line(text).unwrap_err();
        assert_eq!(refused(&key), InvalidManagedKey::NoCommand);
        assert_eq!(refused(&format!("from=\"10.0.0.1\",{}", line(1, "", &key))), InvalidManagedKey::NoCommand);
        assert_eq!(refused("command=\"/x/gitlab-shell key-1"), InvalidManagedKey::NoCommand);
        for command in [
            "/bin/sh key-1",
            "/x/gitlab-shell",
            "/x/gitlab-shell user-1",
            "/x/gitlab-shell key-0",
            "key-1",
            "/x/gitlab-shell key-1 x",
            "/x\\ /gitlab-shell key-1",
        ] {
            assert_eq!(refused(&format!("command=\"{command}\",{OPTIONS} {key}")), InvalidManagedKey::OtherCommand, "{command}");
        }
        for (options, unknown) in
            [(",no-pty,from=\"10.0.0.1\"", "from=\"10.0.0.1\""), (",expiry-time=\"20200101\"", "expiry-time=\"20200101\""), (",", "")]
        {
            assert_eq!(refused(&line(1, options, &key)), InvalidManagedKey::UnknownOption(unknown.to_owned()));
        }
        for broken in ["", "ssh-ed25519", "ssh-rsa AAAA", &key.replace("ssh-ed25519", "ssh-rsa")] {
            assert!(matches!(refused(&line(1, &format!(",{OPTIONS}"), broken)), InvalidManagedKey::InvalidKey(_)), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_a_look_up_prints_is_read_as_that_key(id in 1..u64::from(u32::MAX), seed in 0..1000_u64, comment in "[a-zA-Z0-9 @()]{0,20}") {
            let key = ed25519_public_key(seed);
            let hit = AuthorizedKey { id: id.try_into().unwrap(), key: format!("{key} {comment}").try_into().unwrap() };
            let printed = hit.authorized_keys_line(&ShellPath::default());
            let expected = ManagedKey { id: hit.id, key: key.parse().unwrap() };
            prop_assert_eq!(parse_managed_line(printed.trim_end_matches('\n')), Ok(Some(expected)));
        }

        #[test]
        fn no_text_panics_and_whatever_is_taken_has_its_id_and_its_key_in_the_text(
            text in prop_oneof!["\\PC{0,80}", "(command=\"|/x/gitlab-shell |key-[0-9]{1,3}|\"|,| |no-pty|ssh-ed25519 |AAAA|\\\\){0,12}"],
            seed in 0..1000_u64,
        ) {
            for text in [text.clone(), format!("{text} {}", ed25519_public_key(seed)), line(7, &text, &ed25519_public_key(seed))] {
                if let Ok(Some(found)) = parse_managed_line(&text) {
                    let (id, key) = (format!("key-{}", found.id), found.key.base64());
                    prop_assert!(text.contains(&id) && text.contains(&key), "{text}");
                }
            }
        }
    }
}
