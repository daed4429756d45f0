//! The plan: the steps that lead to the layout of docs/install.md, in the order of that page.

use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::answers::{Answers, Login, SHELL_SECRET_NAME, Source, shell_folder};
use crate::cli::setup::certificates;
use crate::cli::setup::contents;
use crate::cli::setup::host::Host;
use crate::cli::setup::omnibus;
use crate::cli::setup::read_secret::ReadSecret;
use crate::cli::setup::sshd;
use crate::cli::setup::steps::folder::FolderStep;
use crate::cli::setup::steps::key_command::KeyCommandStep;
use crate::cli::setup::steps::membership::MembershipStep;
use crate::cli::setup::steps::secret::{SecretSource, SecretStep};
use crate::cli::setup::steps::step::Step;
use crate::cli::setup::steps::text_file::TextFileStep;
use crate::cli::setup::steps::units::UnitsStep;
use crate::cli::setup::steps::user::UserStep;

/// The configuration of a primary on this host.
pub const PRIMARY_CONFIG: &str = "/etc/sidegate/primary.toml";
const PRIMARY_FOLDER: &str = "/etc/sidegate/primary";
const PRIMARY_USER: &str = "sidegate-primary";
const SIDECAR_USER: &str = "sidegate";
const SHELL_SECRET: &str = "/etc/sidegate/shell_secret";
const SYNC_SECRET: &str = "/etc/sidegate/sync_secret";
const UNIT_DROP_IN_FOLDER: &str = "/etc/systemd/system/sidegate.service.d";

type Steps = Vec<Box<dyn Step>>;

/// Returns the steps for these answers on this host.
pub fn steps(answers: &Answers, host: &Host) -> Result<Steps, CommandError> {
    let mut steps = Steps::new();
    if let Source::Here { shell_secret } = &answers.source {
        primary_steps(shell_secret.as_ref(), &mut steps);
    }
    sidecar_steps(&answers.source, host, &mut steps)?;
    if let Some(login) = &answers.login {
        login_steps(login, &answers.source, host, &mut steps)?;
    }
    Ok(steps)
}

/// The primary, with its own copies of the secrets.
fn primary_steps(shell_secret: Option<&ReadSecret>, steps: &mut Steps) {
    let folder = Path::new(PRIMARY_FOLDER);
    let shell_source = shell_secret.map_or(SecretSource::New, |secret| SecretSource::Read(secret.clone()));
    steps.push(Box::new(FolderStep { path: folder.to_owned(), user: PRIMARY_USER, mode: 0o700 }));
    steps.push(Box::new(secret("gitlab-shell's secret", folder.join("shell_secret"), PRIMARY_USER, shell_source)));
    steps.push(Box::new(secret("the secret of followers", folder.join("sync_secret"), PRIMARY_USER, SecretSource::New)));
    steps.push(Box::new(TextFileStep {
        what: "the primary's configuration",
        path: PRIMARY_CONFIG.into(),
        content: contents::PRIMARY_CONFIG_TEXT.to_owned(),
    }));
    steps.push(Box::new(UnitsStep { units: &["sidegate-primary.service"] }));
}

/// The sidecar, with its own copies of the secrets.
fn sidecar_steps(source: &Source, host: &Host, steps: &mut Steps) -> Result<(), CommandError> {
    let (shell_source, sync_source, ca_file) = match source {
        Source::Here { .. } => {
            let copy = |name: &str| SecretSource::CopyOf(Path::new(PRIMARY_FOLDER).join(name), PRIMARY_USER);
            (copy("shell_secret"), Some(copy("sync_secret")), None)
        }
        Source::Primary { shell_secret, sync_secret, ca_file, .. } | Source::Mirror { shell_secret, sync_secret, ca_file, .. } => {
            (SecretSource::Read(shell_secret.clone()), Some(SecretSource::Read(sync_secret.clone())), ca_file.as_ref())
        }
        Source::Gitlab { shell_secret, ca_file, .. } => (SecretSource::Read(shell_secret.clone()), None, ca_file.as_ref()),
    };
    steps.push(Box::new(secret("gitlab-shell's secret", SHELL_SECRET.into(), SIDECAR_USER, shell_source)));
    if let Some(sync_source) = sync_source {
        steps.push(Box::new(secret("the secret of followers", SYNC_SECRET.into(), SIDECAR_USER, sync_source)));
    }
    if let Some(ca_file) = ca_file {
        let content = certificates::read(ca_file)?;
        steps.push(Box::new(TextFileStep { what: "the certificates to trust", path: contents::CA_FILE.into(), content }));
    }
    let content = contents::sidecar_config(source, host)?;
    steps.push(Box::new(TextFileStep { what: "the sidecar's configuration", path: contents::SIDECAR_CONFIG.into(), content }));
    steps.extend(group_steps(source, host));
    steps.push(Box::new(UnitsStep { units: &["sidegate.socket", "sidegate.service"] }));
    Ok(())
}

/// Lets the sidecar reach the socket of a GitLab of GitLab's packages, which a group alone may.
fn group_steps(source: &Source, host: &Host) -> Steps {
    let (Source::Gitlab { url, .. } | Source::Mirror { url, .. }) = source else { return Steps::new() };
    let Some(group) = omnibus::group_of_socket(host, url) else { return Steps::new() };
    let folder = PathBuf::from(UNIT_DROP_IN_FOLDER);
    let content = format!("# The socket of GitLab's Workhorse is open to this group alone.\n[Service]\nSupplementaryGroups={group}\n");
    let path = folder.join("setup.conf");
    vec![
        Box::new(FolderStep { path: folder, user: "root", mode: 0o755 }),
        Box::new(TextFileStep { what: "a drop-in of the sidecar's unit", path, content }),
    ]
}

/// The user who logs in, what its gitlab-shell needs, and sshd.
fn login_steps(login: &Login, source: &Source, host: &Host, steps: &mut Steps) -> Result<(), CommandError> {
    steps.push(Box::new(UserStep { name: login.user.clone() }));
    steps.push(Box::new(MembershipStep { user: login.user.clone() }));
    match source {
        Source::Here { shell_secret } => steps.extend(shell_secret_step(login, shell_secret.as_ref(), host)),
        Source::Primary { shell_secret, .. } => steps.extend(shell_secret_step(login, Some(shell_secret), host)),
        // Its gitlab-shell has GitLab's secret.
        Source::Gitlab { .. } | Source::Mirror { .. } => {}
    }
    steps.push(Box::new(KeyCommandStep {
        path: sshd::drop_in_path(host),
        content: contents::drop_in(login, host)?,
        user: login.user.clone(),
        chain: login.chain.clone(),
        old_keys: old_keys(login, host)?,
    }));
    Ok(())
}

/// Returns the file of the keys that let the user in until now, if there are any.
fn old_keys(login: &Login, host: &Host) -> Result<Option<PathBuf>, CommandError> {
    let home = host.account(&login.user)?.map(|account| account.home);
    let file = home.map(|home| home.join(".ssh/authorized_keys"));
    Ok(file.filter(|file| host.path(file).metadata().is_ok_and(|found| found.len() > 0)))
}

/// Gives a gitlab-shell that is there the secret of the primary.
fn shell_secret_step(login: &Login, read: Option<&ReadSecret>, host: &Host) -> Option<Box<dyn Step>> {
    let folder = shell_folder(&login.shell).filter(|folder| host.path(folder).is_dir() && folder.parent().is_some())?;
    let path = folder.join(SHELL_SECRET_NAME);
    // A link is another's: root's has been read through, and where the operator names a file it stays as it is.
    let is_link = host.path(&path).is_symlink();
    let copy = read.map_or_else(|| SecretSource::CopyOf(SHELL_SECRET.into(), SIDECAR_USER), |secret| SecretSource::Read(secret.clone()));
    (!is_link).then(|| Box::new(secret("gitlab-shell's own copy", path, &login.user, copy)) as Box<dyn Step>)
}

fn secret(what: &'static str, path: PathBuf, user: &str, source: SecretSource) -> SecretStep {
    SecretStep { what, path, user: user.to_owned(), source }
}
