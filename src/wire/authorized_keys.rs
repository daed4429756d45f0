//! The line that sshd reads from its `AuthorizedKeysCommand`, and the text of a miss (client contract, section 3.1).

use crate::model::id::Id;
use crate::model::key::PublicKey;

const OPTIONS: &str = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty";

/// The line of a hit, with its line feed: the forced command with `key-<id>`, the options, the key without a comment.
///
/// `None` if the shell's path could not stand between double quotes in an authorized-keys file.
#[must_use]
pub fn hit(shell: &str, id: Id, key: &PublicKey) -> Option<String> {
    let quotable = shell.starts_with('/') && shell.bytes().all(|byte| byte > 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\');
    quotable.then(|| format!("command=\"{shell} key-{id}\",{OPTIONS} {key}\n"))
}

/// The comment of a miss, with its line feed. `asked` is printed without any control byte it may hold.
#[must_use]
pub fn miss(asked: &str) -> String {
    let printable: String = asked.chars().filter(|letter| !letter.is_control()).collect();
    format!("# No key was found for {printable}\n")
}

#[cfg(test)]
mod tests {
    use super::{hit, miss};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_hit_is_the_line_that_gitlab_shell_prints() {
        let line = hit("/opt/gitlab-shell/bin/gitlab-shell", "11".parse().unwrap(), &KEY.parse().unwrap());
        let expected = format!(
            "command=\"/opt/gitlab-shell/bin/gitlab-shell key-11\",no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty {KEY}\n"
        );
        assert_eq!(line, Some(expected));
    }

    #[test]
    fn a_shell_that_would_break_out_of_its_quotes_gets_no_line() {
        for shell in ["relative", "/a\" ssh-rsa", "/a\nb", "/a b", "/a\\"] {
            assert_eq!(hit(shell, "1".parse().unwrap(), &KEY.parse().unwrap()), None, "{shell:?}");
        }
    }

    #[test]
    fn a_miss_is_one_line_whatever_was_asked() {
        assert_eq!(miss("AAAA"), "# No key was found for AAAA\n");
        assert_eq!(miss("A\nssh-rsa B\u{85}"), "# No key was found for Assh-rsa B\n");
    }
}
