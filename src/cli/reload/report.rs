//! What a reload says of itself in the log, in `status` and to systemd.

use crate::cli::exit_status::CommandError;
use crate::cli::reload::setting::{ChangedKey, Comparison};

/// The lines of one reload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// What was refused, and that nothing has changed.
    pub refused: Option<String>,
    /// What is in force now.
    pub reloaded: String,
    /// One for each key that needs a restart.
    pub needs_restart: Vec<String>,
}

impl ReloadReport {
    /// Says why nothing has changed.
    pub fn refusal(error: &CommandError) -> Self {
        let refused = format!("the reload is refused, and the configuration and secrets from before go on: {error}");
        Self { refused: Some(refused), ..Self::default() }
    }

    /// Says what is in force, and what is not. `contents` are the keys that name files whose content is another than before; they are of
    /// secrets and certificates, so nothing but their change is said.
    pub fn of(changes: &Comparison, contents: &[&'static str], unit: &str) -> Self {
        let applied = changes.applied.iter().map(change_text);
        let contents = contents.iter().map(|key| format!("what `{key}` names has changed"));
        let all: Vec<String> = applied.chain(contents).collect();
        let reloaded = if all.is_empty() { "reloaded: nothing has changed".to_owned() } else { format!("reloaded: {}", all.join("; ")) };
        let restart = |key: &ChangedKey| format!("{}, and needs a restart: `systemctl restart {unit}`", change_text(key));
        Self { refused: None, reloaded, needs_restart: changes.needs_restart.iter().map(restart).collect() }
    }

    /// Returns all of it as one line.
    pub fn summary(&self) -> String {
        match &self.refused {
            Some(refused) => refused.clone(),
            None => [std::slice::from_ref(&self.reloaded), &self.needs_restart].concat().join("; "),
        }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        if let Some(refused) = &self.refused {
            return tracing::error!("{refused}");
        }
        tracing::info!("{}", self.reloaded);
        for line in &self.needs_restart {
            tracing::warn!("{line}");
        }
    }
}

fn change_text(change: &ChangedKey) -> String {
    let ChangedKey { key, from, to } = change;
    format!("`{key}` changed from {from} to {to}")
}
