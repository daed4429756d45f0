//! `sidegate warm`: gives a host in front of a GitLab the keys and users of a file, so that it is useful in an outage from its first minute.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cli::admin::upload::stream_file;
use crate::cli::admin_client::AdminClient;
use crate::cli::arguments::WarmArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::model::clock;
use crate::model::time::Time;

/// How long reading a large file may take.
const WARM_TIMEOUT: Duration = Duration::from_secs(1800);

/// Sends the file, and prints what became of its lines. Not all of it is done if a line was refused, or an answer had no room.
pub fn run(arguments: &WarmArgs) -> CommandResult {
    let client = AdminClient::new(&arguments.sidecar.socket)?;
    let name = arguments.file.display().to_string();
    let (source, modified_at) = open(&arguments.file).map_err(|error| CommandError::with_context(&name, error))?;
    let age = file_age(arguments.age, modified_at, clock::wall_time()).map_err(|error| CommandError::with_context(&name, error))?;
    let summary = client.post(&format!("/-/admin/warm?age_seconds={}", round_up(age)), stream_file(source), WARM_TIMEOUT);
    let summary = summary.map_err(|error| CommandError::with_context(&name, error))?;
    if arguments.sidecar.json {
        print_line(&summary.to_string());
    } else {
        print_summary(&summary);
    }
    let is_complete = summary["lines"]["refused"] == 0 && summary["answers"]["no_room"] == 0;
    Ok(if is_complete { Completion::Complete } else { Completion::Partial })
}

/// Opens the file, or standard input as `-`; returns also when it was modified last.
fn open(file: &Path) -> io::Result<(Box<dyn Read + Send>, Option<Time>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(file)?;
    let modified_at = file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let modified_at = i64::try_from(modified_at.as_millis()).ok().and_then(Time::from_milliseconds);
    Ok((Box::new(file), modified_at))
}

/// Returns how old what a file says is: as stated, else as the file itself is.
fn file_age(stated: Option<Duration>, modified_at: Option<Time>, now: Time) -> Result<Duration, &'static str> {
    match (stated, modified_at) {
        (Some(age), _) => Ok(age),
        (None, None) => Err("it has no time of its own: say how old it is, as `--age 2h`"),
        (None, Some(modified_at)) if modified_at > now => {
            Err("it is from the future, as this host's clock says: say how old it is, as `--age 2h`")
        }
        (None, Some(modified_at)) => Ok(now.since(modified_at)),
    }
}

/// Returns whole seconds: an age is never made smaller.
fn round_up(age: Duration) -> u64 {
    age.as_secs() + u64::from(age.subsec_nanos() > 0)
}

fn print_summary(summary: &Value) {
    for line in summary["named"].as_array().into_iter().flatten() {
        print_line(&format!("line {}: {}", line["line"], field_text(&line["reason"])));
    }
    if summary["named_all"] == false {
        print_line("more lines were not taken than are named here; the counts are of all");
    }
    print_line(&field_text(&summary["message"]));
    print_line(&use_text(summary));
}

/// Returns when the answers are given: in shadow mode not before a switch.
fn use_text(summary: &Value) -> String {
    let given = match summary["shadow"].as_bool() {
        Some(true) => {
            "in shadow mode they are not given; after a switch the primary is asked first, and they are given while it fails or is slow"
        }
        _ => "the primary is asked first, and they are given while it fails or is slow",
    };
    format!("the answers count as {} s old and stale: {given}", summary["age_seconds"])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{file_age, round_up, use_text};
    use crate::model::time::Time;

    #[test]
    fn a_file_is_as_old_as_stated_or_as_its_last_change_and_never_from_the_future() {
        let at = |seconds: i64| Time::from_milliseconds(seconds * 1000).unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(file_age(Some(hour), Some(at(99)), at(100)), Ok(hour));
        assert_eq!(file_age(None, Some(at(90)), at(100)), Ok(Duration::from_secs(10)));
        assert!(file_age(None, Some(at(101)), at(100)).unwrap_err().contains("future"));
        assert!(file_age(None, None, at(100)).unwrap_err().contains("--age"));
    }

    #[test]
    fn in_shadow_mode_no_answer_of_a_file_is_promised() {
        let text = |shadow: bool| use_text(&json!({"age_seconds": 60, "shadow": shadow}));
        assert_eq!(
            text(false),
            "the answers count as 60 s old and stale: the primary is asked first, and they are given while it fails or is slow"
        );
        assert!(text(true).starts_with("the answers count as 60 s old and stale: in shadow mode they are not given; after a switch"));
    }

    #[test]
    fn an_age_is_never_made_smaller() {
        assert_eq!([0, 1, 1000, 1001].map(|milliseconds| round_up(Duration::from_millis(milliseconds))), [0, 1, 1, 2]);
    }
}
