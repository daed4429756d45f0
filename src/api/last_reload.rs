//! The last reload of a daemon: when it was, and what came of it; for `status` and the metrics.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

use crate::model::time::Time;

/// The last reload, if there was one.
#[derive(Debug, Default)]
pub struct LastReload(Mutex<Option<Reload>>);

#[derive(Clone, Debug)]
struct Reload {
    at: Time,
    is_in_force: bool,
    message: String,
}

impl LastReload {
    /// Notes one.
    pub fn note(&self, at: Time, is_in_force: bool, message: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reload { at, is_in_force, message });
    }

    /// Returns `{at, outcome, message}`, where `outcome` is `reloaded` or `refused`; null before the first one.
    #[must_use]
    pub fn status(&self) -> Value {
        self.get().map_or(Value::Null, |reload| {
            let outcome = if reload.is_in_force { "reloaded" } else { "refused" };
            json!({"at": reload.at.to_string(), "outcome": outcome, "message": reload.message})
        })
    }

    /// Shows it among the metrics. Before the first one it is the start.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>, started_at: Time) -> Result<(), fmt::Error> {
        let (at, is_in_force) = self.get().map_or((started_at, true), |reload| (reload.at, reload.is_in_force));
        let mut gauge = |name: &str, help: &str, value: i64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let help = "Whether the last reload, or the start, put its configuration in force: 1, or 0 where it was refused";
        gauge("sidegate_config_last_reload_successful", help, i64::from(is_in_force))?;
        gauge("sidegate_config_last_reload_timestamp_seconds", "When that was, in seconds since 1970", at.seconds())
    }

    fn get(&self) -> Option<Reload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
