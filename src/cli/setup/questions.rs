//! Questions to the person at the terminal. Without a terminal nothing is asked: an answer that is missing is an error that names its flag.

use std::io::{self, BufRead, Write};

use crate::cli::exit_status::CommandError;

/// Where answers come from.
pub struct Questions {
    terminal: Option<Terminal>,
}

struct Terminal {
    input: Box<dyn BufRead>,
    output: Box<dyn Write>,
}

impl Questions {
    /// Asks at the terminal of this process, if it has one.
    #[must_use]
    pub fn of_terminal(has_terminal: bool) -> Self {
        let terminal = || Terminal { input: Box::new(io::BufReader::new(io::stdin())), output: Box::new(io::stdout()) };
        Self { terminal: has_terminal.then(terminal) }
    }

    /// Returns the flag's value, else what the person types, else, for an empty line, the proposal.
    pub fn ask(&mut self, flag: &str, given: Option<&str>, question: &str, proposal: Option<&str>) -> Result<String, CommandError> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        let Some(terminal) = &mut self.terminal else {
            return Err(CommandError(format!("{question} Say it with {flag}; without a terminal nothing is asked")));
        };
        loop {
            let shown = proposal.map_or_else(String::new, |proposal| format!(" [{proposal}]"));
            let answer = terminal.ask(&format!("{question}{shown} "))?;
            match (answer.as_str(), proposal) {
                ("", None) => {}
                ("", Some(proposal)) => return Ok(proposal.to_owned()),
                _ => return Ok(answer),
            }
        }
    }

    /// Asks for a yes or a no. Without a terminal it is the error that names the flags.
    pub fn confirm(&mut self, flags: &str, question: &str) -> Result<bool, CommandError> {
        let Some(terminal) = &mut self.terminal else {
            return Err(CommandError(format!("{question} Say {flags}; without a terminal nothing is asked")));
        };
        Ok(matches!(terminal.ask(&format!("{question} [y/N] "))?.as_str(), "y" | "Y" | "yes"))
    }
}

impl Terminal {
    fn ask(&mut self, prompt: &str) -> Result<String, CommandError> {
        let mut line = String::new();
        let read = write!(self.output, "{prompt}").and_then(|()| self.output.flush()).and_then(|()| self.input.read_line(&mut line));
        match read {
            Ok(0) => Err(CommandError("the terminal was closed before an answer; nothing was done".to_owned())),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(CommandError::with_context("the terminal", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};

    use super::{Questions, Terminal};

    fn typed(text: &'static str) -> Questions {
        Questions { terminal: Some(Terminal { input: Box::new(Cursor::new(text)), output: Box::new(io::sink()) }) }
    }

    #[test]
    fn a_flag_comes_first_then_what_is_typed_then_the_proposal() {
        let mut questions = typed("\ngitlab\n\n\nlast\n");
        assert_eq!(questions.ask("--x", Some("flag"), "X?", None).unwrap(), "flag");
        assert_eq!(questions.ask("--x", None, "X?", Some("git")).unwrap(), "git");
        assert_eq!(questions.ask("--x", None, "X?", Some("git")).unwrap(), "gitlab");
        assert_eq!(questions.ask("--x", None, "X?", None).unwrap(), "last", "an empty line is no answer");
        assert!(questions.ask("--x", None, "X?", None).unwrap_err().to_string().contains("closed"));
    }

    #[test]
    fn without_a_terminal_the_flag_is_named() {
        let mut questions = Questions::of_terminal(false);
        let error = questions.ask("--shell PATH", None, "Which gitlab-shell?", Some("/x")).unwrap_err().to_string();
        assert!(error.starts_with("Which gitlab-shell? Say it with --shell PATH;"), "{error}");
        assert!(questions.confirm("--yes", "Do this?").unwrap_err().to_string().contains("Say --yes;"));
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (text, yes) in [("y\n", true), ("yes\n", true), ("\n", false), ("n\n", false), ("yess\n", false)] {
            assert_eq!(typed(text).confirm("--yes", "Do this?").unwrap(), yes, "{text:?}");
        }
    }
}
