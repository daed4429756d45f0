//! `sidegate demo`: both acts come to their end, and say what they show.

use std::process::{Command, Stdio};

fn demo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sidegate")).arg("demo").args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Returns the answer on the line of a question, without the time that it took.
fn answer(text: &str, question: &str, which: usize) -> String {
    let line =
        text.lines().filter(|line| line.trim_start().starts_with(question)).nth(which).unwrap_or_else(|| panic!("{question}: {text}"));
    line.trim_start()[question.len()..].trim().rsplit_once("  (").unwrap().0.to_owned()
}

#[test]
fn with_a_primary_it_revokes_a_key_and_outlives_the_primary() {
    let text = demo(&["--once"]);
    assert!(text.contains("revoked on 1 of 1 hosts"), "{text}");
    for which in 0..2 {
        assert_eq!(answer(&text, "whose key is zoe's?", which), "key 1 of Zoe", "before and after the primary is killed");
    }
    assert!(answer(&text, "may zoe pull tools/gate?", 0).starts_with("yes: project-20"));
    assert!(answer(&text, "may ben, a reporter, push there?", 0).starts_with("no: "));
    assert!(text.contains("End of the demonstration"), "{text}");
}

#[test]
fn with_a_gitlab_it_keeps_answers_refuses_a_removed_key_and_outlives_a_gitlab_that_hangs() {
    let text = demo(&["--gitlab", "--once"]);
    assert_eq!(answer(&text, "whose key is zoe's? once more", 0), "key 1 of zoe");
    assert!(answer(&text, "may zoe pull tools/gate? once more", 0).starts_with("yes: project-20"));
    assert_eq!(answer(&text, "may ben, a reporter, push there?", 0), "no: You are not allowed to push code to this project.");
    assert!(text.contains("   refused  ("), "{text}");
    let hanging = text.split_once("5. GitLab hangs").unwrap().1;
    assert_eq!(answer(hanging, "whose key is zoe's?", 0), "key 1 of zoe");
    assert!(answer(hanging, "whose key is a stranger's?", 0).starts_with("The Git server's application did not answer"), "{text}");
}
