//! The reload of a running daemon, whichever it is.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::api::decision_log;
use crate::api::last_reload::LastReload;
use crate::api::log_level;
use crate::cli::config::file::{self, ConfigFile};
use crate::cli::config::log::LogConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::lifecycle::LifecycleEvent;
use crate::cli::reload::report::ReloadReport;
use crate::cli::reload::setting::{Comparison, Setting, compare};
use crate::cli::secrets;
use crate::model::clock;
use crate::net::server::certificate::ServerCertificate;

/// A daemon that takes over what it can.
pub trait ReloadTarget {
    /// Its configuration.
    type Config: ConfigFile + Clone + 'static;
    /// The unit that is restarted for the rest.
    const UNIT: &'static str;

    /// Returns every key with what its change needs.
    fn settings() -> &'static [Setting<Self::Config>];

    /// Returns the keys that name files of secrets and certificates, with those files.
    fn files(config: &Self::Config) -> Vec<PathBuf>;

    /// Reads all that the configuration names, and changes nothing. Blocks.
    fn load(&self, config: &Self::Config, moves_upstream: bool) -> Result<Loaded<'_>, CommandError>;
}

/// Puts a part in force; cannot fail.
type Step<'a> = Box<dyn FnOnce(&Comparison) + 'a>;

/// What was read, and what puts it in force.
pub struct Loaded<'a> {
    contents: Vec<(&'static str, Vec<u8>)>,
    steps: Vec<Step<'a>>,
}

impl<'a> Loaded<'a> {
    pub const fn new() -> Self {
        Self { contents: Vec::new(), steps: Vec::new() }
    }

    /// Adds the content of what a key names, of which only a digest is kept.
    pub fn content(&mut self, key: &'static str, content: &[u8]) {
        self.contents.push((key, content.to_vec()));
    }

    /// Reads the certificate of an address again, if that has one, and the step that shows it.
    pub fn certificate(&mut self, key: &'static str, certificate: Option<&'a Arc<ServerCertificate>>) -> Result<(), CommandError> {
        let Some(certificate) = certificate else { return Ok(()) };
        let next = certificate.read_again().map_err(|error| CommandError::with_context(key, error))?;
        let chain: Vec<u8> = next.cert.iter().flat_map(|certificate| certificate.to_vec()).collect();
        self.content(key, &chain);
        self.then(move |_| certificate.replace(next));
        Ok(())
    }

    /// Adds a step that cannot fail.
    pub fn then(&mut self, step: impl FnOnce(&Comparison) + 'a) {
        self.steps.push(Box::new(step));
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        self.contents.iter_mut().for_each(|(_, content)| content.fill(0));
    }
}

/// Reloads one daemon.
pub struct Reloader<T: ReloadTarget> {
    target: T,
    path: PathBuf,
    /// With which it has started: what needs a restart is still as here.
    started: T::Config,
    /// Which was reloaded last.
    last: T::Config,
    digests: BTreeMap<&'static str, u64>,
    hasher: RandomState,
    record: Arc<LastReload>,
}

impl<T: ReloadTarget> Reloader<T> {
    /// Starts with what the daemon runs with. Fails for what cannot be read any more. Blocks.
    pub fn new(target: T, path: &Path, config: &T::Config, record: &Arc<LastReload>) -> Result<Self, CommandError> {
        let hasher = RandomState::new();
        let digests = digests_of(&hasher, &target.load(config, false)?);
        let (started, last) = (config.clone(), config.clone());
        Ok(Self { target, path: path.to_owned(), started, last, digests, hasher, record: Arc::clone(record) })
    }

    /// Reloads the configuration and all that it names; for a file that has changed only what the last configuration names. Returns the files
    /// to look at from now on. Blocks.
    pub fn reload(&mut self, event: LifecycleEvent) -> Vec<PathBuf> {
        let report = self.try_reload(event).unwrap_or_else(|error| ReloadReport::refusal(&error));
        report.log();
        self.record.note(clock::wall_time(), report.refused.is_none(), report.summary());
        self.say_of_credentials();
        T::files(&self.last)
    }

    fn try_reload(&mut self, event: LifecycleEvent) -> Result<ReloadReport, CommandError> {
        let next = match event {
            LifecycleEvent::FileChanged => self.last.clone(),
            LifecycleEvent::Reload | LifecycleEvent::Terminate => file::load(&self.path).map_err(CommandError::new)?,
        };
        let changes = compare(T::settings(), &self.started, &self.last, &next);
        let mut loaded = self.target.load(&next, changes.moves_upstream)?;
        let digests = digests_of(&self.hasher, &loaded);
        for step in std::mem::take(&mut loaded.steps) {
            step(&changes);
        }
        drop(loaded);
        let changed = |(key, digest): (&&'static str, &u64)| (self.digests.get(*key) != Some(digest)).then_some(*key);
        let contents: Vec<&'static str> = digests.iter().filter_map(changed).collect();
        self.digests.extend(digests);
        self.last = next;
        Ok(ReloadReport::of(&changes, &contents, T::UNIT))
    }

    /// A credential that was changed at its source is still the one before here.
    fn say_of_credentials(&self) {
        if std::env::var_os("CREDENTIALS_DIRECTORY").is_some() {
            tracing::info!(
                "systemd hands out new credentials (LoadCredential=) at a restart only: for one that was changed, `systemctl restart {}`",
                T::UNIT
            );
        }
    }
}

fn digests_of(hasher: &RandomState, loaded: &Loaded<'_>) -> BTreeMap<&'static str, u64> {
    loaded.contents.iter().map(|(key, content)| (*key, digest(hasher, content))).collect()
}

fn digest(hasher: &RandomState, content: impl Hash) -> u64 {
    hasher.hash_one(content)
}

/// Puts in force what a reload has changed of `[log]`. A level that was set at run time stays where the configuration's is as it was.
pub fn take_over_log(changes: &Comparison, log: LogConfig) {
    if changes.applies("log.level")
        && let Err(error) = log_level::change(log.level.as_str())
    {
        tracing::error!(%error, "the level of the log cannot be changed: {error}");
    }
    if changes.applies("log.decisions") {
        decision_log::set_enabled(log.decisions);
    }
}

/// Returns where these files are, for looking at them: a relative path names one of systemd's credentials.
pub fn watched<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    files.into_iter().map(secrets::secret_path).collect()
}
