//! `sidegate admin show` and `list`: records as a person reads them, or as JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::cli::admin::revocations::format_revocation;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT, TRANSFER_TIMEOUT};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::wire::http::params::encode_form;

/// The fields that a line of a list begins with, without their names.
const LEADING_FIELDS: [&str; 4] = ["id", "username", "path", "fingerprint"];
/// The fields that a line of a list leaves out: its kind is known, and a key has its fingerprint.
const LEFT_OUT_FIELDS: [&str; 2] = ["kind", "key"];

/// Shows the record with this id or name; fails if there is none.
pub fn show(client: &AdminClient, kind: &str, which: Option<&str>, json: bool) -> CommandResult {
    let query = [("kind", kind)].into_iter().chain(which.map(|which| ("which", which)));
    let records = fetch(client, query)?;
    if records.is_empty() {
        return Err(CommandError(match which {
            Some(which) => format!("no record of this kind ({kind}) has the id, name, path or fingerprint `{which}`"),
            None => format!("there is no record of this kind ({kind})"),
        }));
    }
    if records.len() > 1 && which.is_none() {
        return Err(CommandError(format!("there are {} records of this kind ({kind}); say which, or use `list`", records.len())));
    }
    for record in &records {
        if json {
            print_line(&format!("{:#}", Value::Object(record.clone())));
            continue;
        }
        for (field, value) in record {
            print_line(&format!("{field}: {}", field_text(value)));
        }
        if record["kind"] == "user" {
            show_user(client, record)?;
        }
    }
    Ok(Completion::Complete)
}

/// Shows what else there is of a user: the keys, and whether files are held against the account.
fn show_user(client: &AdminClient, user: &Map<String, Value>) -> Result<(), CommandError> {
    let id = field_text(&user["id"]);
    for key in fetch(client, [("kind", "key"), ("user_id", &id)])? {
        print_line(&format!("key: {}", format_record(&key)));
    }
    // A mirror has none, and says so.
    let Some(revocations) = client.get_if_known("/-/admin/revocations", REQUEST_TIMEOUT)? else { return Ok(()) };
    for revocation in revocations["revocations"].as_array().into_iter().flatten() {
        if revocation["kind"] == "user" && revocation["id"] == user["id"] {
            print_line(&format!("held against files: {}", format_revocation(revocation)));
        }
    }
    Ok(())
}

/// Lists all records of a kind.
pub fn list(client: &AdminClient, kind: &str, json: bool) -> CommandResult {
    let mut printer = RecordPrinter { out: io::BufWriter::new(io::stdout().lock()), line: Vec::new(), count: 0, json };
    client.copy_to(&target([("kind", kind)]), TRANSFER_TIMEOUT, &mut printer)?;
    printer.finish().map_err(CommandError::new)?;
    Ok(Completion::Complete)
}

fn target<'a>(query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    format!("/-/admin/records?{}", encode_form(query))
}

fn fetch<'a>(client: &AdminClient, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<Map<String, Value>>, CommandError> {
    let mut lines = Vec::new();
    client.copy_to(&target(query), TRANSFER_TIMEOUT, &mut lines)?;
    let records = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    records.map(|line| serde_json::from_slice(line).map_err(CommandError::new)).collect()
}

/// Returns a record in one line: what it is called, then its other fields.
fn format_record(record: &Map<String, Value>) -> String {
    let leading = LEADING_FIELDS.iter().filter_map(|field| record.get(*field)).map(field_text);
    let is_other = |field: &str| !LEADING_FIELDS.contains(&field) && !LEFT_OUT_FIELDS.contains(&field);
    let others = record.iter().filter(|(field, _)| is_other(field)).map(|(field, value)| format!("{field}={}", field_text(value)));
    leading.chain(others).collect::<Vec<_>>().join("\t")
}

/// Prints the records of a stream while it arrives.
struct RecordPrinter<W> {
    out: W,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    count: u64,
    json: bool,
}

impl<W: Write> RecordPrinter<W> {
    fn print_record(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.count += 1;
        if self.json {
            self.out.write_all(if self.count == 1 { b"[\n" } else { b",\n" })?;
            return self.out.write_all(&line);
        }
        let record: Map<String, Value> = serde_json::from_slice(&line)?;
        writeln!(self.out, "{}", format_record(&record))
    }

    fn finish(mut self) -> io::Result<()> {
        match (self.json, self.count) {
            (true, 0) => self.out.write_all(b"[]\n")?,
            (true, _) => self.out.write_all(b"\n]\n")?,
            (false, _) => {}
        }
        self.out.flush()
    }
}

impl<W: Write> Write for RecordPrinter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.line.extend_from_slice(&bytes[..end]);
                self.print_record()?;
                Ok(end + 1)
            }
            None => {
                self.line.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use serde_json::{Value, json};

    use super::{RecordPrinter, show};
    use crate::cli::admin_client::AdminClient;

    /// Shows a user at a daemon that answers a question for revocations with this status.
    fn show_user_with(status: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = [("200 OK", r#"{"kind":"user","id":1,"username":"zoe"}"#), ("200 OK", ""), (status, r#"{"message":"what it says"}"#)]
            .map(|(status, body)| format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        let daemon = thread::spawn(move || {
            for answer in answers {
                let (mut connection, _) = listener.accept().unwrap();
                let request = BufReader::new(connection.try_clone().unwrap());
                request.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        let shown = show(&AdminClient::new(&socket).unwrap(), "user", Some("zoe"), false);
        daemon.join().unwrap();
        shown.is_ok()
    }

    #[test]
    fn only_a_daemon_that_has_no_revocations_is_not_asked_for_them() {
        assert!(show_user_with("404 Not Found"), "a mirror");
        for status in ["500 Internal Server Error", "424 Failed Dependency", "403 Forbidden"] {
            assert!(!show_user_with(status), "{status}");
        }
    }

    fn print(lines: &str, json: bool, piece: usize) -> String {
        let mut out = Vec::new();
        let mut printer = RecordPrinter { out: &mut out, line: Vec::new(), count: 0, json };
        lines.as_bytes().chunks(piece).for_each(|piece| printer.write_all(piece).unwrap());
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_has_a_line_or_an_element_for_each_record_however_it_arrives() {
        let lines = concat!(
            r#"{"kind":"user","id":1,"username":"zoe","name":"Zoë","state":"active"}"#,
            "\n",
            r#"{"kind":"key","id":11,"user_id":1,"key":"ssh-ed25519 AAAA","fingerprint":"SHA256:x"}"#,
            "\n"
        );
        for piece in [1, 7, 1000] {
            assert_eq!(print(lines, false, piece), "1\tzoe\tname=Zoë\tstate=active\n11\tSHA256:x\tuser_id=1\n");
            let array: Value = serde_json::from_str(&print(lines, true, piece)).unwrap();
            assert_eq!((array.as_array().unwrap().len(), &array[1]["id"]), (2, &json!(11)));
        }
        assert_eq!((print("", false, 1).as_str(), print("", true, 1).as_str()), ("", "[]\n"));
    }
}
