//! The screen of a sidecar.

use serde_json::Value;

use crate::cli::status::screen::Screen;
use crate::cli::status::sidecar_findings::findings;
use crate::cli::status::sidecar_numbers::numbers;
use crate::cli::status::sidecar_verdict::verdict;
use crate::cli::status::view::SidecarView;

/// Returns the screen. Fails for JSON that is not a sidecar's status.
pub fn screen(status: &Value) -> Result<Screen, serde_json::Error> {
    let view: SidecarView = serde::Deserialize::deserialize(status)?;
    let (level, verdict) = verdict(&view);
    Ok(Screen { level, verdict, findings: findings(&view), numbers: numbers(&view) })
}
