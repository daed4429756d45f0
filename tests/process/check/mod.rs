//! `sidegate check`: hosts that work and hosts that are broken, each made of real files, sockets, daemons and an sshd that is asked.

mod broken;
mod host;
mod working;

use std::collections::BTreeSet;

use crate::check::broken::{Broken, Which};
use crate::check::host::{Checked, Host};

#[test]
fn twenty_broken_hosts() {
    if !host::is_possible() {
        return;
    }
    let hosts = broken::hosts();
    let names: BTreeSet<&str> = hosts.iter().map(|broken| broken.name).collect();
    assert!(names.len() == hosts.len() && hosts.len() >= 20, "{names:?}");
    let mut failures = Vec::new();
    for broken in &hosts {
        let mut host = Host::running();
        (broken.breaks)(&mut host);
        if !host.skipped
            && let Err(failure) = judge(broken, &host)
        {
            failures.push(format!("{}: {failure}", broken.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether the finding is there with its level and remedy, the exit code is that of the worst, and `--start` says what the daemon does.
fn judge(broken: &Broken, host: &Host) -> Result<(), String> {
    let check = |words: &[&str]| match broken.which {
        Which::Sidecar => host.check(words),
        Which::Primary => host.check_primary(words),
    };
    let checked = check(&[]);
    let finding = checked.findings.iter().find(|finding| finding.what.contains(broken.says));
    let finding = finding.ok_or_else(|| format!("it does not say `{}`:\n{}", broken.says, checked.text))?;
    eprintln!("| {} | {}: {} | {} |", broken.name, finding.level, finding.what, finding.remedy.as_deref().unwrap_or_default());
    let is_told = finding.level == broken.level && finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty());
    let code = if broken.level == "error" { 2 } else { 1 };
    if !is_told || checked.code != Some(code) {
        return Err(format!(
            "exit code {:?} in place of {code}, level {} in place of {}:\n{}",
            checked.code, finding.level, broken.level, checked.text
        ));
    }
    let start = check(&["--start"]);
    let expected = if broken.refused { 2 } else { 0 };
    if start.code != Some(expected) {
        return Err(format!("--start: exit code {:?} in place of {expected}:\n{}", start.code, start.text));
    }
    if broken.refused {
        let (command, config) = if broken.which == Which::Sidecar { ("serve", "sidegate.toml") } else { ("primary", "primary.toml") };
        host.env.start_expecting_failure(command, config);
    }
    Ok(())
}

/// Fails unless everything is well.
fn assert_well(layout: &str, checked: &Checked) {
    assert_eq!(checked.code, Some(0), "{layout}: {}", checked.text);
    assert!(checked.findings.iter().all(|finding| finding.level == "ok" && finding.remedy.is_none()), "{layout}: {}", checked.text);
}
