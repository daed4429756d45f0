//! Prints what `sidegate check` found, as text or JSON, and decides how the command ends.

use crate::cli::check::findings::{Finding, Findings, Level};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;

/// How the findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of them as text, and a verdict as the last line.
    Text,
    /// A JSON list of `{level, what, remedy}`.
    Json,
    /// Only what keeps the daemon from starting, as text, for the log of its start.
    Start,
}

/// Prints the findings. The command ends as the worst of them says: well, with warnings, broken. Before a start a warning counts nothing.
pub fn print(found: &Findings, form: Form) -> CommandResult {
    match form {
        Form::Text => {
            found.as_slice().iter().for_each(print_finding);
            print_line(&verdict(found));
        }
        Form::Json => print_line(&serde_json::to_string_pretty(found.as_slice()).map_err(CommandError::new)?),
        Form::Start => found.as_slice().iter().filter(|finding| finding.level != Level::Ok).for_each(print_finding),
    }
    Ok(completion(found, form))
}

fn completion(found: &Findings, form: Form) -> Completion {
    match (found.count(Level::Error), found.count(Level::Warning)) {
        (0, 0) => Completion::Complete,
        (0, _) if form == Form::Start => Completion::Complete,
        (0, _) => Completion::Degraded,
        _ => Completion::Broken,
    }
}

fn print_finding(finding: &Finding) {
    let name = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    };
    print_line(&format!("{name}: {}", one_line(&finding.what)));
    if let Some(remedy) = &finding.remedy {
        print_line(&format!("    what to do: {}", one_line(remedy)));
    }
}

/// Returns a text on one line: errors of other programs have several.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn verdict(found: &Findings) -> String {
    let counted = |count: usize, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let (errors, warnings) = (found.count(Level::Error), found.count(Level::Warning));
    match (errors, warnings) {
        (0, 0) => "check: all is well".to_owned(),
        (0, _) => format!("check: {}", counted(warnings, "warning")),
        _ => format!("check: broken, {} and {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, completion, one_line, verdict};
    use crate::cli::check::findings::Findings;
    use crate::cli::exit_status::Completion;

    #[test]
    fn the_worst_finding_decides_and_a_warning_keeps_nobody_from_starting() {
        let mut found = Findings::default();
        found.ok("fine");
        assert_eq!((completion(&found, Form::Text), verdict(&found).as_str()), (Completion::Complete, "check: all is well"));
        found.warn("odd", "look");
        assert_eq!((completion(&found, Form::Json), verdict(&found).as_str()), (Completion::Degraded, "check: 1 warning"));
        assert_eq!(completion(&found, Form::Start), Completion::Complete);
        found.fail("wrong", "mend it");
        found.warn("odd too", "look");
        for form in [Form::Text, Form::Json, Form::Start] {
            assert_eq!(completion(&found, form), Completion::Broken);
        }
        assert_eq!(verdict(&found), "check: broken, 1 error and 2 warnings");
    }

    #[test]
    fn a_text_of_several_lines_becomes_one() {
        assert_eq!(one_line("a\n  b\t c\r\n"), "a b c");
    }
}
