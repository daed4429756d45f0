//! The arguments of `sidegate`. Help, manual page and completions come from the same definition.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cli::config::parse;
use crate::cli::config::socket::PRIMARY_SOCKET;
use crate::helper::arguments::SIDECAR_SOCKET;

/// The file of the configuration of a sidecar.
const SIDECAR_CONFIG: &str = "/etc/sidegate/sidegate.toml";
/// The file of the configuration of a primary.
const PRIMARY_CONFIG: &str = "/etc/sidegate/primary.toml";
/// The file of the configuration of a mirror.
const MIRROR_CONFIG: &str = "/etc/sidegate/mirror.toml";

/// The folder of a primary's store.
const PRIMARY_STORE: &str = "/var/lib/sidegate-primary";

/// A side gate beside sshd: GitLab's internal API on a Unix socket, answered from a local cache that follows a primary.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar of this host (systemd does)
    Serve {
        /// The configuration
        #[arg(long, value_name = "FILE", default_value = SIDECAR_CONFIG)]
        config: PathBuf,
    },
    /// Run the primary: it owns the directory and publishes its changes (systemd does)
    Primary {
        /// The configuration
        #[arg(long, value_name = "FILE", default_value = PRIMARY_CONFIG)]
        config: PathBuf,
    },
    /// Run the mirror: beside a GitLab, it publishes its users and keys to the hosts that follow (systemd does)
    Mirror {
        /// The configuration
        #[arg(long, value_name = "FILE", default_value = MIRROR_CONFIG)]
        config: PathBuf,
    },
    /// Demonstrate a primary, a sidecar, real requests and a real login, in a temporary folder
    Demo {
        /// End after the demonstration, instead of running until Ctrl-C
        #[arg(long)]
        once: bool,
        /// Tell the story with a stand-in for a GitLab in place of the primary
        #[arg(long)]
        gitlab: bool,
    },
    /// Work on the primary's directory, or see to a mirror and its hosts
    Admin {
        /// The socket of the primary, or of the mirror
        #[arg(long, value_name = "PATH", default_value = PRIMARY_SOCKET)]
        socket: PathBuf,
        /// What to do
        #[command(subcommand)]
        action: AdminCommand,
    },
    /// Show how the sidecar of this host does, or the daemon whose socket is given
    ///
    /// The verdict comes first, then what is wrong and what to do, then numbers. Exit status 0: well; 1: stale, not following, or an alarm; 2:
    /// what is held has expired, or the daemon cannot be reached.
    Status {
        #[command(flatten)]
        sidecar: SidecarArgs,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Explain what this host answers to one question: who decides and why; exit 0 yes, 1 no, 2 not judged
    Explain(ExplainArgs),
    /// Compare the store with the primary; exit 0 equal, 1 different, 2 not compared
    Verify(SidecarArgs),
    /// Remove cached answers of the primary; in front of a GitLab from disk too
    Invalidate(InvalidateArgs),
    /// Load the keys and users of a file as stale answers, in front of a GitLab: for outages before they were asked
    Warm(WarmArgs),
    /// Load a whole snapshot again, while the present copy goes on answering
    Resync(ResyncArgs),
    /// Show or change how much a daemon logs, until its next start
    LogLevel(LogLevelArgs),
    /// Check a configuration and the host it is for; exit 0: all is well, 1: warnings, 2: broken
    Check(CheckArgs),
    /// Set this host up: configurations, secrets, units and sshd, with one question before; or undo that
    ///
    /// What the flags do not say is asked on a terminal. The plan is shown first. A second run changes nothing. Exit status 0: done; 1: not
    /// done; 2: done, and `sidegate check`, which it ends with, finds that something is broken.
    Setup(SetupArgs),
    /// Run a program as another user with all of that user's groups, as sshd does
    #[command(hide = true)]
    AsUser {
        /// The user
        user: String,
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Print a manual page in roff, or write them all
    Man {
        /// Which page, as sidegate-admin-apply or sidegate.toml
        #[arg(default_value = "sidegate", conflicts_with = "out")]
        page: String,
        /// Write every page into this folder, each as the file that man looks for
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Print the completions for a shell: bash, zsh or fish
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The sidecar that is asked.
#[derive(Clone, Debug, Args)]
pub struct SidecarArgs {
    /// The sidecar's socket
    #[arg(long, value_name = "PATH", default_value = SIDECAR_SOCKET)]
    pub socket: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Whether a status is drawn again and again.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Draw it anew each second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// What is checked.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A sidecar's configuration
    #[arg(long, value_name = "FILE", default_value = SIDECAR_CONFIG, conflicts_with_all = ["primary", "mirror"])]
    pub config: PathBuf,
    /// A primary's configuration instead
    #[arg(long, value_name = "FILE", conflicts_with = "mirror")]
    pub primary: Option<PathBuf>,
    /// A mirror's configuration instead
    #[arg(long, value_name = "FILE")]
    pub mirror: Option<PathBuf>,
    /// Fail only for what the daemon itself would refuse, and ask nobody: for the unit, before a start
    #[arg(long, conflicts_with_all = ["offline", "json"])]
    pub start: bool,
    /// Ask neither the daemon nor the primary nor the GitLab
    #[arg(long)]
    pub offline: bool,
    /// Print a JSON list of {level, what, remedy}
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sshd: SshdArgs,
}

/// What a host is set up for.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Where users and keys come from: sidegate's own primary, a GitLab, or a GitLab with a mirror beside it
    #[arg(long, value_name = "KIND")]
    pub primary: Option<SetupPrimary>,
    /// With embedded: follow the primary of another host, as `https://primary.example:8181`, in place of one on this host
    #[arg(long, value_name = "URL")]
    pub primary_url: Option<String>,
    /// With gitlab and mirror: the GitLab; that of GitLab's packages is found
    #[arg(long, value_name = "URL")]
    pub gitlab_url: Option<String>,
    /// With mirror: the mirror, as `https://mirror.example:8181`
    #[arg(long, value_name = "URL")]
    pub feed_url: Option<String>,
    /// The secret of gitlab-shell, which is copied; with embedded on this host a new one is made where there is none
    #[arg(long, value_name = "FILE")]
    pub shell_secret_file: Option<PathBuf>,
    /// The secret of followers, which is copied from the primary's or the mirror's host
    #[arg(long, value_name = "FILE")]
    pub sync_secret_file: Option<PathBuf>,
    /// The certificates that a primary, a GitLab or a mirror is verified by, in PEM; they are copied
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The user who logs in for Git; it is made where there is none
    #[arg(long, value_name = "NAME")]
    pub sshd_user: Option<String>,
    /// The gitlab-shell that a login runs
    #[arg(long, value_name = "PATH")]
    pub shell: Option<PathBuf>,
    /// A command, as AuthorizedKeysCommand has it, that is asked for keys that sidegate does not know
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_chain")]
    pub chain: Option<String>,
    /// Ask nobody else, also where sshd asks another command now
    #[arg(long)]
    pub no_chain: bool,
    /// Leave sshd alone: logins come another way, as through gitlab-sshd
    #[arg(long, conflicts_with_all = ["sshd_user", "shell", "chain", "no_chain"])]
    pub without_sshd: bool,
    /// Undo what setup did on this host, and nothing else
    #[arg(long, conflicts_with_all = ["primary", "primary_url", "gitlab_url", "feed_url", "shell_secret_file", "sync_secret_file", "ca_file", "sshd_user",
        "shell", "chain", "no_chain", "without_sshd"])]
    pub remove: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// Show the plan and the files that would be written, without secrets, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The tree of another root, for tests: nothing is started, reloaded or checked there
    #[arg(long, value_name = "DIR", hide = true)]
    pub root: Option<PathBuf>,
}

/// Where users and keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupPrimary {
    /// sidegate's own primary, on this host or another
    Embedded,
    /// A GitLab, which is asked
    Gitlab,
    /// A GitLab, with the mirror beside it, which is followed
    Mirror,
}

impl SetupPrimary {
    /// Returns its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Gitlab => "gitlab",
            Self::Mirror => "mirror",
        }
    }

    /// Returns the one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Embedded, Self::Gitlab, Self::Mirror].into_iter().find(|primary| primary.name() == name)
    }
}

/// The sshd that asks the sidecar.
#[derive(Debug, Args)]
pub struct SshdArgs {
    /// The configuration of sshd
    #[arg(long, value_name = "FILE", default_value = "/etc/ssh/sshd_config")]
    pub sshd_config: PathBuf,
    /// The user who logs in for Git
    #[arg(long, value_name = "NAME", default_value = "git")]
    pub ssh_user: String,
    /// Do not look at sshd: logins come another way, as through gitlab-sshd
    #[arg(long)]
    pub without_sshd: bool,
}

/// A whole snapshot that is loaded again.
#[derive(Debug, Args)]
pub struct ResyncArgs {
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// Wait until it is loaded, at most this many seconds; exit 3 if it is not. On a terminal 600 where nothing is said
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "600", require_equals = true)]
    pub wait: Option<u64>,
}

/// How much is logged.
#[derive(Debug, Args)]
pub struct LogLevelArgs {
    /// The daemon whose socket this is: the sidecar's, the primary's or the mirror's
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// The least severe level that is logged; without it the present one is printed
    #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub level: Option<String>,
}

/// The file that answers are loaded from.
#[derive(Debug, Args)]
pub struct WarmArgs {
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// A directory file, or the `authorized_keys` that gitlab-shell manages; `-` for standard input
    pub file: PathBuf,
    /// How old what it says is, as 2h; default: since the file was modified
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_duration)]
    pub age: Option<Duration>,
}

/// The cached answers that are removed.
#[derive(Debug, Args)]
pub struct InvalidateArgs {
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// The answers about one key, one user or one project, or all answers
    #[arg(value_parser = ["key", "user", "project", "all"], default_value = "all")]
    pub what: String,
    /// The id or fingerprint of the key, the id or name of the user, or the id or full path of the project
    #[arg(required_if_eq_any([("what", "key"), ("what", "user"), ("what", "project")]))]
    pub which: Option<String>,
}

/// One question. Who asks is named in one of five ways.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["key_file", "key", "fingerprint", "key_id", "username"]))]
pub struct ExplainArgs {
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// The file of a public key, as `~/.ssh/id_ed25519.pub`
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// A public key line, with or without its type and comment
    #[arg(long, value_name = "LINE")]
    pub key: Option<String>,
    /// A key's fingerprint, as the logs and `ssh-keygen -l` show it
    #[arg(long, value_name = "SHA256:…")]
    pub fingerprint: Option<String>,
    /// The id of a key
    #[arg(long, value_name = "ID")]
    pub key_id: Option<u64>,
    /// A username
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The full path of a project
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,
    /// What is done with the project, also by the names that gitlab-shell uses
    #[arg(long, value_parser = ["pull", "push", "archive", "git-upload-pack", "git-receive-pack", "git-upload-archive"], default_value = "pull")]
    pub action: String,
    /// The address of the client, where groups have lists of addresses
    #[arg(long, value_name = "ADDRESS")]
    pub check_ip: Option<String>,
}

/// The commands of the primary's operator.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Apply a directory file: all or nothing, the same file again changes nothing
    Apply(ApplyArgs),
    /// Print the directory as a file that can be applied, or write it to a file that only its owner may read
    Export {
        /// Write to this file, mode 0600, and replace it once all is written; `-` for standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Back up the whole primary while it runs, mode 0600: directory, tokens, codes, counters, revocations, audit log
    Backup {
        /// The file, which is replaced once the backup is whole
        file: PathBuf,
        /// Show how much is received, also where standard error is no terminal
        #[arg(long)]
        progress: bool,
    },
    /// Restore a backup as the store of a primary that is stopped; run it as the primary's user
    Restore {
        /// The file that `backup` wrote
        file: PathBuf,
        /// The folder of the store; what is there is put aside
        #[arg(long, value_name = "PATH", default_value = PRIMARY_STORE)]
        store: PathBuf,
    },
    /// Remove a key, or all keys of a user, also from files that are applied later
    RevokeKey {
        #[command(flatten)]
        which: RevokedKeyArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Block a user, also in files that are applied later
    BlockUser {
        /// Their username
        username: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Undo `block-user`: the user has the state of the last file since, or else the one from before, and files count again
    UnblockUser {
        /// Their username
        username: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Show one record: a user with their keys, a key with its fingerprint; tokens are hidden
    Show {
        /// Its kind, as in the directory file: user, key, project …
        kind: String,
        /// Its id, username, path, name or fingerprint; not needed for settings
        which: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the records of one kind; tokens are hidden
    List {
        /// The kind, as in the directory file, also in the plural: users, keys, projects …
        kind: String,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// List the revoked keys and blocked users that no file brings back
    Revocations,
    /// List the hosts that follow, and how far each has followed
    Hosts,
    /// Stop waiting for a host that is gone for good
    ForgetHost {
        /// Its name
        host: String,
        /// Only this one of the stores that have that name, as `hosts` lists it
        #[arg(long, value_name = "ID")]
        instance: Option<String>,
    },
    /// Let followers take a snapshot that lacks a large share of their keys, once
    AcceptLoss,
    /// Begin a new epoch after the store was restored from a backup: every host takes a snapshot
    NewEpoch,
    /// Show how the primary or the mirror does
    ///
    /// The verdict comes first, then what is wrong and what to do, then numbers. Exit status 0: well; 1: a host is away or owes its
    /// confirmation of the last commit, or an alarm stands; 2: the daemon serves nothing yet, or cannot be reached.
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        watch: WatchArgs,
    },
}

/// The key that is revoked, or the user whose keys are.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RevokedKeyArgs {
    /// The id of the key
    pub id: Option<u64>,
    /// The fingerprint of the key, as logs and `ssh-keygen -l` print it: SHA256:…
    #[arg(long, value_name = "SHA256:…")]
    pub fingerprint: Option<String>,
    /// All keys of the user with this name
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
}

/// How a directory file is applied.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file, or `-` for standard input
    pub file: PathBuf,
    /// Change nothing, and say what would be changed, held and refused; exit 1 if the file would be refused
    #[arg(long)]
    pub dry_run: bool,
    /// Remove what is not in the file
    #[arg(long)]
    pub prune: bool,
    /// Even if that removes a large share of a kind of record, or all users or keys
    #[arg(long)]
    pub accept_loss: bool,
    /// Bring back the keys and users of the file that `revoke-key` and `block-user` revoked
    #[arg(long)]
    pub undo_revocations: bool,
    /// Show how much is sent, how fast, and how long it will take, also where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// Whether to wait until a change is in force.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Wait until no host can answer from before it, at most this many seconds; exit 3 if one still may
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30", require_equals = true)]
    pub wait: Option<u64>,
}
