//! Units that are enabled and started. Where systemd does not run, the commands are said in place of being run.

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Host;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};

/// Units that belong together.
pub struct UnitsStep {
    /// Their names.
    pub units: &'static [&'static str],
}

const SYSTEMCTL: &str = "systemctl";

impl UnitsStep {
    fn missing(&self, host: &Host, question: &str) -> Result<Vec<String>, CommandError> {
        let mut missing = Vec::new();
        for unit in self.units {
            if !host.try_run(SYSTEMCTL, &[question, "--quiet", unit])?.success {
                missing.push((*unit).to_owned());
            }
        }
        Ok(missing)
    }
}

impl Step for UnitsStep {
    fn describe(&self) -> String {
        format!("enable and start {}", self.units.join(" "))
    }

    fn units(&self) -> &[&str] {
        self.units
    }

    fn state(&self, around: Surroundings<'_>, record: &Record) -> Result<StepState, CommandError> {
        let host = around.host;
        if !host.runs_systemd() {
            let command = format!("run `systemctl enable --now {}` where it runs", self.units.join(" "));
            return Ok(StepState::Skipped(format!("{}; {command}", host.why_no_systemd())));
        }
        let is_due = around.changed || record.is_restart_due(self.units);
        let is_done = !is_due && self.missing(host, "is-enabled")?.is_empty() && self.missing(host, "is-active")?.is_empty();
        Ok(if is_done { StepState::Done } else { StepState::Needed })
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let host = around.host;
        let (enabled, started) = (self.missing(host, "is-enabled")?, self.missing(host, "is-active")?);
        let was_active: Vec<&str> = self.units.iter().copied().filter(|unit| !started.iter().any(|one| one == unit)).collect();
        let is_due = around.changed || record.is_restart_due(self.units);
        record.add(host, Entry::Units { enabled, started, restart_due: Vec::new() })?;
        host.run(SYSTEMCTL, &["daemon-reload"])?;
        host.run(SYSTEMCTL, &[&["enable", "--now"], self.units].concat())?;
        let services: Vec<&str> = was_active.into_iter().filter(|unit| unit.ends_with(".service")).collect();
        if is_due && !services.is_empty() {
            host.run(SYSTEMCTL, &[&["restart"], services.as_slice()].concat())?;
        }
        record.clear_restart_due(host, self.units)?;
        Ok(Applied::Whole)
    }
}

/// Disables and stops what setup enabled and started. Returns why that failed.
pub fn undo(host: &Host, enabled: &[String], started: &[String]) -> Result<(), String> {
    if enabled.is_empty() && started.is_empty() {
        return Ok(());
    }
    if !host.runs_systemd() {
        return Err(format!("{}; run `systemctl disable --now {}` where it runs", host.why_no_systemd(), enabled.join(" ")));
    }
    for (verb, units) in [("stop", started), ("disable", enabled)] {
        let words: Vec<&str> = [verb].into_iter().chain(units.iter().map(String::as_str)).collect();
        if !units.is_empty() {
            host.run(SYSTEMCTL, &words).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
