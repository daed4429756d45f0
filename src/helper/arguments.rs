//! The arguments of the helper: `[--socket PATH] [--shell PATH] EXPECTED_USER ACTUAL_USER KEY [--chain PROGRAM [ARGUMENT…]]`. After the
//! options they are those of gitlab-shell's own program. (client contract, section 3.1)
//!
//! Options are read only before the first positional argument, and `--chain` only as the fourth: what sshd puts in for `%u` and `%k` is never
//! taken for one. sshd splits its line into words before it puts anything in, so what follows `--chain` is never split again.

use std::ffi::OsString;
use std::iter::Peekable;
use std::path::PathBuf;

use crate::wire::authorized_keys::{InvalidShellPath, ShellPath};

/// The name of the program.
pub const PROGRAM_NAME: &str = "sidegate-authorized-keys";
/// The socket of the sidecar if none is named, here and in its configuration.
pub const SIDECAR_SOCKET: &str = "/run/sidegate/api.sock";
/// What stands before the command that is asked for keys that sidegate does not know.
pub const CHAIN_OPTION: &str = "--chain";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Look up a key.
    Lookup(LookupArguments),
    /// Another user than the expected one logs in: sidegate does not answer for their keys, and another command may.
    OtherUser(Option<ChainCommand>),
    /// Print the version.
    Version,
}

/// The arguments of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub struct LookupArguments {
    /// The socket of the daemon.
    pub socket: PathBuf,
    /// The program that sshd runs for a key that is found.
    pub shell: ShellPath,
    /// The key as it was given: the Base64 of its blob, or a whole public key line.
    pub key: String,
    /// The command that is asked if sidegate does not know the key.
    pub chain: Option<ChainCommand>,
}

/// A command that is asked for keys that sidegate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCommand {
    /// The full path of its program.
    pub program: PathBuf,
    /// Its arguments, as sshd has put them together.
    pub arguments: Vec<OsString>,
}

/// Why the arguments are refused. The text is for standard error, without the last line feed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Other than three arguments after the options.
    #[error("# Insufficient arguments. {0}. Usage\n#\t{PROGRAM_NAME} <expected-username> <actual-username> <key>")]
    WrongCount(usize),
    /// An empty username.
    #[error("# No username provided")]
    MissingUser,
    /// An empty key.
    #[error("# No key provided")]
    MissingKey,
    /// An unknown option, or `--version` with other arguments.
    #[error(
        "# Unknown option {0}. Usage\n#\t{PROGRAM_NAME} [--socket PATH] [--shell PATH] <expected-username> <actual-username> <key> \
         [{CHAIN_OPTION} PROGRAM [ARGUMENT…]]"
    )]
    UnknownOption(String),
    /// An option without its path.
    #[error("# {0} needs a path")]
    MissingPath(&'static str),
    /// A chained command without the full path of its program.
    #[error("# {CHAIN_OPTION} needs the full path of a program")]
    InvalidChain,
    /// A path of a shell that is not allowed in a line of authorized keys.
    #[error("# --shell: {0}")]
    InvalidShell(InvalidShellPath),
}

/// Parses the arguments after the name of the program.
pub fn parse_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut words = arguments.peekable();
    let (mut socket, mut shell, mut version) = (PathBuf::from(SIDECAR_SOCKET), ShellPath::default(), None);
    while let Some(option) = words.next_if(|word| word.as_encoded_bytes().first() == Some(&b'-')) {
        match split_option(&option) {
            ("--", None) => break,
            ("--socket", value) => socket = take_path("--socket", value, &mut words)?.into(),
            ("--shell", value) => {
                let path = take_path("--shell", value, &mut words)?;
                shell = path.to_str().ok_or(InvalidShellPath).and_then(str::parse).map_err(UsageError::InvalidShell)?;
            }
            ("-version" | "--version", None) if version.is_none() => version = Some(option),
            _ => return Err(UsageError::UnknownOption(printable_option(&option))),
        }
    }
    let words: Vec<OsString> = words.collect();
    let (words, chain) = split_chain(&words)?;
    match (version, words) {
        (Some(_), []) => Ok(Invocation::Version),
        (Some(option), _) => Err(UsageError::UnknownOption(printable_option(&option))),
        (None, [expected, actual, _]) if expected.is_empty() || actual.is_empty() => Err(UsageError::MissingUser),
        (None, [_, _, key]) if key.is_empty() => Err(UsageError::MissingKey),
        (None, [expected, actual, _]) if expected != actual => Ok(Invocation::OtherUser(chain)),
        (None, [_, _, key]) => Ok(Invocation::Lookup(LookupArguments { socket, shell, key: key.to_string_lossy().into_owned(), chain })),
        (None, words) => Err(UsageError::WrongCount(words.len())),
    }
}

/// Splits the three arguments of a lookup from the command after them. Three only: a user or key of that name is no option.
fn split_chain(words: &[OsString]) -> Result<(&[OsString], Option<ChainCommand>), UsageError> {
    let Some((lookup, [option, command @ ..])) = words.split_at_checked(3) else { return Ok((words, None)) };
    if option != CHAIN_OPTION {
        return Ok((words, None));
    }
    let (program, arguments) = command.split_first().ok_or(UsageError::InvalidChain)?;
    let program = PathBuf::from(program);
    if !program.is_absolute() {
        return Err(UsageError::InvalidChain);
    }
    Ok((lookup, Some(ChainCommand { program, arguments: arguments.to_vec() })))
}

/// Splits an option from the value after its `=`. One that is not UTF-8 is unknown, and becomes empty.
fn split_option(option: &OsString) -> (&str, Option<&str>) {
    let option = option.to_str().unwrap_or_default();
    option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)))
}

fn take_path(
    option: &'static str,
    value: Option<&str>,
    rest: &mut Peekable<impl Iterator<Item = OsString>>,
) -> Result<OsString, UsageError> {
    let path = value.map(OsString::from).or_else(|| rest.next());
    path.filter(|path| !path.is_empty()).ok_or(UsageError::MissingPath(option))
}

fn printable_option(option: &OsString) -> String {
    option.to_string_lossy().escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::{ChainCommand, Invocation, LookupArguments, UsageError, parse_arguments};
    use crate::wire::authorized_keys::{InvalidShellPath, ShellPath};

    fn parse(words: &[&str]) -> Result<Invocation, UsageError> {
        parse_arguments(words.iter().map(OsString::from))
    }

    #[test]
    fn three_arguments_are_a_lookup_with_the_default_socket_and_shell() {
        let lookup = LookupArguments {
            socket: PathBuf::from("/run/sidegate/api.sock"),
            shell: ShellPath::default(),
            key: "AAAA".to_owned(),
            chain: None,
        };
        assert_eq!(parse(&["git", "git", "AAAA"]), Ok(Invocation::Lookup(lookup)));
    }

    #[test]
    fn options_are_read_before_the_first_positional_argument_only() {
        let (socket, shell) = (PathBuf::from("/s"), "/b/shell".parse::<ShellPath>().unwrap());
        let lookup = |key: &str| {
            Ok(Invocation::Lookup(LookupArguments { socket: socket.clone(), shell: shell.clone(), key: key.to_owned(), chain: None }))
        };
        assert_eq!(parse(&["--socket", "/s", "--shell=/b/shell", "git", "git", "AAAA"]), lookup("AAAA"));
        assert_eq!(parse(&["--shell", "/b/shell", "--socket=/s", "--", "git", "git", "--socket"]), lookup("--socket"));
        assert_eq!(parse(&["git", "--socket", "/s"]), Ok(Invocation::OtherUser(None)));
        assert_eq!(parse(&["--socket"]), Err(UsageError::MissingPath("--socket")));
        assert_eq!(parse(&["--socket=", "git", "git", "AAAA"]), Err(UsageError::MissingPath("--socket")));
        assert_eq!(parse(&["--shell", "bin/x", "git", "git", "AAAA"]), Err(UsageError::InvalidShell(InvalidShellPath)));
        assert_eq!(parse(&["--sock", "/s", "git", "git", "AAAA"]), Err(UsageError::UnknownOption("--sock".to_owned())));
    }

    #[test]
    fn the_keys_of_another_user_are_not_looked_up() {
        assert_eq!(parse(&["git", "root", "AAAA"]), Ok(Invocation::OtherUser(None)));
    }

    #[test]
    fn a_command_for_unknown_keys_is_the_fourth_argument_and_all_after_it() {
        let chain =
            |words: &[&str]| Some(ChainCommand { program: words[0].into(), arguments: words[1..].iter().map(Into::into).collect() });
        let chain_of = |words: &[&str]| match parse(words) {
            Ok(Invocation::Lookup(lookup)) => lookup.chain,
            Ok(Invocation::OtherUser(chain)) => chain,
            other => panic!("{other:?}"),
        };
        assert_eq!(chain_of(&["git", "git", "AAAA", "--chain", "/bin/keys"]), chain(&["/bin/keys"]));
        let words = ["git", "zoe", "AAAA", "--chain", "/bin/keys", "a b", "--chain", ""];
        assert_eq!(chain_of(&words), chain(&["/bin/keys", "a b", "--chain", ""]));
        assert_eq!(chain_of(&["git", "git", "--chain"]), None);
        for wrong in
            [&["git", "git", "AAAA", "--chain"][..], &["git", "git", "AAAA", "--chain", "keys"], &["git", "git", "AAAA", "--chain", ""]]
        {
            assert_eq!(parse(wrong), Err(UsageError::InvalidChain), "{wrong:?}");
        }
        assert_eq!(parse(&["--chain", "/bin/keys", "git", "git", "AAAA"]), Err(UsageError::UnknownOption("--chain".to_owned())));
    }

    proptest! {
        /// Whoever logs in chooses the name and the key; neither makes a command of what was none, or takes one away.
        #[test]
        fn no_name_and_no_key_changes_the_command(name in "(--chain|-|git|\\PC{1,9})", key in "(--chain|/bin/sh|\\PC{1,9})", chained in proptest::bool::ANY) {
            let mut words = vec!["git", &name, &key];
            if chained {
                words.extend(["--chain", "/bin/keys", &name]);
            }
            let chain = match parse(&words) {
                Ok(Invocation::Lookup(lookup)) => lookup.chain,
                Ok(Invocation::OtherUser(chain)) => chain,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            let expected = chained.then(|| ChainCommand { program: "/bin/keys".into(), arguments: vec![name.clone().into()] });
            prop_assert_eq!(chain, expected);
        }
    }

    #[test]
    fn a_missing_argument_is_named() {
        assert_eq!(parse(&[]), Err(UsageError::WrongCount(0)));
        assert_eq!(parse(&["a", "b", "c", "d"]), Err(UsageError::WrongCount(4)));
        assert_eq!(parse(&["", "git", "AAAA"]), Err(UsageError::MissingUser));
        assert_eq!(parse(&["git", "", "AAAA"]), Err(UsageError::MissingUser));
        assert_eq!(parse(&["git", "git", ""]), Err(UsageError::MissingKey));
    }

    #[test]
    fn the_version_is_printed_only_without_other_arguments() {
        assert_eq!(parse(&["-version"]), Ok(Invocation::Version));
        assert_eq!(parse(&["--version"]), Ok(Invocation::Version));
        assert_eq!(parse(&["--version", "git"]), Err(UsageError::UnknownOption("--version".to_owned())));
    }
}
