//! Shows the plan, asks once, does what is to be done, and shows what `sidegate check` finds.

use crate::cli::arguments::SetupArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::setup::answers::{Answers, SHELL_SECRET_NAME, Source, shell_folder};
use crate::cli::setup::final_check;
use crate::cli::setup::host::Host;
use crate::cli::setup::omnibus;
use crate::cli::setup::questions::Questions;
use crate::cli::setup::record::{RECORD_FILE, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};

/// Runs a plan.
pub fn run(
    host: &Host,
    mut record: Record,
    steps: &[Box<dyn Step>],
    answers: &Answers,
    arguments: &SetupArgs,
    questions: &mut Questions,
) -> CommandResult {
    let states = look(host, &record, steps)?;
    show(steps, &states, arguments.dry_run);
    if arguments.dry_run {
        print_line("Nothing was done (--dry-run).");
        print_gitlab_settings(answers);
        return Ok(Completion::Complete);
    }
    if !states.contains(&StepState::Needed) {
        print_line("Nothing to do: all of it is done already.");
    } else if arguments.yes || questions.confirm("--yes", "Do this?")? {
        record.set_primary(answers.primary);
        let done = match apply(host, &mut record, steps)? {
            Applied::Whole => "Done.",
            Applied::Left(_) => "Done but for what is LEFT above.",
        };
        print_line(&format!("{done} What was made is in {RECORD_FILE}; `sidegate setup --remove` undoes it."));
    } else {
        print_line("Nothing was done.");
        return Ok(Completion::Refused);
    }
    print_gitlab_settings(answers);
    final_check::run(host, answers)
}

/// Looks at all steps before the first is done, so that what cannot be done is refused while the host is as it was.
fn look(host: &Host, record: &Record, steps: &[Box<dyn Step>]) -> Result<Vec<StepState>, CommandError> {
    let mut states = Vec::new();
    for step in steps {
        let changed = states.contains(&StepState::Needed);
        states.push(step.state(Surroundings { host, changed }, record)?);
    }
    Ok(states)
}

fn show(steps: &[Box<dyn Step>], states: &[StepState], with_contents: bool) {
    print_line("The plan:");
    for (number, (step, state)) in steps.iter().zip(states).enumerate() {
        let note = match state {
            StepState::Needed => String::new(),
            StepState::Done => " (done already)".to_owned(),
            StepState::Skipped(reason) => format!(" (skipped: {reason})"),
        };
        print_line(&format!("{:3}. {}{note}", number + 1, step.describe()));
        if let Some(content) = step.preview().filter(|_| with_contents) {
            content.lines().for_each(|line| print_line(&format!("       | {line}")));
        }
    }
}

fn apply(host: &Host, record: &mut Record, steps: &[Box<dyn Step>]) -> Result<Applied, CommandError> {
    let (mut changed, mut all) = (false, Applied::Whole);
    for (number, step) in steps.iter().enumerate() {
        let around = Surroundings { host, changed };
        if step.state(around, record)? != StepState::Needed {
            continue;
        }
        let later: Vec<&str> = steps.iter().skip(number + 1).flat_map(|step| step.units()).copied().collect();
        if host.runs_systemd() && !later.is_empty() {
            record.set_restart_due(host, &later)?;
        }
        let applied = step.apply(around, record).map_err(|error| {
            let so_far =
                format!("what was done before is in {RECORD_FILE}: run setup again to go on, or `sidegate setup --remove` to undo it");
            CommandError(format!("{error}\n{so_far}"))
        })?;
        changed = true;
        match applied {
            Applied::Whole => print_line(&format!("done: {}", step.describe())),
            Applied::Left(what) => {
                print_line(&format!("LEFT: {}: {what}", step.describe()));
                all = Applied::Left(what);
            }
        }
    }
    Ok(all)
}

/// Prints what has to be written into gitlab-shell's configuration, so that it asks sidegate. With GitLab's packages that is generated from
/// `gitlab.rb`, so setup cannot.
fn print_gitlab_settings(answers: &Answers) {
    print_line("gitlab-shell has to ask sidegate now.");
    if let Source::Gitlab { url, .. } | Source::Mirror { url, .. } = &answers.source {
        print_line("With GitLab's packages write into /etc/gitlab/gitlab.rb, and run `gitlab-ctl reconfigure`:");
        omnibus::settings(url).lines().for_each(|line| print_line(&format!("    {line}")));
        print_line("With another gitlab-shell write into its config.yml:");
    } else {
        print_line("Write into its config.yml:");
    }
    shell_settings(answers).iter().for_each(|line| print_line(&format!("    {line}")));
}

/// Returns the lines of gitlab-shell's `config.yml`.
fn shell_settings(answers: &Answers) -> Vec<String> {
    let url = format!("gitlab_url: \"{}\"", omnibus::SIDECAR_URL);
    let folder = answers.login.as_ref().and_then(|login| shell_folder(&login.shell));
    let secret = folder.map(|folder| format!("secret_file: \"{}\"", folder.join(SHELL_SECRET_NAME).display()));
    [url].into_iter().chain(secret).collect()
}
