//! What `sidegate` is told on its command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Where the sidecar of this host listens.
pub const SIDECAR_SOCKET: &str = "/run/sidegate/api.sock";
/// Where the primary listens.
pub const PRIMARY_SOCKET: &str = "/run/sidegate-primary/api.sock";
/// Where the configuration of a sidecar is.
pub const SIDECAR_CONFIG: &str = "/etc/sidegate/sidegate.toml";
/// Where the configuration of a primary is.
pub const PRIMARY_CONFIG: &str = "/etc/sidegate/primary.toml";

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
    /// Show it all in a temporary folder: a primary, a sidecar, real requests, a real login
    Demo {
        /// Say what happened and end, instead of staying up until Ctrl-C
        #[arg(long)]
        once: bool,
    },
    /// Work on the primary's directory
    Admin {
        /// The primary's socket
        #[arg(long, value_name = "PATH", default_value = PRIMARY_SOCKET)]
        socket: PathBuf,
        /// What to do
        #[command(subcommand)]
        action: AdminCommand,
    },
    /// How the sidecar of this host stands: freshness, bounds, the follower, the primary
    Status(SidecarArgs),
    /// What would be answered to one question, by which rule, from which facts
    Explain(ExplainArgs),
    /// Add the store up and compare it with the primary
    Verify(SidecarArgs),
    /// Forget the primary's answers that are kept in memory
    Invalidate {
        /// Of what
        #[arg(value_parser = ["key", "user", "project", "all"], default_value = "all")]
        what: String,
        #[command(flatten)]
        sidecar: SidecarArgs,
    },
    /// Take a whole snapshot again, beside what serves
    Resync(SidecarArgs),
    /// Validate a configuration and the host it is for
    Check {
        /// A sidecar's configuration
        #[arg(long, value_name = "FILE", default_value = SIDECAR_CONFIG, conflicts_with = "primary")]
        config: PathBuf,
        /// A primary's configuration instead
        #[arg(long, value_name = "FILE")]
        primary: Option<PathBuf>,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print completions for a shell
    #[command(hide = true)]
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
    /// Print what it says as JSON
    #[arg(long)]
    pub json: bool,
}

/// One question.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// The Base64 of a public key's blob, as sshd passes it (`%k`), or a whole public key line
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key_id", "username"])]
    pub key: Option<String>,
    /// The id of a key
    #[arg(long, value_name = "ID", conflicts_with = "username")]
    pub key_id: Option<u64>,
    /// A username
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The full path of a project
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,
    /// What they would do there
    #[arg(long, value_parser = ["pull", "push", "archive"], default_value = "pull")]
    pub action: String,
    /// From which address
    #[arg(long, value_name = "ADDRESS")]
    pub check_ip: Option<String>,
}

/// What an operator of the primary does.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Apply a directory file: all or nothing, the same file again changes nothing
    Apply {
        /// The file, or `-` for standard input
        file: PathBuf,
        /// Remove what is not in the file
        #[arg(long)]
        prune: bool,
        /// Even if that removes a large share of a kind of record
        #[arg(long)]
        accept_loss: bool,
    },
    /// Print the directory as a file that can be applied
    Export,
    /// Remove a key
    RevokeKey {
        /// Its id
        id: u64,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Block a user
    BlockUser {
        /// Their username
        username: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// The hosts that follow, and where each stands
    Hosts,
    /// Stop waiting for a host that is gone for good
    ForgetHost {
        /// Its name
        host: String,
    },
    /// Let followers take a snapshot that lacks a large share of their keys, once
    AcceptLoss,
    /// Begin a new epoch after the store was restored from a backup: every host takes a snapshot
    NewEpoch,
    /// How the primary stands
    Status,
}

/// Whether to wait until a change is in force.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Wait until it is in force on every host, at most this many seconds; exit 3 if it is not
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30", require_equals = true)]
    pub wait: Option<u64>,
}
