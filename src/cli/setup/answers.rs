//! What is to be set up: from the flags, from what is found on the host, and from the person at the terminal, in this order.

use std::path::{Path, PathBuf};

use crate::cli::arguments::{SetupArgs, SetupPrimary};
use crate::cli::exit_status::CommandError;
use crate::cli::setup::chain::{self, ChainFlags};
use crate::cli::setup::host::Host;
use crate::cli::setup::omnibus;
use crate::cli::setup::questions::Questions;
use crate::cli::setup::read_secret::ReadSecret;
use crate::cli::setup::sshd::drop_in_path;
use crate::wire::authorized_keys::ShellPath;

/// The file of a gitlab-shell's secret, in its folder.
pub const SHELL_SECRET_NAME: &str = ".gitlab_shell_secret";

/// What is to be set up.
pub struct Answers {
    /// Which kind of primary.
    pub primary: SetupPrimary,
    /// Where users and keys come from.
    pub source: Source,
    /// The logins; `None` where they come another way than through sshd.
    pub login: Option<Login>,
}

/// Where users and keys come from, and the secrets for it.
pub enum Source {
    /// A primary on this host.
    Here {
        /// The secret of the gitlab-shell that is there; `None` for a new one.
        shell_secret: Option<ReadSecret>,
    },
    /// A primary on another host.
    Primary {
        /// Its URL.
        url: String,
        /// Certificates to trust.
        ca_file: Option<PathBuf>,
        /// gitlab-shell's secret.
        shell_secret: ReadSecret,
        /// What followers sign with.
        sync_secret: ReadSecret,
    },
    /// A GitLab, which is asked.
    Gitlab {
        /// Its URL.
        url: String,
        /// Certificates to trust.
        ca_file: Option<PathBuf>,
        /// gitlab-shell's secret.
        shell_secret: ReadSecret,
    },
    /// A GitLab, and the mirror beside it, which is followed.
    Mirror {
        /// The GitLab's URL.
        url: String,
        /// The mirror's URL.
        feed_url: String,
        /// Certificates to trust.
        ca_file: Option<PathBuf>,
        /// gitlab-shell's secret.
        shell_secret: ReadSecret,
        /// What followers of the mirror sign with.
        sync_secret: ReadSecret,
    },
}

/// Logins through sshd.
pub struct Login {
    /// The user who logs in.
    pub user: String,
    /// The gitlab-shell that a login runs.
    pub shell: ShellPath,
    /// The command that is asked for keys that sidegate does not know, as a line of sshd's configuration has it.
    pub chain: Option<String>,
}

impl Answers {
    /// Collects the answers.
    pub fn collect(flags: &SetupArgs, host: &Host, questions: &mut Questions) -> Result<Self, CommandError> {
        let given = flags.primary.map(SetupPrimary::name);
        let proposal = if omnibus::is_here(host) { "gitlab" } else { "embedded" };
        let question = "Which primary: embedded, gitlab or mirror?";
        let named = questions.ask("--primary embedded|gitlab|mirror", given, question, Some(proposal))?;
        let primary = SetupPrimary::from_name(&named)
            .ok_or_else(|| CommandError(format!("--primary {named}: embedded, gitlab or mirror was expected")))?;
        refuse_strange_flags(flags, primary)?;
        let login = if flags.without_sshd { None } else { Some(login(flags, host, questions)?) };
        let source = source(flags, primary, login.as_ref(), host, questions)?;
        Ok(Self { primary, source, login })
    }
}

/// Refuses a flag that means nothing for this primary, so that nobody believes it was heeded.
fn refuse_strange_flags(flags: &SetupArgs, primary: SetupPrimary) -> Result<(), CommandError> {
    let is_here = primary == SetupPrimary::Embedded && flags.primary_url.is_none();
    let strange = [
        ("--primary-url", flags.primary_url.is_some() && primary != SetupPrimary::Embedded),
        ("--gitlab-url", flags.gitlab_url.is_some() && primary == SetupPrimary::Embedded),
        ("--feed-url", flags.feed_url.is_some() && primary != SetupPrimary::Mirror),
        ("--sync-secret-file", flags.sync_secret_file.is_some() && (is_here || primary == SetupPrimary::Gitlab)),
        ("--ca-file", flags.ca_file.is_some() && is_here),
    ];
    match strange.into_iter().find(|(_, is_strange)| *is_strange) {
        Some((flag, _)) => Err(CommandError(format!(
            "{flag} means nothing with --primary {}{}; leave it out",
            primary.name(),
            if is_here { " on this host" } else { "" }
        ))),
        None => Ok(()),
    }
}

fn login(flags: &SetupArgs, host: &Host, questions: &mut Questions) -> Result<Login, CommandError> {
    let user = questions.ask("--sshd-user NAME", flags.sshd_user.as_deref(), "Which user logs in for Git?", Some("git"))?;
    if !is_user_name(&user) {
        return Err(CommandError(format!("--sshd-user {user}: a name of letters, digits, `_`, `-` and `.` was expected")));
    }
    refuse_user(host, &user)?;
    let given = flags.shell.as_ref().map(|path| path.to_string_lossy().into_owned());
    let shell = questions.ask("--shell PATH", given.as_deref(), "Which gitlab-shell does a login run?", Some(omnibus::SHELL))?;
    let shell: ShellPath = shell.parse().map_err(|error| CommandError(format!("--shell {shell}: {error}")))?;
    let chain_flags = ChainFlags { command: flags.chain.as_deref(), none: flags.no_chain };
    let chain = chain::choose(host, &user, &drop_in_path(host), &chain_flags, questions)?;
    Ok(Login { user, shell, chain })
}

/// Refuses a user whose own keys an operator needs, or who is a daemon's: sshd reads no authorized_keys of the user who logs in for Git.
fn refuse_user(host: &Host, user: &str) -> Result<(), CommandError> {
    let own_account = std::env::var("SUDO_USER").ok();
    let why = if host.user(user)?.is_some_and(|owner| owner.uid == 0) {
        "this is root (uid 0)"
    } else if own_account.as_deref() == Some(user) {
        "this is your own account"
    } else if user.starts_with("sidegate") {
        "this is a user of sidegate's own programs"
    } else {
        return Ok(());
    };
    let what = "sshd asks sidegate alone for the keys of the user who logs in for Git, and every other login of that user ends";
    Err(CommandError(format!("--sshd-user {user}: {why}, and {what}; name a user of its own for Git, as git")))
}

/// Returns whether a name is plainly one user's: not a pattern of `Match`, not two words.
fn is_user_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    name.len() <= 32 && name.chars().all(plain) && name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
}

/// Returns where users and keys come from.
fn source(
    flags: &SetupArgs,
    primary: SetupPrimary,
    login: Option<&Login>,
    host: &Host,
    questions: &mut Questions,
) -> Result<Source, CommandError> {
    let ca_file = flags.ca_file.clone();
    let mut details = Details { flags, host, questions };
    match (primary, &flags.primary_url) {
        (SetupPrimary::Embedded, None) => {
            let shell_secret = match &flags.shell_secret_file {
                Some(file) => Some(ReadSecret::named(file)?),
                None => login.map(|login| secret_beside(host, login)).transpose()?.flatten(),
            };
            Ok(Source::Here { shell_secret })
        }
        (SetupPrimary::Embedded, Some(url)) => {
            let (shell_secret, sync_secret) = (details.shell_secret()?, details.sync_secret()?);
            Ok(Source::Primary { url: url.clone(), ca_file, shell_secret, sync_secret })
        }
        (SetupPrimary::Gitlab, _) => {
            let (url, shell_secret) = (details.gitlab_url()?, details.shell_secret()?);
            Ok(Source::Gitlab { url, ca_file, shell_secret })
        }
        (SetupPrimary::Mirror, _) => {
            let (url, feed_url) = (details.gitlab_url()?, details.feed_url()?);
            let (shell_secret, sync_secret) = (details.shell_secret()?, details.sync_secret()?);
            Ok(Source::Mirror { url, feed_url, ca_file, shell_secret, sync_secret })
        }
    }
}

/// Asks for what only some primaries need. What GitLab's packages have on this host is taken without a question.
struct Details<'a> {
    flags: &'a SetupArgs,
    host: &'a Host,
    questions: &'a mut Questions,
}

impl Details<'_> {
    fn gitlab_url(&mut self) -> Result<String, CommandError> {
        let found = omnibus::is_here(self.host).then_some(omnibus::URL);
        let given = self.flags.gitlab_url.as_deref().or(found);
        self.questions.ask("--gitlab-url URL", given, "What is the URL of the GitLab?", None)
    }

    fn feed_url(&mut self) -> Result<String, CommandError> {
        self.questions.ask("--feed-url URL", self.flags.feed_url.as_deref(), "What is the URL of the mirror?", None)
    }

    fn shell_secret(&mut self) -> Result<ReadSecret, CommandError> {
        let found = omnibus::is_here(self.host).then(|| self.host.path(Path::new(omnibus::SHELL_SECRET)));
        let given = self.flags.shell_secret_file.clone().or(found);
        self.file("--shell-secret-file FILE", given, "Which file has the secret of gitlab-shell?")
    }

    fn sync_secret(&mut self) -> Result<ReadSecret, CommandError> {
        let given = self.flags.sync_secret_file.clone();
        self.file("--sync-secret-file FILE", given, "Which file has the secret that followers sign with?")
    }

    fn file(&mut self, flag: &str, given: Option<PathBuf>, question: &str) -> Result<ReadSecret, CommandError> {
        let file = match given {
            Some(given) => given,
            None => self.questions.ask(flag, None, question, None)?.into(),
        };
        ReadSecret::named(&file)
    }
}

/// Returns the folder of a gitlab-shell, as the host has it: two above its program.
#[must_use]
pub fn shell_folder(shell: &ShellPath) -> Option<PathBuf> {
    Path::new(&shell.to_string()).parent()?.parent().map(Path::to_owned)
}

/// Returns the secret that a gitlab-shell has already.
fn secret_beside(host: &Host, login: &Login) -> Result<Option<ReadSecret>, CommandError> {
    match shell_folder(&login.shell) {
        Some(folder) => ReadSecret::beside_shell(host, &folder.join(SHELL_SECRET_NAME), &login.user),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_user_name;

    #[test]
    fn a_pattern_or_two_words_are_no_user() {
        assert!(is_user_name("git") && is_user_name("_git-2.x"));
        for wrong in ["", "*", "git,root", "git root", "!git", "git\nPermitRootLogin", "-git", "g%t", "git?"] {
            assert!(!is_user_name(wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_ends_a_line_or_a_word_of_sshd_s_configuration(name in "\\PC{0,40}") {
            if is_user_name(&name) {
                prop_assert!(!name.contains(|letter: char| letter.is_whitespace() || "\"'#%*?!,".contains(letter)));
            }
        }
    }
}
