//! The `AuthorizedKeysCommand` of sshd as words, and what sidegate's helper would make of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::check::findings::Findings;
use crate::helper::arguments::{Invocation, LookupArguments, PROGRAM_NAME, parse_arguments};
use crate::helper::chain::unsafe_part;

/// A key that belongs to nobody: nobody has its private half.
pub const PROBE_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3v4pPzl/RH2u+y+zqItjOIbc/jXK3woxeuQWri1GnW";
const PROBE_KEY_TYPE: &str = "ssh-ed25519";

/// What sshd puts in after a percent sign in this command, beside `%%`. (sshd_config(5), TOKENS)
const TOKENS: &str = "fhktUu";
/// What it puts in since OpenSSH 9.4.
const CONNECTION_TOKENS: &str = "CD";
const FIRST_WITH_CONNECTION_TOKENS: (u32, u32) = (9, 4);

/// A command that looks up keys, and as whom sshd runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    /// The command with `%u` and the like in it, in words.
    words: Vec<String>,
    /// `AuthorizedKeysCommandUser`.
    pub user: String,
}

impl KeyCommand {
    /// Splits a command into words as sshd does; `None` if it has none.
    #[must_use]
    pub fn parse(command: &str, user: &str) -> Option<Self> {
        let words = split_words(command);
        (!words.is_empty()).then(|| Self { words, user: user.to_owned() })
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        Path::new(self.words.first().map_or("", String::as_str))
    }

    /// Returns whether the program is sidegate's helper.
    #[must_use]
    pub fn is_helper(&self) -> bool {
        self.program().file_name().is_some_and(|name| name == PROGRAM_NAME)
    }

    /// Returns the first percent sign, with what follows it, at which sshd would end the connection of everybody who logs in, if there is one.
    /// `version` is what `sshd -V` says. The program's path has no tokens for sshd, unless the helper is to start it.
    #[must_use]
    pub fn wrong_token(&self, is_chained: bool, version: &str) -> Option<String> {
        self.words.iter().skip(usize::from(!is_chained)).find_map(|word| wrong_token(word, knows_connection_tokens(version)))
    }

    /// Finds a percent sign at which sshd would end every connection.
    pub fn judge_tokens(&self, version: &str, found: &mut Findings) {
        if let Some(token) = self.wrong_token(false, version) {
            let command = self.words.join(" ");
            found.fail(
                format!("sshd: it ends every connection of this login at `{token}` in `{command}`"),
                format!("correct AuthorizedKeysCommand: {}; and reload sshd", allowed_tokens()),
            );
        }
    }

    /// Returns the arguments with which sshd would start it for a login of `user` with the probe's key. Without any of its own the command
    /// gets the user's name.
    #[must_use]
    pub fn arguments(&self, user: &str) -> Vec<String> {
        match self.words.get(1..) {
            Some(own) if !own.is_empty() => own.iter().map(|word| expand(word, user)).collect(),
            _ => vec![user.to_owned()],
        }
    }

    /// Judges the arguments of sidegate's helper: whom they answer for, which key they pass on, which socket and shell they name.
    pub fn judge_arguments(&self, user: &str, socket: &Path, found: &mut Findings) {
        let command = self.words.join(" ");
        let correct = |what: &str| format!("correct AuthorizedKeysCommand: {what}; and reload sshd");
        match parse_arguments(self.arguments(user).into_iter().map(OsString::from)) {
            Err(usage) => {
                let text = usage.to_string().replace("# ", "").replace('#', "");
                found.fail(format!("sshd: the helper does not understand `{command}`: {text}"), correct(&format!("`… {user} %u %k`")));
            }
            Ok(Invocation::Version) => {
                found.fail(format!("sshd: `{command}` prints a version and no key"), correct(&format!("`… {user} %u %k`")));
            }
            Ok(Invocation::OtherUser(_)) => {
                let what = format!("sshd: `{command}` answers for another user than {user}, so no key of {user} is found");
                found.fail(what, correct(&format!("`… {user} %u %k`, or name the user who logs in with --ssh-user")));
            }
            Ok(Invocation::Lookup(lookup)) => judge_lookup(&command, &lookup, socket, found, correct),
        }
    }
}

fn judge_lookup(command: &str, lookup: &LookupArguments, socket: &Path, found: &mut Findings, correct: impl Fn(&str) -> String) {
    if lookup.key != PROBE_KEY {
        found.fail(format!("sshd: `{command}` does not pass the key on, so none is found"), correct("its last word is %k"));
    }
    if lookup.socket != socket {
        let what = format!("sshd: `{command}` asks {}, and the daemon's socket is {}", lookup.socket.display(), socket.display());
        found.fail(what, correct(&format!("--socket {}", socket.display())));
    }
    let shell = PathBuf::from(lookup.shell.to_string());
    if !is_program(&shell) {
        let what = format!("sshd: a login runs {}, which is no program on this host", shell.display());
        found.fail(what, correct("`--shell PATH` before the user's name, with the path of gitlab-shell"));
    }
    if let Some(chain) = &lookup.chain {
        judge_chain(&chain.program, found);
    }
}

/// Judges the command that is asked for keys that sidegate does not know, and says what it means for a key that is revoked.
fn judge_chain(program: &Path, found: &mut Findings) {
    let name = program.display();
    match unsafe_part(program) {
        Some(_) if !program.exists() => {
            found.fail(
                format!("sshd: the command after --chain, {name}, is no program on this host"),
                "correct its path, or take --chain away",
            );
        }
        Some(part) => {
            let part = part.display();
            let what = format!("sshd: the helper does not run {name} after --chain, because another than root may write {part}");
            found.fail(what, format!("chown root {part}; chmod go-w {part}"));
        }
        None => found.ok(format!(
            "sshd: for a key that sidegate does not know, {name} is asked: a key that it gives has to be revoked there as well"
        )),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Says which percent signs sshd takes in this command.
#[must_use]
pub fn allowed_tokens() -> String {
    let known: Vec<String> = TOKENS.chars().map(|letter| format!("%{letter}")).collect();
    format!("sshd takes {} there, %C and %D since OpenSSH 9.4, and %% for a percent sign", known.join(", "))
}

fn wrong_token(word: &str, with_connection: bool) -> Option<String> {
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            continue;
        }
        match letters.next() {
            Some(known) if known == '%' || TOKENS.contains(known) || with_connection && CONNECTION_TOKENS.contains(known) => {}
            other => return Some(other.map_or_else(|| "%".to_owned(), |other| format!("%{other}"))),
        }
    }
    None
}

/// Returns whether an sshd that says this of its version knows the tokens of the connection; also where it says none that is understood.
fn knows_connection_tokens(said: &str) -> bool {
    let number = |text: &str| text.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse::<u32>().ok());
    let version = said.split("OpenSSH_").nth(1).and_then(|rest| rest.split_once('.'));
    let version = version.and_then(|(major, minor)| number(major).zip(number(minor)));
    version.is_none_or(|version| version >= FIRST_WITH_CONNECTION_TOKENS)
}

/// Puts in what sshd puts in for a percent sign and a letter.
fn expand(word: &str, user: &str) -> String {
    let mut expanded = String::new();
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '%').1.then(|| letters.next()).flatten() {
            None => expanded.push(letter),
            Some('u') => expanded.push_str(user),
            Some('k') => expanded.push_str(PROBE_KEY),
            Some('t') => expanded.push_str(PROBE_KEY_TYPE),
            Some('%') => expanded.push('%'),
            Some(other) => expanded.extend(['%', other]),
        }
    }
    expanded
}

/// Splits a command at white space outside quotes; a backslash takes a quote, a space or itself as it is.
fn split_words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', _) if letters.peek().is_some_and(|next| matches!(next, '"' | '\'' | '\\') || (*next == ' ' && quote.is_none())) => {
                word.get_or_insert_default().extend(letters.next());
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            (' ' | '\t', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{KeyCommand, PROBE_KEY, expand, split_words, wrong_token};
    use crate::cli::check::findings::Findings;

    fn complaints(command: &str) -> String {
        let mut found = Findings::default();
        KeyCommand::parse(command, "keys").unwrap().judge_arguments("git", Path::new("/run/sidegate/api.sock"), &mut found);
        found.as_slice().iter().map(|finding| format!("{}\n", finding.what)).collect()
    }

    #[test]
    fn the_arguments_of_the_helper_are_judged() {
        let shell = "--shell /bin/sh";
        assert_eq!(complaints(&format!("/x/sidegate-authorized-keys {shell} git %u %k")), "");
        let chained = complaints(&format!("/x/sidegate-authorized-keys {shell} git %u %k --chain /bin/cat %u"));
        assert!(chained.contains("/bin/cat is asked: a key that it gives has to be revoked there as well"), "{chained}");
        for (arguments, says) in [
            (format!("{shell} git %u %f"), "does not pass the key on"),
            (format!("{shell} gitlab %u %k"), "answers for another user than git"),
            (format!("{shell} git %u"), "Insufficient arguments"),
            (String::new(), "Insufficient arguments"),
            (format!("--socket /run/old.sock {shell} git %u %k"), "asks /run/old.sock, and the daemon's socket is /run/sidegate/api.sock"),
            ("--shell /nonexistent/shell git %u %k".to_owned(), "runs /nonexistent/shell, which is no program"),
            ("--version".to_owned(), "prints a version"),
            (format!("{shell} git %u %k --chain /nonexistent/keys"), "/nonexistent/keys, is no program"),
            (format!("{shell} git %u %k --chain keys"), "needs the full path of a program"),
        ] {
            let said = complaints(&format!("/x/sidegate-authorized-keys {arguments}"));
            assert!(said.contains(says), "{arguments}: {said}");
        }
    }

    #[test]
    fn words_and_percent_signs_are_those_of_sshd() {
        assert_eq!(split_words("/a  \"b c\" 'd\"e' f\\ g \"\""), ["/a", "b c", "d\"e", "f g", ""]);
        assert_eq!([expand("%u-%%-%x-%", "git"), expand("%k", "git")], ["git-%-%x-%".to_owned(), PROBE_KEY.to_owned()]);
        assert_eq!(KeyCommand::parse("/bin/keys", "x").unwrap().arguments("git"), ["git"]);
        assert_eq!(KeyCommand::parse("  ", "x"), None);
    }

    #[test]
    fn a_percent_sign_at_which_sshd_ends_the_connection_is_named() {
        let (old, new) = ("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19", "unknown option -- V\nOpenSSH_10.0p2, OpenSSL 3");
        let wrong = |command: &str, version: &str| KeyCommand::parse(command, "keys").unwrap().wrong_token(false, version);
        for (command, token) in
            [("/x %u %x", Some("%x")), ("/x 50%", Some("%")), ("/x%y %%x %f%h%k%t%U%u", None), ("/x \"% u\"", Some("% "))]
        {
            assert_eq!([wrong(command, old).as_deref(), wrong(command, new).as_deref()], [token; 2], "{command}");
        }
        for (version, token) in [(old, Some("%C")), ("OpenSSH_9.3p2", Some("%C")), ("OpenSSH_9.4", None), (new, None), ("", None)] {
            assert_eq!(wrong("/x %C %D", version).as_deref(), token, "{version}");
        }
        let mut found = Findings::default();
        KeyCommand::parse("/x %u --chain /y %x", "keys").unwrap().judge_tokens(new, &mut found);
        assert!(found.as_slice()[0].what.contains("ends every connection of this login at `%x` in `/x %u --chain /y %x`"));
    }

    proptest! {
        /// What is let through is put in by sshd to the end.
        #[test]
        fn a_word_without_percent_signs_or_with_them_doubled_is_never_wrong(word in "[ -~]{0,20}") {
            let doubled = word.replace('%', "%%");
            prop_assert_eq!(wrong_token(&doubled, false), None);
            let is_wrong = wrong_token(&(doubled + "%"), true).is_some();
            prop_assert!(is_wrong);
        }

        #[test]
        fn words_without_marks_come_back_and_any_text_is_split(words in proptest::collection::vec("[a-z/%.-]{1,8}", 0..6), noise in "[ -~]{0,40}") {
            prop_assert_eq!(split_words(&words.join(" ")), words);
            for word in split_words(&noise) {
                let _ = expand(&word, "git");
            }
        }
    }
}
