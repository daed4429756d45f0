//! `sidegate setup --remove`: undoes what the record has, and nothing else. What was changed since is kept and named.

use crate::cli::arguments::{SetupArgs, SetupPrimary};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::setup::host::Host;
use crate::cli::setup::questions::Questions;
use crate::cli::setup::record::{Entry, RECORD_FILE, Record};
use crate::cli::setup::steps::undo;

/// Undoes what setup did on this host.
pub fn run(host: &Host, mut record: Record, arguments: &SetupArgs, questions: &mut Questions) -> CommandResult {
    let entries = undo::in_order(&record);
    if entries.is_empty() {
        print_line(&format!("Nothing to undo: {RECORD_FILE} says that setup has made nothing here."));
        return Ok(Completion::Complete);
    }
    print_line("The plan:");
    for (number, entry) in entries.iter().enumerate() {
        print_line(&format!("{:3}. {}", number + 1, undo::describe(entry)));
    }
    warnings(record.primary(), &entries).iter().for_each(|line| print_line(line));
    if arguments.dry_run {
        print_line("Nothing was done (--dry-run).");
        return Ok(Completion::Complete);
    }
    if !arguments.yes && !questions.confirm("--yes", "Do this?")? {
        print_line("Nothing was done.");
        return Ok(Completion::Refused);
    }
    let kept = undo_all(host, &mut record, &entries)?;
    print_line(
        "Kept: the stores below /var/lib, which the daemons made; `rm -r /var/lib/sidegate /var/lib/sidegate-primary` removes keys and users.",
    );
    if host.runs_systemd() {
        host.run("systemctl", &["daemon-reload"])?;
    }
    if kept == 0 {
        print_line("Done.");
        return Ok(Completion::Complete);
    }
    let thing = if kept == 1 { "thing was" } else { "things were" };
    Err(CommandError(format!("{kept} {thing} kept, as said above; remove what is not needed, and run this again to forget the rest")))
}

/// Says what is to be done by hand before this, and whom sshd lets in afterwards.
fn warnings(primary: Option<SetupPrimary>, entries: &[Entry]) -> Vec<String> {
    let mut lines = vec![
        "Before you say yes: without the sidecar nobody uses Git over SSH while gitlab-shell is told to ask it. Put the `gitlab_url` of its \
         config.yml back first."
            .to_owned(),
    ];
    if matches!(primary, Some(SetupPrimary::Gitlab | SetupPrimary::Mirror)) {
        lines.push(
            "With GitLab's packages take `internal_api_url`, and the line of `gitlab` in `gitaly['configuration']`, out of /etc/gitlab/gitlab.rb, and run \
             `gitlab-ctl reconfigure`."
                .to_owned(),
        );
    }
    if entries.iter().any(|entry| matches!(entry, Entry::DropIn { .. })) {
        lines.push(
            "sshd will read the authorized_keys of the user who logs in for Git again: keys in it that were revoked meanwhile will log in again, \
             so take them out first."
                .to_owned(),
        );
    }
    lines
}

/// Undoes the entries. Returns how many things were kept, each of which is named. An sshd that goes on asking sidegate needs all the rest.
fn undo_all(host: &Host, record: &mut Record, entries: &[Entry]) -> Result<usize, CommandError> {
    let mut kept = 0;
    for entry in entries {
        match (undo::undo(host, entry), entry) {
            (Ok(()), _) => {
                record.remove(host, entry)?;
                print_line(&format!("done: {}", undo::describe(entry)));
            }
            (Err(reason), Entry::DropIn { path, .. }) => {
                return Err(CommandError(format!("{}: {reason}", path.display())));
            }
            (Err(reason), _) => {
                kept += 1;
                print_line(&format!("KEPT: {}: {reason}", undo::describe(entry).trim_start_matches("remove ")));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::warnings;
    use crate::cli::arguments::SetupPrimary;
    use crate::cli::setup::record::Entry;

    #[test]
    fn the_guide_says_what_is_said_before_anything_is_removed() {
        let guide = include_str!("../../../docs/install.md").split_whitespace().collect::<Vec<_>>().join(" ");
        let drop_in = Entry::DropIn { path: "/x".into(), sha256: String::new(), in_force: true, user: "git".to_owned() };
        let all = warnings(Some(SetupPrimary::Mirror), &[drop_in]);
        assert_eq!((all.len(), warnings(Some(SetupPrimary::Embedded), &[]).len()), (3, 1));
        for line in all {
            let line = line.trim_start_matches("Before you say yes: ");
            assert!(guide.to_lowercase().contains(&line.to_lowercase()), "{line}");
        }
    }
}
