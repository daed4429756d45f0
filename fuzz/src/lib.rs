//! What each fuzz target does with its bytes: read them as whoever sends them might, and hold what must hold of all that is
//! read. `cargo +nightly fuzz run <name>` feeds them; `tests/corpus.rs` feeds them what was once found, with any compiler.

use std::time::Duration;

use sidegate::model::change::Identity;
use sidegate::model::entry::Entry;
use sidegate::model::key::{PublicKey, decode_blob};
use sidegate::model::time::Time;
use sidegate::wire::feed::{self, FeedLine, SnapshotLine};
use sidegate::wire::params::{Params, encode};
use sidegate::wire::path::Target;
use sidegate::wire::percent::{Plus, decode};
use sidegate::wire::record_lines::{Filed, RecordLines};
use sidegate::wire::secret::{Secret, Secrets};
use sidegate::wire::token::{Issuer, verify};

/// One target, by its name.
pub type Feed = fn(&[u8]);

/// All targets, each with the name of its corpus.
pub const TARGETS: [(&str, Feed); 7] = [
    ("params", params),
    ("path", path),
    ("token", token),
    ("feed_line", feed_line),
    ("snapshot_line", snapshot_line),
    ("directory", directory),
    ("key_blob", key_blob),
];

/// A first line of the query, the rest the body: as JSON and as a form. Whatever is read answers each question without falling over.
pub fn params(bytes: &[u8]) {
    let (query, body) =
        bytes.iter().position(|byte| *byte == b'\n').map_or((bytes, [].as_slice()), |end| (&bytes[..end], &bytes[end + 1..]));
    let Ok(query) = std::str::from_utf8(query) else { return };
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let Ok(params) = Params::read(&http::Method::POST, Some(query), Some(content_type), body) else { continue };
        for name in params.values.keys() {
            let _ = (params.id(name), params.integer(name), params.boolean(name), params.date(name));
            let _ = (params.texts(name), params.objects(name), params.object(name));
            let Ok(Some(text)) = params.text(name) else { continue };
            if !name.contains(['[', ']']) {
                let again = Params::read(&http::Method::GET, Some(&encode([(name.as_str(), text.as_str())])), None, b"");
                assert_eq!(again.map(|again| again.text(name)), Ok(Ok(Some(text))), "what is written anew says something else");
            }
        }
    }
}

/// A request's target: what passes climbs nowhere, however often it is decoded.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(target) = Target::parse(text) else { return };
    assert!(target.segments().iter().all(|segment| segment.split('/').all(|part| !matches!(part, "" | "." | ".."))));
    let mut path = target.path().to_owned();
    for _ in 0..3 {
        assert!(path.split(['/', '\\']).skip(1).all(|part| part != "." && part != ".."), "{path}");
        let Ok(further) = decode(&path, Plus::Itself) else { return };
        path = further.into_owned();
    }
}

/// A token: none that was not signed is believed.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(secret) = Secret::of(b"a secret that no corpus holds, 8d1c6f0e") else { return };
    let secrets = Secrets::one(secret);
    let now = Time::EPOCH.plus(Duration::from_secs(1_700_000_000));
    for issuer in [Issuer::Shell, Issuer::Sync, Issuer::Kas] {
        assert!(verify(text, issuer, &secrets, now).is_err());
    }
}

/// A line of `changes`: what is read is printed so that it is read again.
pub fn feed_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(line) = feed::read_line(text) else { return };
    let printed = match &line {
        FeedLine::Commit(commit) => feed::commit(commit),
        FeedLine::Heartbeat { seq, state } => feed::heartbeat(*seq, *state),
    };
    assert!(!printed.contains('\n'));
    assert_eq!(feed::read_line(&printed), Ok(line));
}

/// A line of a snapshot: a record keeps its bytes and has a name that leads to it.
pub fn snapshot_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match feed::read_snapshot_line(text) {
        Ok(SnapshotLine::Record(entry)) => {
            assert_eq!(entry.text(), text);
            let name = Identity::of(&entry);
            assert_eq!(Identity::read(&name.to_string()).ok().as_ref(), Some(&name));
            if let Identity::At(place, _) = name {
                assert_eq!(&place, entry.place());
            }
        }
        Ok(SnapshotLine::Head(head)) => assert_eq!(feed::read_snapshot_line(&feed::snapshot_head(&head)), Ok(SnapshotLine::Head(head))),
        Ok(SnapshotLine::End(end)) => assert_eq!(feed::read_snapshot_line(&feed::snapshot_end(&end)), Ok(SnapshotLine::End(end))),
        Ok(SnapshotLine::Commit(_)) | Err(_) => {}
    }
}

/// A directory file: printed in its order, it is read again and comes out the same.
pub fn directory(bytes: &[u8]) {
    let read = |bytes: &[u8]| RecordLines::new(bytes).map_while(Result::ok).map(|(_, filed)| filed).collect::<Vec<Filed>>();
    let filed = read(bytes);
    let printed = |filed: &Filed| match filed {
        Filed::Published(record) => record.canonical().unwrap_or_default(),
        Filed::Withheld(record) => record.canonical().unwrap_or_default(),
    };
    let lines: Vec<String> = filed.iter().map(printed).collect();
    for (filed, line) in filed.iter().zip(&lines) {
        assert_eq!(Entry::read(line).is_ok_and(|entry| !entry.foreign()), matches!(filed, Filed::Published(_)), "{line}");
    }
    assert_eq!(read(lines.join("\n").as_bytes()), filed);
}

/// A blob as sshd and gitlab-sshd send it, and a line with a key: what is read is printed so that it is read again.
pub fn key_blob(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = decode_blob(text);
    let Ok(key) = text.parse::<PublicKey>() else { return };
    assert_eq!(decode_blob(&key.base64()).as_deref(), Some(key.blob()));
    assert_eq!(key.to_string().parse::<PublicKey>().as_ref(), Ok(&key));
    let _ = key.bits();
}
