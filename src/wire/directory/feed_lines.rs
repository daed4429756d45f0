//! The lines of the feed: commits and heartbeats of `changes`, the lines of a snapshot, the ack.
//!
//! A record is copied byte by byte, never encoded again, so that reader and writer compute the same digest. Outside of the
//! records unknown fields are ignored, so that a newer primary may add some; a change that is neither a put nor a delete is
//! refused.

use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::change::{Change, Commit, Epoch};
use crate::model::clock_reading::ClockReading;
use crate::model::digest::{Digest, DirectoryDigest};
use crate::model::entry::Entry;
use crate::model::record_identity::RecordIdentity;

/// The number of the snapshot's format.
pub const SNAPSHOT_FORMAT: u32 = 1;
/// The longest line of the feed, in bytes: a commit of 4 MiB with what surrounds its records.
pub const MAX_FEED_LINE_BYTES: usize = 5 << 20;

/// The longest name of an instance, in bytes.
const MAX_INSTANCE_BYTES: usize = 64;
/// What an instance has to look like.
pub const INSTANCE_FORM: &str = "instance is 1 to 64 printable characters";

/// Returns whether this may be the random id of a host's store.
#[must_use]
pub fn is_valid_instance(instance: &str) -> bool {
    (1..=MAX_INSTANCE_BYTES).contains(&instance.len()) && instance.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct SnapshotHeader {
    pub format: u32,
    pub epoch: Epoch,
    pub from_seq: u64,
    /// How many bytes follow this line, line feeds included. Primaries of before 2026-11-28 do not say it.
    pub bytes: Option<u64>,
    /// The kinds of records that are published here, where these are not all: a mirror of a GitLab has users and keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<Vec<String>>,
}

/// The last line of a snapshot. It carries no clock: a snapshot may be minutes old when it is sent, and nothing is dated by it. What was
/// loaded serves once a line of `changes`, which has a clock, has found it equal to the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct SnapshotEnd {
    pub seq: u64,
    pub state: DirectoryDigest,
    pub accept_loss: bool,
}

/// One line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each line is described at its type")]
pub enum SnapshotLine {
    Header(SnapshotHeader),
    Record(Entry),
    Commit(Commit),
    End(SnapshotEnd),
}

/// One line of `changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedLine {
    /// A commit.
    Commit(Commit),
    /// Nothing new: the primary's head.
    Heartbeat {
        /// The head.
        seq: u64,
        /// What it adds up to.
        state: DirectoryDigest,
    },
}

/// A follower's acknowledgement: the change is effective in its answers and flushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct Ack {
    pub epoch: Epoch,
    pub seq: u64,
    pub digest: Digest,
    /// How old, in seconds, the data may be that the follower answers from while the primary fails: the largest of the bounds of all
    /// classes, rounded up. Followers of before 2026-11-27 say the bound of keys only.
    pub max_stale: u64,
    pub instance: String,
}

/// Why a line of the feed is refused; names what was wrong, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedLineError(pub String);

/// Encodes a commit, without a line feed.
#[must_use]
pub fn encode_commit(commit: &Commit) -> String {
    let mut line = encode_state_prefix(commit.seq, commit.state);
    line.push_str(r#","changes":["#);
    for (index, change) in commit.changes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = match change {
            Change::Put(entry) => write!(line, r#"{comma}{{"put":{}}}"#, entry.text()),
            Change::Delete(identity) => write!(line, r#"{comma}{{"delete":{identity}}}"#),
        };
    }
    line.push_str("]}");
    line
}

/// Encodes a heartbeat, without a line feed.
#[must_use]
pub fn encode_heartbeat(seq: u64, state: DirectoryDigest) -> String {
    encode_state_prefix(seq, state) + "}"
}

fn encode_state_prefix(seq: u64, state: DirectoryDigest) -> String {
    format!(r#"{{"seq":{seq},"digest":"{}","count":{}"#, state.digest, state.count)
}

/// Encodes the first line of a snapshot.
#[must_use]
pub fn encode_snapshot_header(head: &SnapshotHeader) -> String {
    let bytes = head.bytes.map(|bytes| format!(r#","bytes":{bytes}"#)).unwrap_or_default();
    let covers = head.covers.as_ref().map(|kinds| format!(r#","covers":{}"#, serde_json::json!(kinds))).unwrap_or_default();
    format!(r#"{{"format":{},"epoch":"{}","from_seq":{}{bytes}{covers}}}"#, head.format, head.epoch, head.from_seq)
}

/// Encodes the last line of a snapshot.
#[must_use]
pub fn encode_snapshot_end(end: &SnapshotEnd) -> String {
    let SnapshotEnd { seq, state, accept_loss } = end;
    format!(r#"{{"end":true,"seq":{seq},"digest":"{}","count":{},"accept_loss":{accept_loss}}}"#, state.digest, state.count)
}

/// Returns a line (without its line feed) with the primary's clock added to it. A reader that does not know the field passes over it.
#[must_use]
pub fn with_clock(line: &str, clock: &ClockReading) -> String {
    let ClockReading { boot_id, boot_time, wall_time } = clock;
    let (boot_ms, wall_ms) = (boot_time.0.as_millis(), wall_time.milliseconds());
    let open = line.strip_suffix('}').unwrap_or(line);
    format!(r#"{open},"clock":{{"boot_id":"{boot_id}","boot_ms":{boot_ms},"wall_ms":{wall_ms}}}}}"#)
}

/// Parses a line of `changes`.
pub fn parse_feed_line(line: &str) -> Result<FeedLine, FeedLineError> {
    parse_dated_line(line).map(|(line, _clock)| line)
}

/// Parses a line of `changes` and the primary's clock in it; `None` if the line carries none.
pub fn parse_dated_line(line: &str) -> Result<(FeedLine, Option<ClockReading>), FeedLineError> {
    let raw: RawFeedLine<'_> = serde_json::from_str(line).map_err(|error| redacted_error("a line of the feed", &error))?;
    let seq = required_field("seq", raw.seq)?;
    let state = raw.state()?;
    match raw.changes {
        Some(changes) => Ok((FeedLine::Commit(Commit { seq, state, changes: parse_changes(changes)? }), raw.clock)),
        None => Ok((FeedLine::Heartbeat { seq, state }, raw.clock)),
    }
}

/// Parses a line of a snapshot.
pub fn parse_snapshot_line(line: &str) -> Result<SnapshotLine, FeedLineError> {
    // Nearly all lines are records in their canonical form; they are read once.
    if line.starts_with(r#"{"kind":"#) {
        return parse_record(line).map(SnapshotLine::Record);
    }
    let raw: RawFeedLine<'_> = serde_json::from_str(line).map_err(|error| redacted_error("a line of the snapshot", &error))?;
    match raw {
        RawFeedLine { kind: Some(_), .. } => parse_record(line).map(SnapshotLine::Record),
        RawFeedLine { format: Some(format), .. } if format != SNAPSHOT_FORMAT => Err(FeedLineError(format!(
            "the snapshot has format {format}; this program reads format {SNAPSHOT_FORMAT}: install the version that the primary has"
        ))),
        RawFeedLine { format: Some(format), epoch, from_seq, bytes, covers, .. } => Ok(SnapshotLine::Header(SnapshotHeader {
            format,
            epoch: required_field("epoch", epoch)?,
            from_seq: required_field("from_seq", from_seq)?,
            bytes,
            covers,
        })),
        RawFeedLine { end: Some(true), seq, accept_loss, .. } => Ok(SnapshotLine::End(SnapshotEnd {
            seq: required_field("seq", seq)?,
            state: raw.state()?,
            accept_loss: required_field("accept_loss", accept_loss)?,
        })),
        RawFeedLine { changes: Some(_), .. } => match parse_feed_line(line)? {
            FeedLine::Commit(commit) => Ok(SnapshotLine::Commit(commit)),
            FeedLine::Heartbeat { .. } => Err(FeedLineError("a heartbeat within a snapshot".to_owned())),
        },
        _ => Err(FeedLineError("a line of the snapshot that is neither head, record, commit nor end".to_owned())),
    }
}

/// The fields of any line.
#[derive(Deserialize)]
struct RawFeedLine<'a> {
    kind: Option<IgnoredAny>,
    format: Option<u32>,
    epoch: Option<Epoch>,
    from_seq: Option<u64>,
    bytes: Option<u64>,
    covers: Option<Vec<String>>,
    seq: Option<u64>,
    digest: Option<Digest>,
    count: Option<u64>,
    #[serde(borrow)]
    changes: Option<Vec<RawChange<'a>>>,
    end: Option<bool>,
    clock: Option<ClockReading>,
    accept_loss: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawChange<'a> {
    #[serde(borrow)]
    Put(&'a RawValue),
    #[serde(borrow)]
    Delete(&'a RawValue),
}

impl RawFeedLine<'_> {
    fn state(&self) -> Result<DirectoryDigest, FeedLineError> {
        Ok(DirectoryDigest { digest: required_field("digest", self.digest)?, count: required_field("count", self.count)? })
    }
}

fn required_field<T>(field: &str, value: Option<T>) -> Result<T, FeedLineError> {
    value.ok_or_else(|| FeedLineError(format!("missing field `{field}`")))
}

fn parse_changes(changes: Vec<RawChange<'_>>) -> Result<Vec<Change>, FeedLineError> {
    let read = |change| match change {
        RawChange::Put(record) => parse_record(record.get()).map(Change::Put),
        RawChange::Delete(name) => {
            RecordIdentity::parse(name.get()).map(Change::Delete).map_err(|error| redacted_error("a delete", &error))
        }
    };
    changes.into_iter().map(read).collect()
}

fn parse_record(text: &str) -> Result<Entry, FeedLineError> {
    Entry::parse(text).map_err(|error| redacted_error("a record", &error))
}

/// Returns what was wrong, without the text of the value, which may be a token.
fn redacted_error(what: &str, error: &dyn std::fmt::Display) -> FeedLineError {
    let reason = error.to_string();
    let redacted = match (reason.find("string \""), reason.rfind('"')) {
        (Some(start), Some(end)) if end > start + 7 => format!("{}string{}", &reason[..start], &reason[end + 1..]),
        _ => reason,
    };
    FeedLineError(format!("{what} is not understood: {redacted}"))
}

#[cfg(test)]
mod tests {
    use crate::model::clock_reading::ClockReading;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Ack, FeedLine, SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader, SnapshotLine, parse_dated_line, with_clock};
    use super::{encode_commit, encode_heartbeat, encode_snapshot_end, encode_snapshot_header, parse_feed_line, parse_snapshot_line};
    use crate::model::change::{Change, Commit, Epoch};
    use crate::model::digest::{Digest, DirectoryDigest};
    use crate::model::entry::Entry;
    use crate::model::record_identity::RecordIdentity;
    use crate::model::record_strategy;

    fn any_commit() -> impl Strategy<Value = Commit> {
        let entry = record_strategy::record().prop_map(|record| Entry::from_record(record).unwrap());
        let change = (entry, any::<bool>())
            .prop_map(|(entry, put)| if put { Change::Put(entry) } else { Change::Delete(RecordIdentity::from_entry(&entry)) });
        (1..u64::MAX, any::<[u8; 32]>(), any::<u64>(), vec(change, 0..6)).prop_map(|(seq, digest, count, changes)| Commit {
            seq,
            state: DirectoryDigest { digest: Digest::from_bytes(&digest), count },
            changes,
        })
    }

    #[test]
    fn a_clock_is_read_from_a_line_and_older_readers_pass_over_it() {
        let clock: ClockReading = "5f4dcc3b-5aa7-65d6 123456 1767225600000".parse().unwrap();
        let plain = encode_heartbeat(7, DirectoryDigest::default());
        let line = with_clock(&plain, &clock);
        assert_eq!(parse_dated_line(&line).map(|(_, clock)| clock), Ok(Some(clock)));
        assert_eq!(parse_dated_line(&plain).map(|(_, clock)| clock), Ok(None));
        assert_eq!(parse_feed_line(&line), parse_feed_line(&plain));
        assert!(parse_dated_line(r#"{"seq":1,"clock":{"boot_id":"x"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_commit_is_parsed_as_it_was_encoded(commit in any_commit()) {
            let line = encode_commit(&commit);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(parse_feed_line(&line), Ok(FeedLine::Commit(commit.clone())));
            prop_assert_eq!(parse_snapshot_line(&line), Ok(SnapshotLine::Commit(commit)));
        }

        #[test]
        fn a_snapshot_is_parsed_as_it_was_encoded(record in record_strategy::record(), epoch: u128, from_seq: u64, bytes: Option<u64>, covers in proptest::option::of(vec("[a-z_]{1,9}", 0..4)), accept_loss: bool) {
            let entry = Entry::from_record(record).unwrap();
            prop_assert_eq!(parse_snapshot_line(entry.text()), Ok(SnapshotLine::Record(entry.clone())));
            let head = SnapshotHeader { format: SNAPSHOT_FORMAT, epoch: Epoch(epoch), from_seq, bytes, covers };
            prop_assert_eq!(parse_snapshot_line(&encode_snapshot_header(&head)), Ok(SnapshotLine::Header(head)));
            let end = SnapshotEnd { seq: from_seq, state: DirectoryDigest::default().with_record(entry.text().as_bytes()), accept_loss };
            prop_assert_eq!(parse_snapshot_line(&encode_snapshot_end(&end)), Ok(SnapshotLine::End(end)));
        }

        #[test]
        fn a_truncated_line_is_never_accepted(commit in any_commit(), cut: prop::sample::Index) {
            let line = encode_commit(&commit);
            let mut cut = cut.index(line.len());
            while !line.is_char_boundary(cut) {
                cut -= 1;
            }
            prop_assert!(parse_feed_line(&line[..cut]).is_err());
        }

        #[test]
        fn what_puts_and_deletes_add_up_to_does_not_depend_on_their_order(records in vec(record_strategy::record(), 1..6), gone: prop::sample::Index) {
            let texts: Vec<String> = records.iter().map(|record| record.canonical().unwrap()).collect();
            let gone = &texts[gone.index(texts.len())];
            let all = |texts: &mut dyn Iterator<Item = &String>| texts.fold(DirectoryDigest::default(), |state, text| state.with_record(text.as_bytes()));
            let forward = all(&mut texts.iter());
            prop_assert_eq!(forward, all(&mut texts.iter().rev()));
            prop_assert_eq!(forward.without_record(gone.as_bytes()).with_record(gone.as_bytes()), forward);
        }
    }

    const USER: &str = r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë"}"#;
    const ROBOT: &str = r#"{"kind":"robot","id":7,"arms":{"left":1.50}}"#;

    fn state() -> DirectoryDigest {
        DirectoryDigest { digest: Digest::of(b"x"), count: 2 }
    }

    #[test]
    fn a_commit_lists_its_changes_with_each_record_byte_by_byte() {
        let changes = vec![
            Change::Delete(RecordIdentity::Key("5".parse().unwrap())),
            Change::Put(Entry::parse(USER).unwrap()),
            Change::Put(Entry::parse(ROBOT).unwrap()),
        ];
        let commit = Commit { seq: 9, state: state(), changes };
        let line = encode_commit(&commit);
        let digest = state().digest;
        let expected = format!(
            r#"{{"seq":9,"digest":"{digest}","count":2,"changes":[{{"delete":{{"kind":"key","id":5}}}},{{"put":{USER}}},{{"put":{ROBOT}}}]}}"#
        );
        assert_eq!(line, expected);
        assert_eq!(parse_feed_line(&line), Ok(FeedLine::Commit(commit.clone())));
        assert_eq!(parse_snapshot_line(&line), Ok(SnapshotLine::Commit(commit)));
    }

    #[test]
    fn a_heartbeat_has_the_primarys_head() {
        let line = encode_heartbeat(9, state());
        assert_eq!(line, format!(r#"{{"seq":9,"digest":"{}","count":2}}"#, state().digest));
        assert_eq!(parse_feed_line(&line), Ok(FeedLine::Heartbeat { seq: 9, state: state() }));
    }

    #[test]
    fn a_snapshot_has_a_header_records_and_an_end() {
        let head = SnapshotHeader { format: SNAPSHOT_FORMAT, epoch: Epoch(1), from_seq: 3, bytes: None, covers: None };
        let end = SnapshotEnd { seq: 9, state: state(), accept_loss: true };
        let digest = state().digest;
        assert_eq!(encode_snapshot_header(&head), r#"{"format":1,"epoch":"00000000000000000000000000000001","from_seq":3}"#);
        assert_eq!(encode_snapshot_end(&end), format!(r#"{{"end":true,"seq":9,"digest":"{digest}","count":2,"accept_loss":true}}"#));
        assert_eq!(parse_snapshot_line(&encode_snapshot_header(&head)), Ok(SnapshotLine::Header(head)));
        assert_eq!(parse_snapshot_line(&encode_snapshot_end(&end)), Ok(SnapshotLine::End(end)));
        for record in [USER, ROBOT, r#"{"id":7,"kind":"robot"}"#] {
            assert_eq!(parse_snapshot_line(record), Ok(SnapshotLine::Record(Entry::parse(record).unwrap())));
        }
    }

    #[test]
    fn an_additional_field_outside_of_the_records_is_ignored() {
        let line = encode_heartbeat(9, state()).replacen('{', r#"{"at":"2030-01-01T00:00:00Z","#, 1);
        assert_eq!(parse_feed_line(&line), Ok(FeedLine::Heartbeat { seq: 9, state: state() }));
    }

    #[test]
    fn an_invalid_line_is_refused_with_the_reason() {
        let digest = state().digest;
        for (line, named) in [
            (format!(r#"{{"seq":9,"digest":"{digest}"}}"#), "missing field `count`"),
            (format!(r#"{{"seq":9,"seq":9,"digest":"{digest}","count":1}}"#), "duplicate field `seq`"),
            (format!(r#"{{"seq":-1,"digest":"{digest}","count":1}}"#), "invalid value"),
            (format!(r#"{{"seq":9,"digest":"{digest}","count":1,"changes":[{{"patch":{{}}}}]}}"#), "unknown variant `patch`"),
            (format!(r#"{{"seq":9,"digest":"{digest}","count":1,"changes":[{{}}]}}"#), "not understood"),
            (
                format!(r#"{{"seq":9,"digest":"{digest}","count":1,"changes":[{{"put":{USER},"delete":{{"kind":"key","id":1}}}}]}}"#),
                "not understood",
            ),
            (format!(r#"{{"seq":9,"digest":"{digest}","count":1,"changes":[{{"delete":{USER}}}]}}"#), "a delete is not understood"),
            (format!(r#"{{"seq":9,"digest":"{digest}","count":1,"chan"#), "not understood"),
            (String::new(), "not understood"),
        ] {
            let message = parse_feed_line(&line).unwrap_err().0;
            assert!(message.contains(named), "{line}: {message}");
        }
        let next = r#"{"format":2,"epoch":"00000000000000000000000000000001","from_seq":3}"#;
        assert!(parse_snapshot_line(next).unwrap_err().0.contains("reads format 1"));
        assert!(parse_snapshot_line(&encode_heartbeat(9, state())).is_err());
        assert!(
            parse_snapshot_line(
                &encode_snapshot_end(&SnapshotEnd { seq: 1, state: state(), accept_loss: true }).replace("true,\"seq", "false,\"seq")
            )
            .is_err()
        );
    }

    #[test]
    fn an_error_does_not_repeat_what_may_be_a_token() {
        for line in [
            r#"{"kind":"storage","name":"a","address":"b","token":"t","features":"glpat-\"secret\""}"#,
            r#"{"kind":"user","id":"glpat-secret","username":"a","name":"b"}"#,
        ] {
            let message = parse_snapshot_line(line).unwrap_err().0;
            assert!(message.contains("expected") && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_ack_is_read_back() {
        let ack = Ack { epoch: Epoch(1), seq: 3, digest: state().digest, max_stale: 86_400, instance: "i".to_owned() };
        assert_eq!(serde_json::from_str::<Ack>(&serde_json::to_string(&ack).unwrap()).unwrap(), ack);
    }
}
