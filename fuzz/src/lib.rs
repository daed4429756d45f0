//! What each fuzz target does with its bytes: read them as whoever sends them might, and hold what must hold of all that is
//! read. `cargo +nightly fuzz run <name>` feeds them; `tests/fuzz_corpus.rs` feeds them what was once found, with any compiler.

use std::time::Duration;

use sidegate::model::entry::Entry;
use sidegate::model::id::Id;
use sidegate::model::key::{Fingerprint, PublicKey, decode_blob};
use sidegate::model::record::Record;
use sidegate::model::record_grammar;
use sidegate::model::record_identity::RecordIdentity;
use sidegate::model::time::Time;
use sidegate::wire::auth::jwt::{Issuer, verify_token};
use sidegate::wire::auth::secret::{RotatingSecret, Secret};
use sidegate::wire::directory::backup_lines::{self, BackupItem, BackupReader, BackupWriter};
use sidegate::wire::directory::feed_lines::{self, FeedLine, SnapshotLine};
use sidegate::wire::directory::record_lines::{DirectoryRecord, RecordLines};
use sidegate::wire::gitlab::deploy_key::parse_deploy_keys;
use sidegate::wire::gitlab::hook::HookEvent;
use sidegate::wire::gitlab::key::{FoundKey, parse_key_by_fingerprint, parse_key_by_id, parse_user_keys};
use sidegate::wire::gitlab::link::{is_target_of, next_target};
use sidegate::wire::gitlab::user::parse_users;
use sidegate::wire::http::params::{Params, encode_form};
use sidegate::wire::http::percent_encoding::{PlusSign, percent_decode};
use sidegate::wire::http::request_target::RequestTarget;

/// One target, by its name.
pub type FuzzTarget = fn(&[u8]);

/// All targets, each with the name of its corpus.
pub const TARGETS: [(&str, FuzzTarget); 10] = [
    ("params", params),
    ("path", path),
    ("token", token),
    ("feed_line", feed_line),
    ("snapshot_line", snapshot_line),
    ("directory", directory),
    ("backup", backup),
    ("key_blob", key_blob),
    ("gitlab_api", gitlab_api),
    ("gitlab_hook", gitlab_hook),
];

/// A first line of the query, the rest the body: as JSON and as a form. Whatever is read answers each question without falling over.
pub fn params(bytes: &[u8]) {
    let (query, body) =
        bytes.iter().position(|byte| *byte == b'\n').map_or((bytes, [].as_slice()), |end| (&bytes[..end], &bytes[end + 1..]));
    let Ok(query) = std::str::from_utf8(query) else { return };
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let Ok(params) = Params::parse(Some(query), Some(content_type), body) else { continue };
        for name in params.values.keys() {
            let _ = (params.id(name), params.integer(name), params.boolean(name), params.date(name));
            let _ = (params.texts(name), params.objects(name), params.object(name));
            let Ok(Some(text)) = params.text(name) else { continue };
            if !name.contains(['[', ']']) {
                let again = Params::parse(Some(&encode_form([(name.as_str(), text.as_str())])), None, b"");
                assert_eq!(again.map(|again| again.text(name)), Ok(Ok(Some(text))), "what is written anew says something else");
            }
        }
    }
}

/// A request's target: what passes climbs nowhere, however often it is decoded.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(target) = RequestTarget::parse(text) else { return };
    assert!(target.segments().iter().all(|segment| segment.split('/').all(|part| !matches!(part, "" | "." | ".."))));
    let mut path = target.path().to_owned();
    for _ in 0..3 {
        assert!(path.split(['/', '\\']).skip(1).all(|part| part != "." && part != ".."), "{path}");
        let Ok(further) = percent_decode(&path, PlusSign::Literal) else { return };
        path = further.into_owned();
    }
}

/// A token: none that was not signed is believed.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(secret) = Secret::from_bytes(b"a secret that no corpus holds, 8d1c6f0e") else { return };
    let secrets = RotatingSecret::new(secret);
    let now = Time::EPOCH.plus(Duration::from_secs(1_700_000_000));
    for issuer in [Issuer::GitlabShell, Issuer::Follower, Issuer::Kas] {
        assert!(verify_token(text, issuer, &secrets, now).is_err());
    }
}

/// A line of `changes`: what is read is printed so that it is read again.
pub fn feed_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(line) = feed_lines::parse_feed_line(text) else { return };
    let printed = match &line {
        FeedLine::Commit(commit) => feed_lines::encode_commit(commit),
        FeedLine::Heartbeat { seq, state } => feed_lines::encode_heartbeat(*seq, *state),
    };
    assert!(!printed.contains('\n'));
    assert_eq!(feed_lines::parse_feed_line(&printed), Ok(line));
}

/// A line of a snapshot: a record keeps its bytes and has a name that leads to it.
pub fn snapshot_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match feed_lines::parse_snapshot_line(text) {
        Ok(SnapshotLine::Record(entry)) => {
            assert_eq!(entry.text(), text);
            let name = RecordIdentity::from_entry(&entry);
            assert_eq!(RecordIdentity::parse(&name.to_string()).ok().as_ref(), Some(&name));
            if let RecordIdentity::Other(place, _) = name {
                assert_eq!(&place, entry.sort_key());
            }
        }
        Ok(SnapshotLine::Header(head)) => {
            assert_eq!(feed_lines::parse_snapshot_line(&feed_lines::encode_snapshot_header(&head)), Ok(SnapshotLine::Header(head)))
        }
        Ok(SnapshotLine::End(end)) => {
            assert_eq!(feed_lines::parse_snapshot_line(&feed_lines::encode_snapshot_end(&end)), Ok(SnapshotLine::End(end)))
        }
        Ok(SnapshotLine::Commit(_)) | Err(_) => {}
    }
}

/// A directory file: printed in its order, it is read again and comes out the same.
pub fn directory(bytes: &[u8]) {
    let read = |bytes: &[u8]| RecordLines::new(bytes).map_while(Result::ok).map(|(_, filed)| filed).collect::<Vec<DirectoryRecord>>();
    let filed = read(bytes);
    let printed = |filed: &DirectoryRecord| match filed {
        DirectoryRecord::Published(record) => record.canonical().unwrap_or_default(),
        DirectoryRecord::Unpublished(record) => record.canonical().unwrap_or_default(),
    };
    let lines: Vec<String> = filed.iter().map(printed).collect();
    for (filed, line) in filed.iter().zip(&lines) {
        assert_eq!(
            Entry::parse(line).is_ok_and(|entry| !entry.has_unknown_parts()),
            matches!(filed, DirectoryRecord::Published(_)),
            "{line}"
        );
    }
    assert_eq!(read(lines.join("\n").as_bytes()), filed);
}

/// A backup: what is read of a whole one is written anew as the same bytes; one that lacks its end is none.
pub fn backup(bytes: &[u8]) {
    let Ok((header, counts)) = backup_lines::verify(bytes) else { return };
    let Ok(mut reader) = BackupReader::begin(bytes) else { return };
    let Ok(mut writer) = BackupWriter::begin(Vec::new(), &header) else { return };
    while let Ok(Some(item)) = reader.next_item() {
        let _ = match item {
            BackupItem::Record(entry) => writer.write_record(entry.text()),
            BackupItem::Private(key, value) => writer.write_private(&key, &value),
        };
    }
    assert_eq!(reader.counts(), counts);
    let again = writer.finish().unwrap_or_default();
    let read_again = backup_lines::verify(again.as_slice()).ok();
    assert_eq!(read_again, Some((header, counts)), "what is written anew says something else");
    assert!(backup_lines::verify(&bytes[..bytes.len() - 1]).is_err(), "a backup that was cut short is none");
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

/// A first line that is a `Link` header, the rest a body of GitLab's API: what becomes a record can be published, and a link leads nowhere
/// else.
pub fn gitlab_api(bytes: &[u8]) {
    let (link, body) =
        bytes.iter().position(|byte| *byte == b'\n').map_or((bytes, [].as_slice()), |end| (&bytes[..end], &bytes[end + 1..]));
    if let Ok(Ok(Some(target))) = std::str::from_utf8(link).map(|link| next_target(link, "/root", "/api/v4/users")) {
        assert!(is_target_of(&target, "/api/v4/users"), "{target}");
    }
    let Ok(user) = Id::try_from(7) else { return };
    let mut records: Vec<Record> = parse_users(body).unwrap_or_default().into_iter().flatten().map(Record::User).collect();
    let keys = [parse_user_keys(body, user), parse_deploy_keys(body)].into_iter().flatten().flatten();
    let asked = parse_key_by_id(body).ok().and_then(Result::ok).map_or(Fingerprint([0; 32]), |found| found.key.fingerprint());
    for found in keys.chain(parse_key_by_fingerprint(body, asked)) {
        if let FoundKey::Login(key) = found {
            records.push(Record::Key(key));
        }
    }
    for record in records {
        assert_eq!(record_grammar::check(&record), Ok(()));
        let line = record.canonical().unwrap_or_default();
        assert_eq!(Record::parse(&line).as_ref().ok(), Some(&record), "{line}");
    }
}

/// The body of a system hook: it is counted under a plain name.
pub fn gitlab_hook(bytes: &[u8]) {
    if let Ok(event) = HookEvent::parse(bytes) {
        assert!(event.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
}
