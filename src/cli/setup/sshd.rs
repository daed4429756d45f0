//! The host's sshd: whether it accepts its configuration, and whom it asks for the keys of a user, by its own word.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::check::key_command::KeyCommand;
use crate::cli::check::program::ProgramOutput;
use crate::cli::check::sshd_files::SshdFiles;
use crate::cli::check::sshd_settings::SshdSettings;
use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;

const PROGRAM: &str = "/usr/sbin/sshd";
/// The configuration of sshd.
pub const CONFIG: &str = "/etc/ssh/sshd_config";
const DROP_INS: &str = "/etc/ssh/sshd_config.d";
const DROP_IN_NAME: &str = "50-sidegate.conf";
/// The name where another drop-in would be read before: sshd takes the first.
const EARLY_DROP_IN_NAME: &str = "00-sidegate.conf";
/// The names of sshd's unit, on Debian and elsewhere.
const UNITS: [&str; 2] = ["ssh.service", "sshd.service"];

/// The sockets that start sshd, on Debian and elsewhere.
const SOCKETS: [&str; 2] = ["ssh.socket", "sshd.socket"];
const FOLDER: &str = "/run/sshd";
/// What sshd says before the path of that folder where it is missing.
const NO_FOLDER: &str = "Missing privilege separation directory: ";
const PID_FILE: &str = "/run/sshd.pid";

/// Whether sshd has read its configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reload {
    /// It has, or none runs that would have to.
    Done,
    /// That is not known; what to do.
    ByHand(String),
}

/// The sshd of a host.
pub struct Sshd<'a> {
    host: &'a Host,
    config: PathBuf,
}

/// A command that sshd asks for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedCommand {
    /// The command, as its line has it.
    pub command: String,
    /// As whom sshd runs it.
    pub user: String,
    /// The file and line that name it, where that is known.
    pub line: Option<(PathBuf, usize)>,
}

impl AskedCommand {
    /// Returns whether it is sidegate's helper.
    #[must_use]
    pub fn is_sidegate(&self) -> bool {
        KeyCommand::parse(&self.command, &self.user).is_some_and(|command| command.is_helper())
    }

    /// Returns whether its line is below a `Match`, so that it is for some logins only.
    #[must_use]
    pub fn is_below_match(&self) -> bool {
        let Some((file, number)) = &self.line else { return false };
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().take(*number).any(|line| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("match")))
    }

    /// Returns ` (FILE:LINE)`, or nothing where that is not known.
    #[must_use]
    pub fn place(&self) -> String {
        self.line.as_ref().map_or_else(String::new, |(file, number)| format!(" ({}:{number})", file.display()))
    }
}

impl<'a> Sshd<'a> {
    /// Finds the sshd of a host. Below another root it is this host's program, with the configuration of that root.
    pub fn find(host: &'a Host) -> Result<Self, CommandError> {
        let config = host.path(Path::new(CONFIG));
        for needed in [Path::new(PROGRAM), &config] {
            if !needed.exists() {
                let what = format!("{}: it is not there", needed.display());
                return Err(CommandError(format!("{what}; install OpenSSH's server, or say --without-sshd where logins come another way")));
            }
        }
        Ok(Self { host, config })
    }

    /// Returns the file of its configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs sshd to its end. It says nothing without an empty folder of its own, which its unit makes at a start: where that is missing, as
    /// before the first start, it is made.
    fn ask(&self, arguments: &[&str]) -> Result<ProgramOutput, CommandError> {
        let output = self.host.try_run(PROGRAM, arguments)?;
        if output.success || !output.stderr.contains(&format!("{NO_FOLDER}{FOLDER}")) {
            return Ok(output);
        }
        let failed = |error| CommandError::with_context(FOLDER, error);
        fs::create_dir(FOLDER).map_err(failed)?;
        fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        self.host.try_run(PROGRAM, arguments)
    }

    /// Returns an error with sshd's own words where it does not accept its configuration.
    pub fn accepts_configuration(&self) -> Result<(), CommandError> {
        let config = self.config.display().to_string();
        let output = self.ask(&["-t", "-f", &config])?;
        if output.success {
            return Ok(());
        }
        let said = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(CommandError(format!("sshd does not accept {config}: {said}; correct it until `sshd -t` says nothing, and run this again")))
    }

    /// Returns what sshd says of its version; old ones say it in their complaint about the option. Nothing where there is no sshd.
    #[must_use]
    pub fn version(host: &Host) -> String {
        host.try_run(PROGRAM, &["-V"]).map(|output| output.stdout + &output.stderr).unwrap_or_default()
    }

    /// Returns whom sshd asks for the keys of a user who logs in; `None` if nobody.
    pub fn key_command(&self, user: &str) -> Result<Option<AskedCommand>, CommandError> {
        let login = format!("user={user},host=localhost,addr=127.0.0.1");
        let config = self.config.display().to_string();
        let output = self.ask(&["-T", "-f", &config, "-C", &login])?;
        if !output.success {
            return Err(CommandError(format!("`{PROGRAM} -T -f {config} -C {login}`: {}", output.complaint())));
        }
        let settings = SshdSettings::parse(&output.stdout);
        let Some(command) = settings.value("authorizedkeyscommand") else { return Ok(None) };
        let line = SshdFiles::read(&self.config).line_of(command).map(|line| (line.file, line.number));
        let asked_as = settings.value("authorizedkeyscommanduser").unwrap_or_default();
        Ok(Some(AskedCommand { command: command.to_owned(), user: asked_as.to_owned(), line }))
    }

    /// Lets a running sshd read its configuration again. Below another root none runs; one that a socket starts reads it at each connection.
    pub fn reload(host: &Host) -> Result<Reload, CommandError> {
        if host.other_root().is_some() {
            return Ok(Reload::Done);
        }
        let is_active = |unit: &str| host.try_run("systemctl", &["is-active", "--quiet", unit]).map(|output| output.success);
        if host.runs_systemd() {
            for unit in UNITS {
                if is_active(unit)? {
                    return host.run("systemctl", &["reload", unit]).map(|_| Reload::Done);
                }
            }
            for socket in SOCKETS {
                if is_active(socket)? {
                    return Ok(Reload::Done);
                }
            }
        }
        let units = UNITS.join(" nor ");
        Ok(Reload::ByHand(format!(
            "neither {units} runs here, so no sshd was told to read its configuration again; where one runs, run `kill -HUP \"$(cat {PID_FILE})\"`"
        )))
    }
}

/// Returns the path of the drop-in of sshd: the usual one, unless the drop-in of another that names a command is read before it.
#[must_use]
pub fn drop_in_path(host: &Host) -> PathBuf {
    let folder = Path::new(DROP_INS);
    let early = folder.join(EARLY_DROP_IN_NAME);
    let is_early = host.path(&early).exists();
    if is_early || names_command_before(&host.path(folder)) { early } else { folder.join(DROP_IN_NAME) }
}

/// Returns whether a drop-in that sorts before ours names a command for keys.
fn names_command_before(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    entries.unwrap_or_default().into_iter().any(|path| {
        let is_before = path.file_name().is_some_and(|name| name < OsStr::new(DROP_IN_NAME));
        let is_read = path.extension().is_some_and(|extension| extension == "conf");
        let text = if is_before && is_read { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        text.lines().any(|line| line.trim().to_ascii_lowercase().starts_with("authorizedkeyscommand"))
    })
}
